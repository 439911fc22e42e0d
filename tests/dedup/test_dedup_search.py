"""The search against a full scan: it must be complete whatever the codes."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relatent.dedup import plan, words
from relatent.dedup.codes import distances, pack_bits
from relatent.dedup.plan import equal_entropy_chunks, plan_search
from relatent.dedup.search import distinct, first_equal, near_pairs, nearest_within
from relatent.dedup.words import Layout


def random_codes(rng: np.random.Generator, n: int, kind: str) -> np.ndarray:
    """Codes, uint64 (n, 2), a third of them copies of others with up to six bits flipped."""
    if kind == "uniform":
        on = np.full(128, 0.5)
    elif kind == "skewed":
        on = rng.beta(0.3, 0.3, 128)
    else:  # nearly collapsed: few bits ever on, large runs of equal hashes
        on = np.where(np.arange(128) < 10, 0.2, 0.0)
    bits = rng.random((n, 128)) < on
    for target in rng.permutation(n)[: n // 3]:
        bits[target] = bits[rng.integers(n)]
        bits[target, rng.integers(0, 128, rng.integers(0, 7))] ^= True
    return pack_bits([bits])


def scanned_pairs(codes: np.ndarray, radius: int) -> set[tuple[int, int, int]]:
    """(a, b, distance) by comparing all with all; of equal codes the first stands for the others."""
    firsts = [i for i in range(len(codes)) if not (codes[:i] == codes[i]).all(axis=1).any()]
    found = set()
    for position, a in enumerate(firsts):
        later = np.array(firsts[position + 1 :], dtype=np.int64)
        distance = distances(codes[later], codes[a])
        found |= {(a, int(b), int(d)) for b, d in zip(later, distance, strict=True) if d <= radius}
    return found


KINDS = st.sampled_from(["uniform", "skewed", "collapsed"])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 150), kind=KINDS, radius=st.integers(0, 8))
def test_near_pairs_are_those_of_a_full_scan(seed, n, kind, radius):
    """By the pigeonhole principle no pair within the radius can disagree on all masks of a plan; each comes once."""
    codes = random_codes(np.random.default_rng(seed), n, kind)
    found = [tuple(map(int, pair)) for block in near_pairs(codes, radius) for pair in zip(*block, strict=True)]
    assert len(found) == len(set(found))
    assert set(found) == scanned_pairs(codes, radius)


@pytest.mark.parametrize("kind", ["uniform", "skewed", "collapsed"])
def test_near_pairs_are_complete_over_many_slices_and_blocks(kind, monkeypatch):
    """What meets does not depend on how items are dealt to slices and blocks."""
    monkeypatch.setattr(words, "SLICE", 64)
    monkeypatch.setattr(words, "BLOCK", 200)
    codes = random_codes(np.random.default_rng(1), 1500, kind)
    found = {tuple(map(int, pair)) for block in near_pairs(codes, 4) for pair in zip(*block, strict=True)}
    assert found == scanned_pairs(codes, 4)


@pytest.mark.parametrize("radius", range(1, 9))
@pytest.mark.parametrize("kind", ["uniform", "skewed"])
def test_every_plan_covers_every_pattern_of_errors(kind, radius):
    """For any `radius` bits in error, all bits of some mask are right: that is what makes the search complete."""
    rng = np.random.default_rng(radius)
    codes = random_codes(rng, 2000, kind)
    for n in (2_000, 10**6, 10**9):
        masks = np.array(plan_search(codes, radius, n).masks, dtype=np.uint64)
        for _ in range(300):
            errors = pack_bits([np.isin(np.arange(128), rng.permutation(128)[:radius])[None]])
            assert ((errors & masks) == 0).all(axis=1).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 300), kind=KINDS)
def test_first_equal_is_the_lowest_index_of_each_code(seed, n, kind):
    codes = random_codes(np.random.default_rng(seed), n, kind)
    expected = [next(j for j in range(n) if (codes[j] == codes[i]).all()) for i in range(n)]
    assert first_equal(codes).tolist() == expected


def test_equal_hashes_of_different_codes_are_told_apart(monkeypatch):
    """The hash only brings items together; with one that says nothing the answers stay the same."""
    codes = random_codes(np.random.default_rng(3), 400, "collapsed")
    first, pairs = first_equal(codes), scanned_pairs(codes, 3)
    for module in (words, plan):
        monkeypatch.setattr(module, "hash_of", lambda codes, mask: np.zeros(len(codes), dtype=np.uint64))
    assert (first_equal(codes) == first).all()
    assert {tuple(map(int, p)) for block in near_pairs(codes, 3) for p in zip(*block, strict=True)} == pairs


def test_a_million_copies_of_one_code_are_one_group_and_no_pairs():
    """m equal items make m^2 / 2 pairs, which nobody wants listed; all-zero codes are the usual failure."""
    codes = np.zeros((300_000, 2), dtype=np.uint64)
    codes[7] = 1, 0
    first = first_equal(codes)
    assert np.flatnonzero(first != 0).tolist() == [7]
    assert [(a.tolist(), b.tolist(), d.tolist()) for a, b, d in near_pairs(codes, 2)] == [([0], [7], [1])]


@pytest.mark.parametrize("kind", ["uniform", "copies"])
def test_extra_memory_is_at_most_three_words_per_item(kind):
    """Words of the items, the first of each code, and room for a block: not the candidates."""
    n = 1_000_000
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**64, (n, 2), dtype=np.uint64)
    if kind == "copies":
        codes = codes[rng.integers(0, n // 2, n)]
    tracemalloc.start()
    for _ in near_pairs(codes, 4):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 3 * 8 * n


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), kind=KINDS, radius=st.integers(0, 5))
def test_nearest_within_is_the_nearest_of_a_full_scan(seed, kind, radius):
    rng = np.random.default_rng(seed)
    both = random_codes(rng, 160, kind)
    queries, codes = both[:40], both[40:]
    item, distance = nearest_within(queries, codes, radius)
    for query, i, d in zip(queries, item, distance, strict=True):
        apart = distances(codes, query)
        expected = (int(apart.argmin()), int(apart.min())) if apart.min() <= radius else (-1, -1)
        assert (i, d) == expected


def test_chunks_have_equal_entropy_where_bits_do_not():
    """Chunks of equal length would put nearly constant bits together, and their buckets would be huge."""
    entropy = np.concatenate([np.full(32, 1.0), np.full(96, 0.01)])
    sums = [entropy[chunk].sum() for chunk in equal_entropy_chunks(entropy, 6)]
    assert max(sums) - min(sums) <= 1.0
    assert sorted(bit for chunk in equal_entropy_chunks(entropy, 6) for bit in chunk) == list(range(128))


def test_a_search_refuses_what_is_not_packed_codes():
    with pytest.raises(ValueError, match="codes must be uint64"):
        first_equal(np.zeros((3, 128), dtype=bool))
    with pytest.raises(ValueError, match="radius 17 is outside 0 to 16"):
        next(near_pairs(np.zeros((3, 2), dtype=np.uint64), 17))


def test_a_plan_for_another_radius_is_refused():
    """A plan for a smaller radius would miss pairs in silence."""
    codes = random_codes(np.random.default_rng(0), 50, "uniform")
    with pytest.raises(ValueError, match="the plan is for radius 2, the search for 4"):
        next(near_pairs(codes, 4, plan=plan_search(codes, 2, 50)))


@pytest.mark.parametrize("n", [2, 10**6, 10**8, 2**31])
@pytest.mark.parametrize("meet_bits", [(18,), (12, 12)])
def test_a_word_has_room_for_hash_and_index_of_any_number_of_items(n, meet_bits):
    layout = Layout.of(n, meet_bits)
    assert 1 << layout.index_bits >= n
    assert layout.below_sort >= layout.index_bits


def test_distinct_lists_the_first_of_each_code():
    codes = np.array([[1, 0], [2, 0], [1, 0]], dtype=np.uint64)
    assert distinct(first_equal(codes)).tolist() == [0, 1]
