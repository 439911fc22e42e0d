"""Noise of an image: keyed by (seed, purpose, image), blind to blocks, standard normal."""

import numpy as np
import pytest
from scipy import stats

from relatent.evaluation.noise import ImageNoise


@pytest.mark.parametrize("latents", [(50,), (100, 50), (3,), (2, 3)])
def test_blocks_leave_no_trace(latents):
    """Any cut of the samples gives the same bits, odd numbers of latents included."""
    (whole, *_) = [ImageNoise(1, "test", 7, latents).block(100)]
    stream = ImageNoise(1, "test", 7, latents)
    parts = [stream.block(size) for size in (1, 30, 69)]
    for layer, expected in enumerate(whole):
        assert expected.shape == (latents[layer], 100)
        np.testing.assert_array_equal(np.concatenate([part[layer] for part in parts], axis=1), expected)


def test_numbers_are_standard_normal():
    """Kolmogorov-Smirnov over a million, the first four moments, and no correlation between units of one pair."""
    noise = ImageNoise(0, "test", 0, (20,)).block(50_000)[0].astype(np.float64)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert (noise**power).mean() == pytest.approx(moment, abs=0.02)
    correlation = np.corrcoef(noise) - np.eye(20)
    assert abs(correlation).max() < 5 / np.sqrt(50_000)
    assert abs(np.corrcoef(noise**2) - np.eye(20)).max() < 5 / np.sqrt(50_000)


def test_images_seeds_and_purposes_have_their_own_numbers():
    """Two streams share no number at all."""
    keys = [(0, "test", 0), (0, "test", 1), (1, "test", 0), (0, "train", 0)]
    drawn = [ImageNoise(*key, (50,)).block(200)[0] for key in keys]
    for index, one in enumerate(drawn):
        for other in drawn[:index]:
            assert not (one == other).any()


def test_extremes_are_finite():
    """Four million numbers: the largest is where a normal's should be, none is infinite."""
    noise = ImageNoise(3, "test", 0, (50,)).block(80_000)[0]
    assert np.isfinite(noise).all()
    assert 4.7 < abs(noise).max() < 6.8
