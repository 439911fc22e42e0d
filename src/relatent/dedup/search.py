"""Equal codes, and all pairs of codes within a radius: complete, streaming, in bounded memory.

Both rest on one device: the key of an item and its index are packed into one 64-bit word, so that sorting the words
brings equal keys together in the order of their indices, with no permutation to carry along.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from relatent.dedup.codes import bit_probabilities

BLOCK = 1 << 16
"""Items or candidate pairs worked on at a time: bounds the memory beside the keys, and stays in the cache."""

_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_ALL = np.uint64(2**64 - 1)


def first_equal(codes: np.ndarray) -> np.ndarray:
    """Per item the lowest index of an item with an equal code, int64 (n,): its own if it is the first of its kind.

    Args:
        codes: uint64 (n, 2).

    Raises:
        ValueError: codes of another type or shape.
    """
    check_codes(codes)
    first = np.arange(len(codes))
    low = _index_bits(len(codes))
    keys = _sorted_keys(codes, first, (_ALL, _ALL), low)
    index_mask = _low_bits(low)
    runs = _adjacent(keys, low)
    a, b = ((keys[runs + shift] & index_mask).astype(np.int64) for shift in (0, 1))
    starts = np.maximum.accumulate(np.where(np.diff(runs, prepend=-2) != 1, np.arange(len(runs)), 0))
    first[b] = a[starts]
    told_apart = (codes[a] != codes[b]).any(axis=1)
    for start in np.unique(starts[told_apart]):  # different codes of one key: about n^2 2^-43 of them by chance
        members = np.append(a[start], b[starts == start])
        _, position, group = np.unique(codes[members], axis=0, return_index=True, return_inverse=True)
        first[members] = members[position[group.ravel()]]
    return first


@dataclass(frozen=True)
class Plan:
    """How to find all pairs within a radius: sort once per mask by the bits the mask keeps, compare equal neighbours.

    The code is cut into chunks; two codes at most `radius` bits apart agree on all but `radius` chunks, so they agree
    on the kept chunks of some mask, each of which leaves out `radius` chunks.
    """

    radius: int
    chunks: tuple[tuple[int, ...], ...]
    masks: tuple[tuple[np.uint64, np.uint64], ...]
    expected_candidates: float


def plan_search(codes: np.ndarray, radius: int, most_masks: int = 84) -> Plan:
    """The cheapest plan for these codes: more chunks mean more sorts and fewer chance candidates.

    Chunks have equal collision entropy by the measured probabilities of the bits, because chunks of equal length
    leave huge buckets where bits are nearly constant.
    """
    probability = bit_probabilities(codes)
    entropy = -np.log2(probability**2 + (1 - probability) ** 2)
    best: Plan | None = None
    best_cost = np.inf
    for n_chunks in range(radius + 1, 129):
        if comb(n_chunks, radius) > most_masks and best is not None:
            break
        chunks = equal_entropy_chunks(entropy, n_chunks)
        kept = list(combinations(range(n_chunks), n_chunks - radius))
        bits = [sum(entropy[list(chunks[i])].sum() for i in chosen) for chosen in kept]
        candidates = float(sum(len(codes) ** 2 / 2 * 2.0**-b for b in bits))
        cost = len(kept) * len(codes) + 0.5 * candidates  # a candidate costs about half as much as sorting an item
        if cost < best_cost:
            masks = tuple(_mask([bit for i in chosen for bit in chunks[i]]) for chosen in kept)
            best, best_cost = Plan(radius, tuple(map(tuple, chunks)), masks, candidates), cost
    assert best is not None
    return best


def equal_entropy_chunks(entropy: np.ndarray, n_chunks: int) -> list[list[int]]:
    """Bits dealt to chunks so that the chunks' sums of entropy are as equal as a greedy deal makes them."""
    chunks: list[list[int]] = [[] for _ in range(n_chunks)]
    totals = np.zeros(n_chunks)
    for bit in np.argsort(-entropy, kind="stable"):
        target = int(totals.argmin()) if entropy[bit] > 0 else min(range(n_chunks), key=lambda i: len(chunks[i]))
        chunks[target].append(int(bit))
        totals[target] += entropy[bit]
    return chunks


def near_pairs(
    codes: np.ndarray, radius: int, items: np.ndarray | None = None, plan: Plan | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All pairs of items whose codes differ in 1 to `radius` bits, each once, in blocks (a, b, distance) with a < b.

    Items of equal codes are `first_equal`'s to find: m of them make m^2 / 2 pairs, so only the first of each is
    looked at here.

    Args:
        codes: uint64 (n, 2).
        radius: largest number of differing bits.
        items: increasing indices of items with different codes, as `distinct` gives; found if left out.
        plan: how to search; the order of blocks depends on it, the pairs do not.

    Raises:
        ValueError: codes of another type or shape, a radius outside 0 to 16.
    """
    check_codes(codes)
    if not 0 <= radius <= 16:
        raise ValueError(f"radius {radius} is outside 0 to 16; beyond that a full scan is cheaper than chunks")
    if items is None:
        items = distinct(first_equal(codes))
    if radius == 0 or len(items) < 2:
        return
    plan = plan or plan_search(codes, radius)
    low = _index_bits(len(items))
    for number, mask in enumerate(plan.masks):
        keys = _sorted_keys(codes, items, mask, low)
        for a, b in _candidates(keys, low):
            difference = codes[items[a]] ^ codes[items[b]]
            distance = np.bitwise_count(difference).sum(axis=1, dtype=np.int64)
            near = np.flatnonzero((distance <= radius) & (distance > 0))
            near = near[~_found_before(difference[near], plan.masks[:number])]
            first, second = items[a[near]], items[b[near]]
            yield np.minimum(first, second), np.maximum(first, second), distance[near]


def distinct(first: np.ndarray) -> np.ndarray:
    """Indices of the items that are the first of their code."""
    return np.flatnonzero(first == np.arange(len(first)))


def nearest_within(queries: np.ndarray, codes: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Per query the nearest item within `radius`, and how far; the lowest index of equally near ones.

    Returns:
        item: int64 (queries,), -1 where there is none.
        distance: int64 (queries,), -1 where there is none.
    """
    n = len(codes)
    both = np.concatenate([codes, queries])
    first = first_equal(both)
    far = np.int64(2**62)
    best = np.full(len(both), far)  # distance and item packed, by the first item of a code
    firsts = distinct(first)
    best[firsts[firsts < n]] = firsts[firsts < n]
    for a, b, distance in near_pairs(both, radius, firsts):
        crossing = (a < n) & (b >= n)
        np.minimum.at(best, b[crossing], (distance[crossing] << 40) | a[crossing])
    found = best[first[n:]]
    item = np.where(found == far, -1, found & ((1 << 40) - 1))
    return item, np.where(found == far, -1, found >> 40)


def check_codes(codes: np.ndarray) -> None:
    """Raise ValueError unless codes are uint64 (n, 2) with n below 2^40."""
    if codes.dtype != np.uint64 or codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"codes must be uint64 (n, 2), not {codes.dtype} {codes.shape}; pack_bits makes them")


def _index_bits(n: int) -> int:
    return max(int(n - 1).bit_length(), 1)


def _low_bits(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _mask(bits: Sequence[int]) -> tuple[np.uint64, np.uint64]:
    return tuple(np.uint64(sum(1 << (b % 64) for b in bits if b // 64 == word)) for word in (0, 1))  # type: ignore[return-value]


def _sorted_keys(codes: np.ndarray, items: np.ndarray, mask: tuple[np.uint64, np.uint64], low: int) -> np.ndarray:
    """Words, sorted: a mix of the masked code above, the position in `items` in the `low` lowest bits."""
    keys = np.empty(len(items), dtype=np.uint64)
    whole = len(items) == len(codes)
    for start in range(0, len(items), BLOCK):
        block = slice(start, start + BLOCK)
        chosen = codes[block] if whole else codes[items[block]]
        mixed = (chosen[:, 0] & mask[0]) * _ODD[0]
        mixed ^= mixed >> np.uint64(32)  # or flips of the top bits of both words would cancel
        mixed += chosen[:, 1] & mask[1]
        mixed *= _ODD[1]
        mixed ^= mixed >> np.uint64(29)
        mixed *= _ODD[0]
        mixed &= ~_low_bits(low)
        mixed |= np.arange(start, start + len(mixed), dtype=np.uint64)
        keys[block] = mixed
    keys.sort()
    return keys


def _adjacent(keys: np.ndarray, low: int) -> np.ndarray:
    """Positions whose key, index aside, equals the next one's."""
    found = []
    for start in range(0, len(keys) - 1, BLOCK):
        block = keys[start : start + BLOCK + 1]
        found.append(start + np.flatnonzero((block[1:] ^ block[:-1]) < np.uint64(1 << low)))
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _candidates(keys: np.ndarray, low: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of equal keys, as positions in `items`, in blocks of at most about BLOCK pairs."""
    index_mask = _low_bits(low)
    left = _adjacent(keys, low)
    step = 1
    while len(left):  # pairs 1, 2, ... places apart; a place drops out where its run of equal keys ends
        for start in range(0, len(left), BLOCK):
            at = left[start : start + BLOCK]
            yield (keys[at] & index_mask).astype(np.int64), (keys[at + step] & index_mask).astype(np.int64)
        step += 1
        left = left[left + step < len(keys)]
        left = left[(keys[left] ^ keys[left + step]) < np.uint64(1 << low)]


def _found_before(difference: np.ndarray, masks: Sequence[tuple[np.uint64, np.uint64]]) -> np.ndarray:
    """Whether a pair agrees on all bits of an earlier mask, which has reported it already."""
    found = np.zeros(len(difference), dtype=bool)
    for mask in masks:
        found |= (difference[:, 0] & mask[0] | difference[:, 1] & mask[1]) == 0
    return found
