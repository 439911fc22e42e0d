"""Which bits to compare: plans that find every pair of codes within a radius, and the cheapest of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush
from itertools import combinations
from math import comb

import numpy as np

from relatent.dedup.codes import bit_probabilities
from relatent.dedup.words import Mask, hash_of

SAMPLE = 1 << 13
"""Items on which plans are tried."""

NEIGHBOUR_COST = 0.5
"""Cost of refusing a chance neighbour, in units of what an item costs per mask; measured."""

MASK_COST = 20_000
"""Cost of a mask whatever the number of items, in the same units."""


@dataclass(frozen=True)
class Plan:
    """How to find all pairs within a radius: bring together, mask by mask, the codes that agree on the mask's bits.

    The code is cut into chunks, and the chunks are dealt to groups. A group of e + q chunks has the masks that keep q
    of them, so it finds every pair with at most e errors in the group. With the sum of e + 1 over the groups equal to
    radius + 1, a pair within the radius has at most e errors in some group (the pigeonhole principle), whatever its
    bits. One group with q = 1 is the textbook's radius + 1 chunks.
    """

    radius: int
    masks: tuple[Mask, ...]
    kept_chunks: int
    n_chunks: int
    candidates: float
    """chance neighbours expected, over all masks"""


def plan_for(codes: np.ndarray, radius: int, items: np.ndarray | None = None) -> Plan:
    """`plan_search` for all pairs of `items`, or of all codes, from a sample of them."""
    n = len(codes) if items is None else len(items)
    step = max(n // (4 * SAMPLE), 1)
    return plan_search(codes[::step] if items is None else codes[items[::step]], radius, n)


def plan_search(codes: np.ndarray, radius: int, n: int, most_masks: int = 128) -> Plan:
    """The cheapest plan for `n` codes like these: more masks cost more passes, and leave fewer chance neighbours.

    Chunks have equal collision entropy by the measured probabilities of the bits, because chunks of equal length
    leave huge buckets where bits are nearly constant. Plans are ranked by those probabilities, as if bits were
    independent, and the best are tried on a sample, because bits of learned codes are not.

    Args:
        codes: uint64 (some, 2), all of them or a sample.
        radius: in bits.
        n: how many there are in all.
        most_masks: of a plan, unless all need more.
    """
    probability = bit_probabilities(codes[:: max(len(codes) // (2 * SAMPLE), 1)])
    entropy = -np.log2(probability**2 + (1 - probability) ** 2)
    sample = codes[:: max(len(codes) // SAMPLE, 1)][: 2 * SAMPLE]
    shapes = _shapes(radius, most_masks)
    n_masks = np.array([sum(comb(e + q, q) for e in errors) for errors, q in shapes])
    kept_share = np.array([q / sum(e + q for e in errors) for errors, q in shapes])
    passes = n_masks * (n + MASK_COST)
    by_entropy = passes + NEIGHBOUR_COST * n_masks * n**2 / 2 * 2.0 ** -(kept_share * entropy.sum())
    best, best_cost = None, np.inf
    for rank in np.argsort(by_entropy, kind="stable")[:8]:
        if best is not None and passes[rank] >= best_cost:
            continue
        masks, n_chunks = _masks(entropy, *shapes[rank])
        candidates = sum(_equal_pairs(sample, mask) for mask in masks) * (n / len(sample)) ** 2
        cost = passes[rank] + NEIGHBOUR_COST * candidates
        if cost < best_cost:
            best, best_cost = Plan(radius, masks, shapes[rank][1], n_chunks, candidates), cost
    assert best is not None
    return best


@cache
def _shapes(radius: int, most_masks: int) -> list[tuple[tuple[int, ...], int]]:
    """(errors allowed per group, chunks kept) of the plans to choose from; at least the textbook's."""
    shapes = []
    for group in _partitions(radius + 1):
        for q in range(1, 9):
            errors = tuple(part - 1 for part in group)
            masks, chunks = sum(comb(e + q, q) for e in errors), sum(e + q for e in errors)
            if chunks <= 64 and (masks <= most_masks or (q == 1 and len(group) == 1)):
                shapes.append((errors, q))
    return shapes


def _partitions(total: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """Ways to write `total` as a sum of decreasing parts."""
    if total == 0:
        yield ()
    for part in range(min(total, largest or total), 0, -1):
        for rest in _partitions(total - part, part):
            yield (part, *rest)


def _masks(entropy: np.ndarray, errors: tuple[int, ...], q: int) -> tuple[tuple[Mask, ...], int]:
    chunks = equal_entropy_chunks(entropy, sum(e + q for e in errors))
    masks, start = [], 0
    for e in errors:
        for kept in combinations(chunks[start : start + e + q], q):
            masks.append(_mask([bit for chunk in kept for bit in chunk]))
        start += e + q
    return tuple(masks), len(chunks)


def equal_entropy_chunks(entropy: np.ndarray, n_chunks: int) -> list[list[int]]:
    """Bits dealt to chunks so that the chunks' sums of entropy are as equal as a greedy deal makes them."""
    chunks: list[list[int]] = [[] for _ in range(n_chunks)]
    poorest = [(0.0, 0, chunk) for chunk in range(n_chunks)]  # entropy, bits, chunk
    for bit in np.argsort(-entropy, kind="stable").tolist():
        total, length, chunk = heappop(poorest)
        chunks[chunk].append(bit)
        heappush(poorest, (total + float(entropy[bit]), length + 1, chunk))
    return chunks


def _mask(bits: Sequence[int]) -> Mask:
    return tuple(np.uint64(sum(1 << (b % 64) for b in bits if b // 64 == word)) for word in (0, 1))  # type: ignore[return-value]


def _equal_pairs(sample: np.ndarray, mask: Mask) -> float:
    """Pairs of the sample that agree on the mask."""
    hashes = np.sort(hash_of(sample, mask))
    ends = np.flatnonzero(np.append(hashes[1:] != hashes[:-1], True))
    sizes = np.diff(ends, prepend=-1).astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / 2)
