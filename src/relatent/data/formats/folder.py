"""A folder of the user's images, decoded in the order of its listing."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relatent.data.decode import Encoded, decoded_blocks
from relatent.data.images import MAX_BYTES
from relatent.data.listing import Listed, ListedNames, Listing
from relatent.data.parts import Block
from relatent.errors import DataIntegrityError


class FolderPart:
    """The images of a listing.

    Args:
        folder: where they are.
        listing: as `listing.write_listing` wrote it.
        size: shorter side, then centre crop.
        by_folder: whether the first folder of a path is its class.
        workers: processes that decode.

    Raises:
        DataIntegrityError: with `by_folder`, an image that lies in no sub-folder.
    """

    def __init__(self, folder: Path, listing: Listing, size: int, by_folder: bool, workers: int) -> None:
        self.folder, self.listing, self.size, self.workers = folder, listing, size, workers
        self.names = ListedNames(listing)
        self.classes: list[str] | None = None
        self.labels: NDArray[np.int64] | None = None
        if by_folder:
            self.classes, self.labels = self._classes()

    def _classes(self) -> tuple[list[str], NDArray[np.int64]]:
        index: dict[str, int] = {}
        labels = np.empty(len(self.listing), dtype=np.int64)
        for place in range(len(self.listing)):
            top, _, below = self.listing[place].path.partition("/")
            if not below:
                raise DataIntegrityError(f"{self.folder}: {top} lies in no sub-folder, so it has no class; move it")
            labels[place] = index.setdefault(top, len(index))
        classes = sorted(index)
        rank = np.empty(len(index), dtype=np.int64)
        rank[[index[name] for name in classes]] = np.arange(len(classes))
        return classes, rank[labels]

    @property
    def n_images(self) -> int:
        return len(self.listing)

    def blocks(self, start: int = 0) -> Iterator[Block]:
        items = (self.listing[index] for index in range(start, len(self.listing)))
        yield from decoded_blocks(items, partial(read_listed, self.folder), start, self.size, self.workers)


def read_listed(folder: Path, item: Listed) -> Encoded:
    """The bytes of a listed file.

    Raises:
        DataIntegrityError: they are not those that were listed.
    """
    path = folder / item.path
    if item.size_bytes > MAX_BYTES:
        return Encoded(b"", f"{item.path}: {item.size_bytes:,} bytes, more than {MAX_BYTES:,}")
    try:
        content = path.read_bytes()
    except OSError as error:
        return Encoded(b"", f"{item.path}: {error.strerror}")
    if hashlib.sha256(content).hexdigest() != item.sha256:
        raise DataIntegrityError(f"{path}: has changed since the folder was listed; fetch the dataset again")
    return Encoded(content)
