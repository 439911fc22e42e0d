"""Clusters: stars, not chains; of the codes, not of their order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relatent.dedup import clusters as clusters_module
from relatent.dedup.clusters import clusters
from relatent.dedup.codes import distances, pack_bits

CASES = {"seed": st.integers(0, 2**32), "n": st.integers(1, 120), "radius": st.integers(0, 6)}


def crowded_codes(seed: int, n: int) -> np.ndarray:
    """Codes of which many are near each other: 128 bits, of which few are ever on."""
    rng = np.random.default_rng(seed)
    return pack_bits([rng.random((n, 128)) < np.where(np.arange(128) < 14, 0.3, 0.0)])


def chain(length: int) -> np.ndarray:
    """Codes with 0, 1, 2, ... bits on: each one bit from the next, the ends far apart."""
    return pack_bits([np.tril(np.ones((length, 128), dtype=bool), -1)])


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_clusters_do_not_depend_on_the_order_of_the_images(seed, n, radius):
    """Centres are ranked by what the codes are, so shuffled images fall into the same clusters."""
    codes = crowded_codes(seed, n)
    order = np.random.default_rng(seed + 1).permutation(n)
    straight, shuffled = clusters(codes, radius)[order], clusters(codes[order], radius)
    together = straight[:, None] == straight[None, :]
    assert (together == (shuffled[:, None] == shuffled[None, :])).all()


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_a_cluster_is_a_star(seed, n, radius):
    """All of a cluster lie within the radius of one of them, so at most twice that apart; its lowest index is kept."""
    codes = crowded_codes(seed, n)
    lowest = clusters(codes, radius)
    for kept in np.unique(lowest):
        members = np.flatnonzero(lowest == kept)
        assert members[0] == kept
        apart = distances(codes[members][:, None], codes[members][None, :])
        assert (apart <= radius).all(axis=1).any()


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_images_with_equal_codes_are_never_parted(seed, n, radius):
    codes = crowded_codes(seed, n)
    lowest = clusters(codes, radius)
    equal = (codes[:, None] == codes[None, :]).all(axis=2)
    assert (~equal | (lowest[:, None] == lowest[None, :])).all()


def test_a_chain_of_small_steps_does_not_join_its_ends():
    """Single linkage would make one cluster of forty images whose ends have nothing in common."""
    lowest = clusters(chain(40), 1)
    assert np.bincount(lowest).max() == 3


def test_at_radius_zero_clusters_are_equal_codes():
    """The paper's rule: equal codes are duplicates, the others are not."""
    codes = chain(3)[[0, 1, 0, 2, 1]]
    assert clusters(codes, 0).tolist() == [0, 1, 0, 3, 1]


def test_pairs_that_do_not_fit_in_memory_give_the_same_clusters(monkeypatch):
    """More pairs than items are found anew in each round instead of being held."""
    codes = crowded_codes(5, 400)
    expected = clusters(codes, 3)
    monkeypatch.setattr(clusters_module, "HELD", 0)
    calls = []
    found = clusters_module.near_pairs
    monkeypatch.setattr(clusters_module, "near_pairs", lambda *args: calls.append(1) or found(*args))
    assert (clusters(codes, 3) == expected).all()
    assert len(calls) > 1


@pytest.mark.parametrize("radius", [0, 4])
def test_one_image_or_none_is_no_difficulty(radius):
    assert clusters(chain(1), radius).tolist() == [0]
    assert clusters(chain(1)[:0], radius).tolist() == []
