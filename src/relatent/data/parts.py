"""A part of a dataset as its publisher files it, read block by block so that no set has to fit in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from relatent.errors import DataIntegrityError

BLOCK = 4096  # images; 50 MB at 3×64×64


@dataclass(frozen=True)
class Block:
    """Consecutive images of a part.

    Attributes:
        first: index in the part of the first image.
        images: (block, channel, height, width) uint8; an unreadable image's place holds anything.
        unreadable: why, by index in the part, for images that cannot be read and are left out.
    """

    first: int
    images: NDArray[np.uint8]
    unreadable: Mapping[int, str] = field(default_factory=dict)


class Names(Protocol):
    """File names by index; they may be made only when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...


class Part(Protocol):
    """Images in the publisher's order, with their labels and file names where there are any."""

    @property
    def n_images(self) -> int:
        """Images in the part, unreadable ones included."""
        ...

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """(n_images,), or None."""
        ...

    @property
    def names(self) -> Names | None:
        """The file each image came from, or None."""
        ...

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """All images from index `start` (a multiple of BLOCK) on, in order."""
        ...


@dataclass(frozen=True)
class ArrayPart:
    """A part that fits in memory."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    names: Names | None = None

    @property
    def n_images(self) -> int:
        return len(self.images)

    def blocks(self, start: int = 0) -> Iterator[Block]:
        for first in range(start, self.n_images, BLOCK):
            yield Block(first, self.images[first : first + BLOCK])


def check_part(part: Part, where: str, n_images: int | None, n_classes: int | None) -> None:
    """Refuse a part that is not what the registry says of it.

    Args:
        where: dataset and part, for the message.
        n_images: how many images there must be, if that is said.
        n_classes: labels must be 0 .. n_classes - 1; None for a set without labels.

    Raises:
        DataIntegrityError: another number of images; labels missing, too many, or outside the classes.
    """
    remedy = "Fetch it again, or correct its registry entry if the file is another edition."
    if part.n_images == 0 or (n_images is not None and part.n_images != n_images):
        raise DataIntegrityError(f"{where}: holds {part.n_images} images, not {n_images or 'at least one'}. {remedy}")
    if n_classes is None:
        return
    if part.labels is None:
        raise DataIntegrityError(f"{where}: has no labels, but the registry names {n_classes} classes. {remedy}")
    if part.labels.shape != (part.n_images,):
        raise DataIntegrityError(f"{where}: {part.n_images} images but {part.labels.size} labels. {remedy}")
    outside = np.flatnonzero((part.labels < 0) | (part.labels >= n_classes))
    if outside.size:
        raise DataIntegrityError(
            f"{where}: label {part.labels[outside[0]]} at image {outside[0]} is outside 0..{n_classes - 1}. {remedy}"
        )
