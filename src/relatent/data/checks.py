"""Checks of prepared arrays that change numbers: label counts, means, duplicates within and across splits.

Arrays are mapped from the disk and passed through block by block: three million images are never in memory.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relatent.data.store import in_blocks

SEARCH_BLOCK, COLUMN_BLOCK = 256, 2048
PAIRS = 4096
THUMBNAIL = 8  # side, about
FLAT = 2.0  # grey levels of standard deviation in the thumbnail
NEAR = 0.98  # pixel correlation of near duplicates
ALIKE = 0.95  # of images that look alike: CIFAR-10's known copies, recompressed or cut anew, and a few clear skies
MARGIN = 0.01  # thumbnails of near duplicates are more alike than they, up to what the cut of blocks takes away
MOST_PRODUCTS = 10**13  # about two minutes on one core


def mean_grey(images: NDArray[np.uint8]) -> float:
    """Mean of all pixels, as a fraction of 255; from exact integer sums."""
    return sum(int(block.sum(dtype=np.uint64)) for block in in_blocks(images)) / (255 * images.size)


def image_digests(images: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """(n,) 16-byte digest of each image; equal exactly where the pixels are (up to a chance of 2**-64 or so)."""
    digests = np.empty(len(images), dtype="S32")
    every = (image for block in in_blocks(images) for image in block)
    for index, image in enumerate(every):
        digests[index] = hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest().encode()
    return digests


def duplicates(digests: Mapping[str, NDArray[np.bytes_]]) -> dict[str, int]:
    """Exact duplicates within each split and across splits.

    Returns:
        "<split>": images that repeat an earlier one of the same split; "<a>_in_<b>": images of split a whose pixels
        also occur in split b, for b the split that is trained on or named earlier.
    """
    counts = {}
    names = list(digests)
    for name in names:
        counts[name] = len(digests[name]) - len(np.unique(digests[name]))
    for place, name in enumerate(names):
        for earlier in names[:place]:
            counts[f"{name}_in_{earlier}"] = int(np.isin(digests[name], digests[earlier]).sum())
    return counts


@dataclass(frozen=True)
class Thumbnails:
    """A split made ready for the search of near duplicates.

    Attributes:
        images: (n, channel, height, width) uint8.
        vectors: (n, d) float32: thumbnails, centred and of length 1; zero for a flat image, which is near any other.
        sums: (n,) int64: of an image's pixels.
        variances: (n,) int64: of an image's pixels, times the square of their number.
    """

    images: NDArray[np.uint8]
    vectors: NDArray[np.float32]
    sums: NDArray[np.int64]
    variances: NDArray[np.int64]


def block_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of pixels that make one of a thumbnail."""
    return -(-height // THUMBNAIL), -(-width // THUMBNAIL)


def comparable(these: NDArray[np.uint8], those: NDArray[np.uint8]) -> bool:
    """Whether two splits are small enough to compare all images with all; LSUN with itself is not."""
    _, channels, height, width = these.shape
    rows, columns = block_size(height, width)
    return len(these) * len(those) * channels * (height // rows) * (width // columns) <= MOST_PRODUCTS


def thumbnails(images: NDArray[np.uint8]) -> Thumbnails:
    """Reduce images to means of blocks, about 8×8 of them."""
    _, channels, height, width = images.shape
    rows, columns = block_size(height, width)
    kept = (height // rows * rows, width // columns * columns)
    vectors, sums, variances = [], [], []
    for block in in_blocks(images):
        pixels = block[:, :, : kept[0], : kept[1]].astype(np.float32)
        pixels = pixels.reshape(len(block), channels, kept[0] // rows, rows, kept[1] // columns, columns)
        means = pixels.mean(axis=(3, 5)).reshape(len(block), -1)
        means -= means.mean(axis=1, keepdims=True)
        length = np.linalg.norm(means, axis=1, keepdims=True)
        flat = length < FLAT * np.sqrt(means.shape[1])
        vectors.append(np.where(flat, 0, means / np.where(flat, 1, length)))
        sums.append(block.sum(axis=(1, 2, 3), dtype=np.int64))
        variances.append(math.prod(block.shape[1:]) * products(block, block) - sums[-1] ** 2)
    return Thumbnails(images, *(np.concatenate(parts) for parts in (vectors, sums, variances)))


def products(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n,): sum over all pixels of the product of each pair of images; whole numbers, hence the same on any machine."""
    x, y = (images.reshape(len(images), math.prod(images.shape[1:])) for images in (a, b))
    whole = np.int32 if x.shape[1] * 255**2 < 2**31 else np.int64
    return np.einsum("ij,ij->i", x, y, dtype=whole).astype(np.int64)


def likeness_found(these: Thumbnails, those: Thumbnails | None = None) -> NDArray[np.float64]:
    """Pixel correlation of each image with the image most like it, found through their thumbnails.

    Args:
        these: the split that is asked about.
        those: the split the copies may lie in; None: earlier images of the same split.

    Returns:
        (n,): 0 where it is below ALIKE, and for flat images; where it is NEAR or more, that of the first such found.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    others = these if those is None else those
    with threadpool_limits(limits=1, user_api="blas"):  # products this small take two threads ten times the work
        starts = range(0, len(these.vectors), SEARCH_BLOCK)
        found = [_likeness_in_block(these, others, first, those is None) for first in starts]
    return np.concatenate(found)


def _likeness_in_block(these: Thumbnails, others: Thumbnails, first: int, earlier_only: bool) -> NDArray[np.float64]:
    block = these.vectors[first : first + SEARCH_BLOCK]
    stop = first + len(block) if earlier_only else len(others.vectors)
    pairs = [_likely_pairs(block, others.vectors, at, stop) for at in range(0, stop, COLUMN_BLOCK)]
    rows, columns, likeness = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    if earlier_only:  # neither itself nor later ones
        earlier = columns < rows + first
        rows, columns, likeness = rows[earlier], columns[earlier], likeness[earlier]
    likeliest = np.argsort(-likeness, kind="stable")
    found = np.zeros(len(block))
    for start in range(0, len(rows), PAIRS):
        chosen = likeliest[start : start + PAIRS]
        chosen = chosen[found[rows[chosen]] < NEAR]  # one near copy is enough
        alike = correlations(these, first + rows[chosen], others, columns[chosen])
        np.maximum.at(found, rows[chosen], alike)
    return np.where(found >= ALIKE, found, 0)


def _likely_pairs(
    block: NDArray[np.float32], vectors: NDArray[np.float32], start: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rows of `block`, columns of `vectors` between `start` and `stop`, and likeness, of pairs worth a closer look."""
    likeness = block @ vectors[start : min(start + COLUMN_BLOCK, stop)].T  # 2 MB: it stays in the cache
    places = np.flatnonzero(likeness.ravel() >= ALIKE - MARGIN)
    rows, columns = np.divmod(places, likeness.shape[1])
    return rows, columns + start, likeness.ravel()[places]


def correlations(
    these: Thumbnails, rows: NDArray[np.int64], others: Thumbnails, columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(pairs,): Pearson correlation of two images over all pixels and channels; 0 where one is of one colour."""
    pixels = math.prod(these.images.shape[1:])
    alike = products(these.images[rows], others.images[columns])
    covariances = pixels * alike - these.sums[rows] * others.sums[columns]
    lengths = np.sqrt(these.variances[rows].astype(np.float64) * others.variances[columns])
    return covariances / np.where(lengths > 0, lengths, 1)


def label_histogram(labels: NDArray[np.int64], n_classes: int) -> list[int]:
    """Images per class, in the order of the classes."""
    return np.bincount(labels, minlength=n_classes).tolist()


def inconsistent_labels(digests: NDArray[np.bytes_], labels: NDArray[np.int64]) -> int:
    """Sets of equal images that do not all bear one label."""
    _, image = np.unique(digests, return_inverse=True)
    n_labels = int(labels.max()) + 1
    pairs = np.unique(image * n_labels + labels)  # an image with two labels stands here twice
    return int(np.count_nonzero(np.bincount(pairs // n_labels) > 1))


def metric(value: Any, unit: str, **more: Any) -> dict[str, Any]:
    """One entry of a metrics file (DESIGN section 5)."""
    return {"value": value, "per_seed": [], "stderr": None, "unit": unit, **more}
