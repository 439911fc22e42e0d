"""Planted copies, the judge, and what their counts may claim."""

import numpy as np
import pytest

from relatent.dedup.codes import bit_probabilities, code_statistics, needed_entropy_bits, pack_bits, unpack_bits
from relatent.dedup.findings import find, judged_collisions, leaks, pixel_copies
from relatent.dedup.judge import judge, share_interval
from relatent.dedup.metrics import collapse_warnings, collision_entropy, dedup_metrics
from relatent.dedup.planted import near_copies, plant
from relatent.dedup.search import first_equal


def pictures(n: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Smooth uint8 pictures, (n, channels, 32, 32), no two alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, channels, 5, 5))
    x = np.linspace(0, 3.999, 32)
    left, share = x.astype(int), x % 1
    rows = coarse[:, :, left] * (1 - share)[:, None] + coarse[:, :, left + 1] * share[:, None]
    return (rows[..., left] * (1 - share) + rows[..., left + 1] * share).astype(np.uint8)


def codes_by_pixels(images: np.ndarray) -> np.ndarray:
    """A code that needs no network: every pixel of a coarse grid above mid-grey or not."""
    return pack_bits([(images[:, 0, ::3, ::3] > 127).reshape(len(images), -1)])


JUDGE = {"same_correlation": 0.95, "same_rms": 0.03}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "strength"), [("jpeg", 90), ("shift", 1), ("brightness", 0.9), ("resize", 0.5)])
def test_a_planted_copy_is_the_same_picture_and_not_the_same_bytes(kind, strength, channels):
    """Otherwise recall would be measured on something that is no near-copy."""
    images = pictures(20, channels=channels)
    copies = near_copies(images, kind, strength, np.random.default_rng(0))
    assert copies.shape == images.shape and copies.dtype == np.uint8
    assert (copies != images).any(axis=(1, 2, 3)).all()
    assert judge(images, copies, same_correlation=0.9, same_rms=0.03).same.all()


def test_a_shift_moves_the_picture_by_whole_pixels():
    images = pictures(30)
    moved = near_copies(images, "shift", 2, np.random.default_rng(0))
    inside = (slice(None), slice(2, -2), slice(2, -2))
    candidates = [np.roll(images, shift, axis) for axis in (2, 3) for shift in (-2, 2)]
    for i, image in enumerate(moved):
        assert any((image[inside] == candidate[i][inside]).all() for candidate in candidates)


def test_an_unknown_kind_of_copy_is_refused():
    with pytest.raises(ValueError, match="unknown kind of near-copy 'blur'"):
        near_copies(pictures(1), "blur", 1, np.random.default_rng(0))


def test_recall_counts_copies_within_the_radius():
    """Brightness 1.0 changes nothing, so all such copies are found exactly; a wide radius finds all of any kind."""
    images = pictures(50)
    codes = codes_by_pixels(images)
    strengths = {"brightness": [1.0], "shift": [2]}
    unchanged, moved = plant(images, codes, codes_by_pixels, strengths, copies=30, seed=0)
    assert (len(unchanged.distance), unchanged.found(0)) == (30, 30)
    assert moved.found(0) < moved.found(128) == 30


def test_the_judge_sees_structure_and_not_hue():
    """Two textures on one blue would correlate if the channels' own means were left in."""
    rng = np.random.default_rng(0)
    blue = np.array([60, 120, 230])[None, :, None, None]
    a, b = ((blue + rng.normal(0, 20, (5, 3, 32, 32))).clip(0, 255).astype(np.uint8) for _ in range(2))
    assert not judge(a, b, **JUDGE).same.any()
    assert judge(a, a, **JUDGE).same.all()


def test_the_judge_takes_flat_pictures_by_their_difference():
    """In a flat picture only noise varies, and noise does not correlate; a flat one has correlation 0."""
    sky = np.full((1, 3, 32, 32), 200, dtype=np.uint8)
    verdict = judge(sky, sky + 3, **JUDGE)
    assert verdict.correlation[0] == 0 and verdict.same[0]
    assert not judge(sky, sky - 40, **JUDGE).same[0]


def test_none_wrong_in_299_means_fewer_than_one_in_a_hundred():
    """The rule of three, exactly: 0.99^299 is the first power of 0.99 below 5 %."""
    assert share_interval(299, 299)[0] > 0.99 > share_interval(298, 298)[0]
    assert share_interval(0, 0) == (0.0, 1.0)


def test_an_interval_holds_the_share_and_narrows_with_more_pairs():
    for judged in (20, 200, 2000):
        low, high = share_interval(judged * 9 // 10, judged)
        assert low < 0.9 < high
    assert share_interval(1800, 2000)[0] > share_interval(18, 20)[0]


def test_needed_entropy_is_the_papers_31_bits():
    """3.03 million images of which 275,000 are removed, fewer than 1 % by chance (specs, section 4)."""
    assert needed_entropy_bits(3_030_000, 275_000, 0.01) == pytest.approx(30.6, abs=0.05)


def test_bits_survive_packing():
    bits = np.random.default_rng(0).random((70, 100)) < 0.3
    codes = pack_bits([bits[:33], bits[33:]])
    assert (unpack_bits(codes, 100) == bits).all()
    assert bit_probabilities(codes, 100) == pytest.approx(bits.mean(axis=0))
    with pytest.raises(ValueError, match="a code has 129 bits"):
        pack_bits([np.zeros((1, 129), dtype=bool)])


def test_entropies_of_independent_fair_bits_are_their_number():
    codes = np.random.default_rng(0).integers(0, 2**64, (20_000, 2), dtype=np.uint64)
    found = code_statistics(codes, 128, first_equal(codes), np.random.default_rng(1))
    assert found.collision_entropy_independent == pytest.approx(128, abs=0.1)
    assert found.entropy == pytest.approx(np.log2(20_000))  # no two equal
    assert found.distance_mean == pytest.approx(64, abs=0.2)


def test_collision_entropy_counts_only_pairs_of_different_pictures():
    """Copies collide by right. With half of the pictures doubled exactly, no chance collision is seen."""
    images = np.repeat(pictures(100), 2, axis=0)
    first = np.repeat(np.arange(0, 200, 2), 2)
    same = judged_collisions(images, first, most=299, seed=0, **JUDGE)
    assert same.total == 100 and same.verdicts.same.all()
    assert collision_entropy(200, same)["bound"] == "at least"
    strangers = judged_collisions(pictures(200), first, most=299, seed=0, **JUDGE)
    assert collision_entropy(200, strangers)["value"] == pytest.approx(np.log2(200 * 199 / 2 / 100))


def test_collapsed_codes_are_warned_of():
    """All images on one code: everything but one would be removed, and silently so without a warning."""
    images = pictures(60)
    codes = np.zeros((60, 2), dtype=np.uint64)
    first = first_equal(codes)
    found = find(images, images[:0], codes, codes[:0], 0, most=299, seed=0, **JUDGE)
    collisions = judged_collisions(images, first, most=299, seed=0, **JUDGE)
    statistics = code_statistics(codes, 128, first, np.random.default_rng(0))
    metrics = dedup_metrics(found, statistics, [], collisions, None, 0, 0.01)
    warnings = collapse_warnings(metrics, 128)
    assert "60 of 60 images share one code" in warnings[0]
    assert "different pictures are removed" in warnings[1]
    assert "128 of 128 bits are the same in all images" in warnings[2]
    assert metrics["precision"]["value"] == 0 and metrics["n_kept"]["value"] == 1


def test_leaks_are_test_images_found_in_the_train_split():
    train = pictures(50)
    test = np.concatenate([pictures(5, seed=9), train[[7]]])
    found = leaks(train, test, codes_by_pixels(train), codes_by_pixels(test), 0, **JUDGE)
    assert (found.a.tolist(), found.b.tolist()) == ([5], [7])
    assert found.verdicts.same.all()


def test_a_scan_by_pixels_finds_copies_that_the_codes_miss():
    """It needs no code, so it is a reference for their recall."""
    train = pictures(80)
    test = np.concatenate([pictures(5, seed=9), near_copies(train[[3, 60]], "shift", 1, np.random.default_rng(0))])
    copies = pixel_copies(train, test, codes_by_pixels(train), codes_by_pixels(test), 0.9)
    assert copies is not None
    assert (copies.a.tolist(), copies.b.tolist()) == ([5, 6], [3, 60])
    assert (copies.distance > 0).all()


def test_a_scan_by_pixels_leaves_out_flat_pictures_and_large_sets(monkeypatch):
    flat = np.full((3, 1, 32, 32), 9, dtype=np.uint8)
    codes = codes_by_pixels(flat)
    found = pixel_copies(flat, flat, codes, codes, 0.9)
    assert found is not None and not len(found.a)
    monkeypatch.setattr("relatent.dedup.findings.MOST_PRODUCTS", 100)
    assert pixel_copies(flat, flat, codes, codes, 0.9) is None
