"""Which images of a part belong to a split, and in what order."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relatent.data.streams import permutation
from relatent.errors import DataIntegrityError


def shuffled(n_images: int, kind: Literal["stream", "RandomState"] | None, seed: int = 0) -> NDArray[np.int64]:
    """The order of a part's images before it is cut into splits.

    Args:
        n_images: images in the part.
        kind: None for the file order; "stream" for our counter-based stream (seed, "split"); "RandomState" for
            numpy's legacy generator, whose bits are frozen, as yburda/iwae shuffles OMNIGLOT with seed 123.
        seed: of either.

    Returns:
        (n_images,): indices into the part.
    """
    if kind is None:
        return np.arange(n_images, dtype=np.int64)
    if kind == "RandomState":
        return np.random.RandomState(seed).permutation(n_images).astype(np.int64)
    return permutation(n_images, seed, "split")


def cut(
    order: NDArray[np.int64],
    start: int,
    stop: int | None,
    where: str,
    share: tuple[float, float] | None = None,
) -> NDArray[np.int64]:
    """Rows `start` to `stop` of an order; or the share of it from one fraction to another.

    Raises:
        DataIntegrityError: the part is too short for the split.
    """
    if share is not None:
        start, stop = round(share[0] * len(order)), round(share[1] * len(order))
    stop = len(order) if stop is None else stop
    if not 0 <= start < stop <= len(order):
        raise DataIntegrityError(f"{where}: rows {start} to {stop} of a part of {len(order)} images; correct the split")
    return order[start:stop]
