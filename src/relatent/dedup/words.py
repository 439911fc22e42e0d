"""Items as 64-bit words that come side by side where their hashes are equal.

A word holds bits of a hash of (part of) an item's code above and the item's index below. Two counting passes over the
hash bits bring equal ones together, at a fifth of the cost of sorting the words, with no permutation to carry along.
For near pairs the bits between hash and index hold a sketch of the code that can only shrink distances, so that nearly
all chance neighbours are refused without a look at their codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

BLOCK = 1 << 17
"""Items hashed and dealt to slices at a time: bounds the memory beside the words."""

SLICE = 1 << 16
"""Items, about, in a slice: equal hashes meet inside one, and it fits a core's cache."""

Mask = tuple[np.uint64, np.uint64]
"""Bits of a code that are looked at."""

ALL: Mask = (np.uint64(2**64 - 1), np.uint64(2**64 - 1))

_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


@dataclass(frozen=True)
class Layout:
    """Bits of a word, from the top: slice, meeting place in it, more hash or a sketch, index.

    Slice and meeting place are the sort bits; the latter are dealt in some bits per counting pass.
    """

    index_bits: int
    slice_bits: int
    meet_bits: tuple[int, ...]

    @classmethod
    def of(cls, n: int, meet_bits: tuple[int, ...] = (18,)) -> "Layout":
        """For n items, in slices of about SLICE items; fewer bits to meet by where n leaves no room for them."""
        index_bits, slice_bits = max(int(n - 1).bit_length(), 1), max(-(-n // SLICE) - 1, 0).bit_length()
        room = 64 - index_bits - slice_bits
        fitting: list[int] = []
        for bits in meet_bits:
            fitting.append(min(bits, room - sum(fitting)))
        return cls(index_bits, slice_bits, tuple(fitting))

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


def hash_of(codes: np.ndarray, mask: Mask) -> np.ndarray:
    """uint64 (n,); its upper bits tell codes apart that differ under the mask."""
    hashed = (codes[:, 0] & mask[0]) * _ODD[0]
    hashed ^= hashed >> np.uint64(32)  # or flips of the top bits of both words would cancel
    hashed += codes[:, 1] & mask[1]
    hashed *= _ODD[1]
    return hashed


def words_of(codes: np.ndarray, items: np.ndarray | None, mask: Mask, layout: Layout, *, sketch: bool) -> np.ndarray:
    """uint64 (items,): hash under the mask, sketch of the whole code if asked for, position in `items`."""
    n = len(codes) if items is None else len(items)
    words = np.empty(n, dtype=np.uint64)
    step = BLOCK >> 1
    for start in range(0, n, step):
        block = slice(start, min(start + step, n))
        chosen = codes[block] if items is None else np.take(codes, items[block], axis=0)
        hashed = hash_of(chosen, mask)
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


def met_words(words: np.ndarray, layout: Layout) -> Iterator[np.ndarray]:
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


def neighbours(part: np.ndarray, radius: int, layout: Layout) -> Iterator[tuple[np.ndarray, np.ndarray]]:
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
