"""What was found, put before the judge: removed images beside the one kept, test images beside a train image."""

from dataclasses import dataclass

import numpy as np

from relatent.data.streams import stream
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
