"""Equal codes, and all pairs of codes within a radius: complete, streaming, in bounded memory."""

from collections.abc import Iterator, Sequence

import numpy as np

from relatent.dedup.plan import Plan, plan_for
from relatent.dedup.words import ALL, SLICE, Layout, met_words, neighbours, words_of

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def first_equal(codes: np.ndarray) -> np.ndarray:
    """Per item the lowest index of an item with an equal code, (n,): its own if it is the first of its kind.

    Args:
        codes: uint64 (n, 2).

    Raises:
        ValueError: codes of another type or shape.
    """
    check_codes(codes)
    first: np.ndarray = np.arange(len(codes), dtype=_index_type(len(codes)))
    if len(codes) < 2:
        return first
    layout = Layout.of(len(codes), meet_bits=(12, 12))
    words = words_of(codes, None, ALL, layout, sketch=False)
    for met in met_words(words, layout):
        if (met[1:] < met[:-1]).any():  # the hash below the sort bits differs somewhere
            met.sort()
        _enter_runs(first, codes, met, layout)
    return first


def distinct(first: np.ndarray) -> np.ndarray:
    """Increasing indices of the items that are the first of their code."""
    return np.flatnonzero(first == np.arange(len(first), dtype=first.dtype)).astype(first.dtype)


def near_pairs(
    codes: np.ndarray, radius: int, items: np.ndarray | None = None, plan: Plan | None = None
) -> Iterator[Pairs]:
    """All pairs of items whose codes differ in 1 to `radius` bits, each once, in blocks (a, b, distance) with a < b.

    Items of equal codes are `first_equal`'s to find: m of them make m^2 / 2 pairs, so only the first of each is
    looked at here.

    Args:
        codes: uint64 (n, 2).
        radius: largest number of differing bits.
        items: increasing indices of items with different codes, as `distinct` gives; found if left out.
        plan: how to search (`plan_search`); the order of the pairs depends on it, the pairs do not.

    Raises:
        ValueError: codes of another type or shape, a radius outside 0 to 16, a plan for another radius.
    """
    check_codes(codes)
    if plan is not None and plan.radius != radius:
        raise ValueError(f"the plan is for radius {plan.radius}, the search for {radius}")
    if not 0 <= radius <= 16:
        raise ValueError(f"radius {radius} is outside 0 to 16; farther apart than that, codes say little of a likeness")
    if items is None:
        items = distinct(first_equal(codes))
    if len(items) == len(codes):
        items = None  # all of them
    n = len(codes) if items is None else len(items)
    if radius == 0 or n < 2:
        return
    plan = plan or plan_for(codes, radius, items)
    for number in range(len(plan.masks)):
        yield from _pairs_by_mask(codes, items, plan, number)


def _pairs_by_mask(codes: np.ndarray, items: np.ndarray | None, plan: Plan, number: int) -> Iterator[Pairs]:
    """The pairs that agree on mask `number` of the plan and on none before it."""
    layout = Layout.of(len(codes) if items is None else len(items))
    words = words_of(codes, items, plan.masks[number], layout, sketch=True)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    held = 0
    for met in met_words(words, layout):
        for pairs in neighbours(met, plan.radius, layout):
            waiting.append(pairs)
            held += len(pairs[0])
            if held > SLICE:
                yield from _within(codes, items, plan, number, waiting)
                waiting, held = [], 0
    yield from _within(codes, items, plan, number, waiting)


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
    items = distinct(first)
    best[items[items < n]] = items[items < n]
    for a, b, distance in near_pairs(both, radius, items):
        crossing = (a < n) & (b >= n)
        np.minimum.at(best, b[crossing], (distance[crossing] << 40) | a[crossing])
    found = best[first[n:]]
    item = np.where(found == far, -1, found & ((1 << 40) - 1))
    return item, np.where(found == far, -1, found >> 40)


def check_codes(codes: np.ndarray) -> None:
    """Raise ValueError unless codes are uint64 (n, 2)."""
    if codes.dtype != np.uint64 or codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"codes must be uint64 (n, 2), not {codes.dtype} {codes.shape}; pack_bits makes them")


def _enter_runs(first: np.ndarray, codes: np.ndarray, met: np.ndarray, layout: Layout) -> None:
    """Enter into `first` the lowest index of each run of equal codes among sorted words."""
    same = np.flatnonzero((met[1:] ^ met[:-1]) <= layout.index_mask)
    if not len(same):
        return
    a, b = ((met[same + i] & layout.index_mask).astype(np.intp) for i in (0, 1))
    begins = np.diff(same, prepend=-2) != 1
    run = np.cumsum(begins) - 1
    lowest = a[begins]
    first[b] = lowest[run]
    differ = (np.take(codes, a, axis=0) != np.take(codes, b, axis=0)).any(axis=1)
    if differ.any():  # different codes of one hash: about n^2 / 2^44 such pairs
        mixed = np.unique(run[differ])
        members = np.sort(np.concatenate([lowest[mixed], b[np.isin(run, mixed)]]))
        _, position, group = np.unique(codes[members], axis=0, return_index=True, return_inverse=True)
        first[members] = members[position[group.ravel()]]


def _within(
    codes: np.ndarray,
    items: np.ndarray | None,
    plan: Plan,
    number: int,
    waiting: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Iterator[Pairs]:
    """Those of the waiting pairs that are within the radius and that no mask before `number` has reported."""
    if not waiting:
        return
    a, b = (np.concatenate(side).astype(np.intp) for side in zip(*waiting, strict=True))
    if items is not None:
        a, b = items[a], items[b]
    difference = np.take(codes, a, axis=0) ^ np.take(codes, b, axis=0)
    distance = np.bitwise_count(difference).sum(axis=1, dtype=np.int64)
    near = np.flatnonzero(distance <= plan.radius)
    for mask in plan.masks[:number]:
        near = near[((difference[near, 0] & mask[0]) | (difference[near, 1] & mask[1])) != 0]
    if len(near):
        a, b = a[near].astype(np.int64), b[near].astype(np.int64)
        yield np.minimum(a, b), np.maximum(a, b), distance[near]


def _index_type(n: int) -> type:
    return np.int32 if n < 2**31 else np.int64
