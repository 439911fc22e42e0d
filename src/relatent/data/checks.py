"""Checks of prepared arrays that change numbers: label counts, means, duplicates within and across splits."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096  # images at a time


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
