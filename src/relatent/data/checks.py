"""Checks of prepared arrays that change numbers: label counts, means, duplicates within and across splits."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096  # images at a time
SEARCH_BLOCK, COLUMN_BLOCK = 256, 2048
PAIRS = 4096
THUMBNAIL = 8  # side, about
FLAT = 2.0  # grey levels of standard deviation in the thumbnail
NEAR = 0.98  # pixel correlation of near duplicates
MARGIN = 0.01  # thumbnails of near duplicates are more alike than they, up to what the cut of blocks takes away
MOST_PRODUCTS = 10**13  # about two minutes on one core


def mean_grey(images: NDArray[np.uint8]) -> float:
    """Mean of all pixels, as a fraction of 255; from exact integer sums."""
    total = sum(int(images[first : first + BLOCK].sum(dtype=np.uint64)) for first in range(0, len(images), BLOCK))
    return total / (255 * images.size)


def image_digests(images: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """(n,) 16-byte digest of each image; equal exactly where the pixels are (up to a chance of 2**-64 or so)."""
    digests = np.empty(len(images), dtype="S32")
    for index, image in enumerate(images):
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
    """

    images: NDArray[np.uint8]
    vectors: NDArray[np.float32]


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
    n, channels, height, width = images.shape
    rows, columns = block_size(height, width)
    kept = (height // rows * rows, width // columns * columns)
    vectors = []
    for first in range(0, n, BLOCK):
        block = images[first : first + BLOCK, :, : kept[0], : kept[1]].astype(np.float32)
        block = block.reshape(len(block), channels, kept[0] // rows, rows, kept[1] // columns, columns)
        means = block.mean(axis=(3, 5)).reshape(len(block), -1)
        means -= means.mean(axis=1, keepdims=True)
        length = np.linalg.norm(means, axis=1, keepdims=True)
        flat = length < FLAT * np.sqrt(means.shape[1])
        vectors.append(np.where(flat, 0, means / np.where(flat, 1, length)))
    return Thumbnails(images, np.concatenate(vectors))


def near_duplicates(these: Thumbnails, those: Thumbnails | None = None) -> int:
    """How many of these images have a near copy: pixel correlation of at least NEAR, found through their thumbnails.

    Args:
        these: the split that is asked about.
        those: the split the copies may lie in; None: earlier images of the same split.

    Returns:
        A count that holds exact copies too, flat images not.
    """
    others = these if those is None else those
    found = 0
    for first in range(0, len(these.vectors), SEARCH_BLOCK):
        block = these.vectors[first : first + SEARCH_BLOCK]
        stop = first + len(block) if those is None else len(others.vectors)
        pairs = [_likely_pairs(block, others.vectors, at, stop) for at in range(0, stop, COLUMN_BLOCK)]
        rows, columns, likeness = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        if those is None:  # neither itself nor later ones
            earlier = columns < rows + first
            rows, columns, likeness = rows[earlier], columns[earlier], likeness[earlier]
        likeliest = np.argsort(-likeness, kind="stable")
        near = np.zeros(len(block), dtype=bool)
        for start in range(0, len(rows), PAIRS):
            chosen = likeliest[start : start + PAIRS]
            chosen = chosen[~near[rows[chosen]]]  # one copy is enough
            alike = correlations(these.images[first + rows[chosen]], others.images[columns[chosen]])
            near[rows[chosen][alike >= NEAR]] = True
        found += int(near.sum())
    return found


def _likely_pairs(
    block: NDArray[np.float32], vectors: NDArray[np.float32], start: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rows of `block`, columns of `vectors` between `start` and `stop`, and likeness, of pairs worth a closer look."""
    likeness = block @ vectors[start : min(start + COLUMN_BLOCK, stop)].T  # 2 MB: it stays in the cache
    places = np.flatnonzero(likeness.ravel() >= NEAR - MARGIN)
    rows, columns = np.divmod(places, likeness.shape[1])
    return rows, columns + start, likeness.ravel()[places]


def correlations(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n,): Pearson correlation of each pair of images over all pixels and channels; 0 where one is flat."""
    x, y = (images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float64) for images in (a, b))
    x -= x.mean(axis=1, keepdims=True)
    y -= y.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", x, x) * np.einsum("ij,ij->i", y, y))
    return np.einsum("ij,ij->i", x, y) / np.where(length > 0, length, 1)


def label_histogram(labels: NDArray[np.int64], n_classes: int) -> list[int]:
    """Images per class, in the order of the classes."""
    return np.bincount(labels, minlength=n_classes).tolist()


def inconsistent_labels(digests: NDArray[np.bytes_], labels: NDArray[np.int64]) -> int:
    """Sets of equal images that do not all bear one label."""
    seen: dict[bytes, set[int]] = {}
    repeated = {digest for digest, count in Counter(digests.tolist()).items() if count > 1}
    for digest, label in zip(digests.tolist(), labels.tolist(), strict=True):
        if digest in repeated:
            seen.setdefault(digest, set()).add(label)
    return sum(len(found) > 1 for found in seen.values())


def metric(value: Any, unit: str, **more: Any) -> dict[str, Any]:
    """One entry of a metrics file (DESIGN section 5)."""
    return {"value": value, "per_seed": [], "stderr": None, "unit": unit, **more}
