"""What was found, put before the judge: removed images beside the one kept, test images beside a train image.

And what should have been found: test images that pixels, not codes, show to be in the train split.
"""

from dataclasses import dataclass

import numpy as np

from relatent.data.streams import stream
from relatent.dedup.clusters import clusters
from relatent.dedup.codes import distances
from relatent.dedup.judge import Verdicts, judge
from relatent.dedup.search import nearest_within


@dataclass(frozen=True)
class JudgedPairs:
    """Pairs (a, b) of images whose codes are near, with the judge's verdicts; `total` counts those not drawn too."""

    a: np.ndarray
    b: np.ndarray
    distance: np.ndarray
    verdicts: Verdicts
    total: int


def judged_removals(
    images: np.ndarray,
    codes: np.ndarray,
    lowest: np.ndarray,
    *,
    most: int,
    same_correlation: float,
    same_rms: float,
    seed: int,
) -> JudgedPairs:
    """Removed images (b) beside the kept image of their cluster (a), `most` of them drawn by chance.

    Args:
        images: uint8 (n, channel, height, width).
        codes: uint64 (n, 2).
        lowest: per image the kept one of its cluster (`clusters`).
    """
    removed = np.flatnonzero(lowest != np.arange(len(lowest)))
    drawn = np.sort(stream(seed, "judged removals").permutation(removed)[:most])
    a = lowest[drawn]
    verdicts = judge(images[a], images[drawn], same_correlation, same_rms)
    return JudgedPairs(a, drawn, distances(codes[a], codes[drawn]), verdicts, len(removed))


def judged_collisions(
    images: np.ndarray, first: np.ndarray, *, most: int, same_correlation: float, same_rms: float, seed: int
) -> JudgedPairs:
    """Pairs of images with equal codes, `most` of them drawn by chance from all such pairs, with repetition.

    A code shared by m images has m (m - 1) / 2 of them: unlike the removals, this is the sample for the question how
    often the codes of *different* pictures collide.

    Args:
        images: uint8 (n, channel, height, width).
        first: per image the lowest index of an image with an equal code.
    """
    rng = stream(seed, "judged collisions")
    order = np.argsort(first, kind="stable")  # images of one code side by side
    sizes = np.bincount(first)
    sizes = sizes[sizes > 0]
    starts = np.cumsum(sizes) - sizes
    pairs = sizes * (sizes - 1) // 2
    if not pairs.sum():
        none = np.empty(0, dtype=np.int64)
        return JudgedPairs(none, none, none, judge(images[none], images[none], same_correlation, same_rms), 0)
    code = rng.choice(len(sizes), size=most, p=pairs / pairs.sum())
    one = rng.integers(0, sizes[code])
    other = (one + rng.integers(1, sizes[code])) % sizes[code]
    a, b = order[starts[code] + one], order[starts[code] + other]
    return JudgedPairs(
        a, b, np.zeros_like(a), judge(images[a], images[b], same_correlation, same_rms), int(pairs.sum())
    )


def leaks(
    train: np.ndarray,
    held_out: np.ndarray,
    train_codes: np.ndarray,
    held_out_codes: np.ndarray,
    radius: int,
    *,
    same_correlation: float,
    same_rms: float,
) -> JudgedPairs:
    """Held-out images (a) that have a train image (b, the nearest) within the radius: leakage, if the judge agrees."""
    nearest, distance = nearest_within(held_out_codes, train_codes, radius)
    a = np.flatnonzero(nearest >= 0)
    b = nearest[a]
    return JudgedPairs(a, b, distance[a], judge(held_out[a], train[b], same_correlation, same_rms), len(a))


@dataclass(frozen=True)
class Found:
    """What one radius finds."""

    radius: int
    lowest: np.ndarray
    """per train image the kept one of its cluster (`clusters`)"""
    removals: JudgedPairs
    leaked: JudgedPairs

    @property
    def kept(self) -> np.ndarray:
        """Increasing indices of the kept images, int64."""
        return np.flatnonzero(self.lowest == np.arange(len(self.lowest)))

    @property
    def n_removed(self) -> int:
        """Images that are not kept."""
        return len(self.lowest) - len(self.kept)


def find(
    train: np.ndarray,
    held_out: np.ndarray,
    train_codes: np.ndarray,
    held_out_codes: np.ndarray,
    radius: int,
    *,
    most: int,
    same_correlation: float,
    same_rms: float,
    seed: int,
) -> Found:
    """Clusters of the train images and leaks of the held-out ones at a radius, judged; arguments as below."""
    lowest = clusters(train_codes, radius)
    judge_by = {"same_correlation": same_correlation, "same_rms": same_rms}
    removals = judged_removals(train, train_codes, lowest, most=most, seed=seed, **judge_by)
    return Found(radius, lowest, removals, leaks(train, held_out, train_codes, held_out_codes, radius, **judge_by))


@dataclass(frozen=True)
class PixelCopies:
    """Held-out images (a) whose likest train image (b), by pixels, correlates with them; and how far the codes are."""

    a: np.ndarray
    b: np.ndarray
    correlation: np.ndarray
    distance: np.ndarray


MOST_PRODUCTS = 2 * 10**12
"""Comparing all with all costs this much at most, in products: about a minute on one core."""


def pixel_copies(
    train: np.ndarray,
    held_out: np.ndarray,
    train_codes: np.ndarray,
    held_out_codes: np.ndarray,
    same_correlation: float,
) -> PixelCopies | None:
    """A full scan by pixels, the reference for the recall of the codes; None for sets too large to scan.

    The codes' own recall cannot be had from planted copies alone: what a set really holds twice differs by more than
    a shift or JPEG.

    Each held-out image is compared with all train images at half the side; the likest is judged at full size. Flat
    images correlate with nothing and are left out.
    """
    _, channels, height, width = train.shape
    if not 0 < len(held_out) * len(train) * channels * (height // 2) * (width // 2) <= MOST_PRODUCTS:
        return None
    small, others = _thumbnails(held_out), _thumbnails(train)
    likest = np.zeros(len(small), dtype=np.int64)
    likeness = np.full(len(small), -1.0, dtype=np.float32)
    for start in range(0, len(others), 4096):
        found = small @ others[start : start + 4096].T
        best = found.argmax(axis=1)
        value = found[np.arange(len(small)), best]
        better = value > likeness
        likest[better], likeness[better] = start + best[better], value[better]
    a = np.flatnonzero(likeness > same_correlation - 0.1)
    a = a[judge(held_out[a], train[likest[a]], same_correlation, 0).correlation >= same_correlation]
    b = likest[a]
    correlation = judge(held_out[a], train[b], same_correlation, 0).correlation
    return PixelCopies(a, b, correlation, distances(held_out_codes[a], train_codes[b]))


def _thumbnails(images: np.ndarray, block: int = 4096) -> np.ndarray:
    """Images at half the side, each channel centred, of length 1; float32 (n, pixels). A flat image is zero."""
    n, channels, height, width = images.shape
    parts = []
    for start in range(0, n, block):
        part = images[start : start + block, :, : height // 2 * 2, : width // 2 * 2].astype(np.float32)
        part = part.reshape(len(part), channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
        part -= part.mean(axis=(2, 3), keepdims=True)
        vectors = part.reshape(len(part), -1)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        flat = length < FLAT * vectors.shape[1] ** 0.5
        parts.append(np.where(flat, 0, vectors / np.where(flat, 1, length)))
    return np.concatenate(parts)


FLAT = 2.0
"""Grey levels of spread below which an image is flat: what varies is noise."""
