"""Clusters of near-duplicates without chaining, whatever the order of the images."""

from collections.abc import Callable, Iterable

import numpy as np

from relatent.dedup.plan import plan_for
from relatent.dedup.search import distinct, first_equal, near_pairs

HELD = 1 << 16
"""Pairs that may be held however few the items."""

Blocks = Callable[[], Iterable[tuple[np.ndarray, ...]]]


def clusters(codes: np.ndarray, radius: int) -> np.ndarray:
    """Per image the lowest index of its cluster, int64 (n,); that image is kept, the others are its near-copies.

    At radius 0 a cluster is a set of equal codes (the paper's rule). At radius r it is a star: a centre and images
    within r bits of it, hence at most 2r bits apart; a chain of small steps does not join its ends. Centres are taken
    in the order of how many images lie within r of them, ties by code, and take what no earlier centre took; so the
    clusters depend on the codes and not on the order of the images. Of each cluster the lowest index is kept.

    Args:
        codes: uint64 (n, 2).
        radius: in bits.

    Raises:
        ValueError: codes of another type or shape, a radius outside 0 to 16.
    """
    first = first_equal(codes)
    items = distinct(first)
    if radius == 0 or len(items) < 2:
        return first
    plan = plan_for(codes, radius, items)
    centre = star_centres(codes, first, lambda: near_pairs(codes, radius, items, plan))
    lowest = np.arange(len(codes))
    np.minimum.at(lowest, centre[items], items)
    return lowest[centre[first]]


def star_centres(codes: np.ndarray, first: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Per item the centre of its star, int64 (n,); meaningful for the first item of each code.

    Greedy choice in order of rank is the same as rounds in which every free item that outranks its free neighbours
    becomes a centre. So the pairs may come in any order and in blocks: they are held while there are no more of them
    than items, and are otherwise found anew in each round, which bounds the memory.

    Args:
        codes: uint64 (n, 2).
        first: per item the lowest index with an equal code.
        blocks: gives the pairs of first items within the radius, each once, in blocks (a, b, ...).
    """
    images = np.bincount(first, minlength=len(codes))
    within = images.copy()  # images within the radius, by the first item of each code
    held: list[tuple[np.ndarray, ...]] | None = []
    for a, b, *_ in blocks():
        np.add.at(within, a, images[b])
        np.add.at(within, b, images[a])
        if held is not None:
            held.append((a.astype(np.int32), b.astype(np.int32)))
            held = held if sum(len(part[0]) for part in held) <= max(len(codes), HELD) else None
    pairs = blocks if held is None else lambda: held
    involved = np.flatnonzero(within > images)
    rank = np.zeros(len(codes), dtype=np.int64)
    rank[involved[np.lexsort((codes[involved, 1], codes[involved, 0], -within[involved]))]] = np.arange(len(involved))
    is_centre = _independent(rank, involved, pairs)
    centre = np.arange(len(codes))
    best = np.full(len(codes), len(codes))
    for a, b, *_ in pairs():
        for one, other in ((a, b), (b, a)):
            taken = is_centre[one] & ~is_centre[other]
            np.minimum.at(best, other[taken], rank[one[taken]])
    by_rank = involved[np.argsort(rank[involved])]
    taken = involved[~is_centre[involved]]
    centre[taken] = by_rank[best[taken]]
    return centre


def _independent(rank: np.ndarray, involved: np.ndarray, pairs: Blocks) -> np.ndarray:
    """The greedy choice by rank, bool (n,): no pair of centres, and each other item in a pair with one."""
    is_centre = np.ones(len(rank), dtype=bool)
    is_centre[involved] = False
    free = ~is_centre
    while free.any():
        outranked = np.zeros(len(rank), dtype=bool)
        for a, b, *_ in pairs():
            both = free[a] & free[b]
            outranked[np.where(rank[a] < rank[b], b, a)[both]] = True
        new = free & ~outranked
        is_centre |= new
        free &= ~new
        for a, b, *_ in pairs():
            free[b[new[a]]] = False
            free[a[new[b]]] = False
    return is_centre
