"""Equal codes, and all pairs of codes within a radius: complete, streaming, in bounded memory.

One device serves both. Each item becomes one 64-bit word: bits of a hash of (part of) its code above, its index below.
Two counting passes over the hash bits bring equal ones side by side, at a fifth of the cost of sorting the words, with
no permutation to carry along. For near pairs the bits between hash and index hold a sketch of the code that can only
shrink distances, so nearly all chance neighbours are refused without a look at their codes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush
from itertools import combinations
from math import comb

import numpy as np
from scipy.sparse import csr_array

from relatent.dedup.codes import bit_probabilities

BLOCK = 1 << 17
"""Items hashed and dealt to slices at a time: bounds the memory beside the words."""

SLICE = 1 << 16
"""Items, about, in a slice: equal hashes meet inside one, and it fits a core's cache."""

SAMPLE = 1 << 13
"""Items on which plans are tried."""

Mask = tuple[np.uint64, np.uint64]
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]

_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_ALL: Mask = (np.uint64(2**64 - 1), np.uint64(2**64 - 1))


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
    words = _words(codes, None, _ALL, layout, sketch=False)
    for met in _met(words, layout):
        if (met[1:] < met[:-1]).any():  # the hash below the sort bits differs somewhere
            met.sort()
        _enter_runs(first, codes, met, layout)
    return first


def distinct(first: np.ndarray) -> np.ndarray:
    """Increasing indices of the items that are the first of their code."""
    return np.flatnonzero(first == np.arange(len(first), dtype=first.dtype)).astype(first.dtype)


def near_pairs(
    codes: np.ndarray, radius: int, items: np.ndarray | None = None, plan: "Plan | None" = None
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
        ValueError: codes of another type or shape, a radius outside 0 to 16.
    """
    check_codes(codes)
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


def _pairs_by_mask(codes: np.ndarray, items: np.ndarray | None, plan: "Plan", number: int) -> Iterator[Pairs]:
    """The pairs that agree on mask `number` of the plan and on none before it."""
    layout = Layout.of(len(codes) if items is None else len(items))
    words = _words(codes, items, plan.masks[number], layout, sketch=True)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    held = 0
    for met in _met(words, layout):
        for pairs in _neighbours(met, plan.radius, layout):
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


# The plan: which bits to hash.


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


NEIGHBOUR_COST = 0.5
"""Cost of refusing a chance neighbour, in units of what an item costs per mask."""

MASK_COST = 20_000
"""Cost of a mask whatever the number of items, in the same units."""


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
    hashes = np.sort(_hash(sample, mask))
    ends = np.flatnonzero(np.append(hashes[1:] != hashes[:-1], True))
    sizes = np.diff(ends, prepend=-1).astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / 2)


# The words: hash, sketch and index of an item.


@dataclass(frozen=True)
class Layout:
    """Bits of a word, from the top: the slice, the meeting place in it (some bits per counting pass), what else the
    word is used for, the index."""

    index_bits: int
    slice_bits: int
    meet_bits: tuple[int, ...]

    @classmethod
    def of(cls, n: int, meet_bits: tuple[int, ...] = (18,)) -> "Layout":
        """For n items, in slices of about SLICE items."""
        return cls(max(int(n - 1).bit_length(), 1), max(-(-n // SLICE) - 1, 0).bit_length(), meet_bits)

    @property
    def below_slice(self) -> np.uint64:
        """Shift that leaves the slice."""
        return np.uint64(64 - self.slice_bits)

    @property
    def below_sort(self) -> np.uint64:
        """Shift that leaves slice and meeting place."""
        return np.uint64(64 - self.slice_bits - sum(self.meet_bits))

    @property
    def met(self) -> np.uint64:
        """Two words have met if the bits in which they differ are below this one."""
        return np.uint64(1) << self.below_sort

    @property
    def index_mask(self) -> np.uint64:
        """The index's bits."""
        return np.uint64((1 << self.index_bits) - 1)


def _hash(codes: np.ndarray, mask: Mask) -> np.ndarray:
    """uint64 (n,); its upper bits tell codes apart that differ under the mask."""
    hashed = (codes[:, 0] & mask[0]) * _ODD[0]
    hashed ^= hashed >> np.uint64(32)  # or flips of the top bits of both words would cancel
    hashed += codes[:, 1] & mask[1]
    hashed *= _ODD[1]
    return hashed


def _words(codes: np.ndarray, items: np.ndarray | None, mask: Mask, layout: Layout, *, sketch: bool) -> np.ndarray:
    """uint64 (items,): hash under the mask, sketch of the whole code if asked for, position in `items`."""
    n = len(codes) if items is None else len(items)
    words = np.empty(n, dtype=np.uint64)
    step = BLOCK >> 1
    for start in range(0, n, step):
        block = slice(start, min(start + step, n))
        chosen = codes[block] if items is None else np.take(codes, items[block], axis=0)
        hashed = _hash(chosen, mask)
        if sketch:
            hashed &= ~np.uint64((1 << int(layout.below_sort)) - 1)
            hashed |= _sketch(chosen, int(layout.below_sort) - layout.index_bits) << np.uint64(layout.index_bits)
        else:
            hashed &= ~layout.index_mask
        hashed |= np.arange(block.start, block.stop, dtype=np.uint64)
        words[block] = hashed
    return words


def _sketch(codes: np.ndarray, bits: int) -> np.ndarray:
    """uint64 (n,) of `bits` bits: parities of disjoint sets of a code's bits, so distances can only shrink."""
    folded = codes[:, 0] ^ codes[:, 1]
    folded ^= folded >> np.uint64(32)
    folded &= np.uint64(2**32 - 1)
    if bits >= 32:
        return folded
    return (folded ^ folded >> np.uint64(bits)) & np.uint64((1 << bits) - 1)


def _slices(words: np.ndarray, layout: Layout) -> Iterator[np.ndarray]:
    """The words, slice by slice, equal sort bits side by side, the lower index first. Words change place."""
    starts = []
    for start in range(0, len(words), BLOCK):
        block = words[start : start + BLOCK]
        block[:], ends = _dealt(block, int(layout.below_slice), layout.slice_bits)
        starts.append(start + ends)
    for number in range(1 << layout.slice_bits):
        part = np.concatenate([words[ends[number] : ends[number + 1]] for ends in starts])
        if len(part) > 8 * SLICE:  # copies beyond number: sorting in place needs no room
            part.sort()
        else:
            shift = int(layout.below_sort)
            for bits in reversed(layout.meet_bits):
                part = _dealt(part, shift, bits)[0]
                shift += bits
        yield part


def _dealt(words: np.ndarray, shift: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Words in the order of the `bits` bits above `shift`, stably, and where each value starts: a counting sort."""
    values = ((words >> np.uint64(min(shift, 63))) & np.uint64((1 << bits) - 1)).astype(np.int32)
    row = csr_array((words, values, np.array([0, len(words)], dtype=np.int32)), shape=(1, 1 << bits))
    columns = row.tocsc()  # from one row to its columns is a counting sort, written in C++
    return columns.data, columns.indptr


# The neighbours: words whose sort bits are equal.


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


def _met(words: np.ndarray, layout: Layout) -> Iterator[np.ndarray]:
    """The words that share their sort bits with another, such words side by side, in parts of a bounded size."""
    waiting: list[np.ndarray] = []
    held = 0
    for part in _slices(words, layout):
        meets = (part[1:] ^ part[:-1]) < layout.met
        met = np.zeros(len(part), dtype=bool)
        met[:-1] = meets
        met[1:] |= meets
        waiting.append(part[met])
        held += len(waiting[-1])
        if held > 2 * SLICE:  # few large parts: the work on a part has a cost by its longest run
            yield np.concatenate(waiting)
            waiting, held = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _neighbours(part: np.ndarray, radius: int, layout: Layout) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of words with equal sort bits and sketches within the radius, as positions in `items`."""
    left = np.flatnonzero((part[1:] ^ part[:-1]) < layout.met)
    one = part[left]
    step = 1
    while len(left):  # words 1, 2, ... places apart; a place drops out where its run ends
        other = part[left + step]
        apart = np.bitwise_count((one ^ other) >> np.uint64(layout.index_bits))
        near = np.flatnonzero(apart <= radius)
        if len(near):
            yield one[near] & layout.index_mask, other[near] & layout.index_mask
        step += 1
        inside = np.searchsorted(left, len(part) - step)
        goes_on = np.flatnonzero((one[:inside] ^ part[left[:inside] + step]) < layout.met)
        left, one = left[goes_on], one[goes_on]


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
