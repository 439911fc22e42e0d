"""The arithmetic of tables: paired differences of images and of counts, and what the paper only bounds."""

import numpy as np
import pytest

from relatent.report.statistics import Interval, holm, paired_difference, verdict_beside


def test_paired_difference_of_one_seed_is_the_paired_t_test():
    """Against scipy's."""
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (1, 50)), rng.normal(0.2, 1, (1, 50))
    found, expected = paired_difference(a, b), ttest_rel(a[0], b[0])
    assert found.p_value == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert (found.interval.over, found.n_seeds) == ("test sampling", 1)


def test_paired_difference_covers_what_seeds_and_images_change():
    """Both kinds of error are drawn anew; the interval holds the truth about 95 times in 100."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        images, seeds = rng.normal(0, 1, 40), rng.normal(0, 0.3, (6, 1))
        found = paired_difference(1.0 + images + seeds + rng.normal(0, 0.1, (6, 40)), np.zeros((6, 40)))
        held += found.interval.low <= 1.0 <= found.interval.high
    assert 0.92 < held / 400 < 0.98


def test_a_count_of_one_model_each_cannot_be_tested():
    found = paired_difference(np.array([[19.0]]), np.array([[25.0]]), step=1.0)
    assert (found.mean, found.interval, found.p_value) == (-6.0, None, None)


@pytest.mark.parametrize(("less", "below"), [(1.0, False), (4.0, True)])
def test_counts_that_agree_over_seeds_still_have_their_rounding(less, below):
    """Three times one unit fewer shows nothing; three times four does."""
    counts = np.array([[20.0], [21.0], [20.0]])
    found = paired_difference(counts - less, counts, step=1.0)
    assert found.interval.over == "seeds" and found.mean == -less
    assert (found.interval.high < 0, found.p_value < 0.05) == (below, below)


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="3 and 4 images"):
        paired_difference(np.zeros((1, 3)), np.zeros((1, 4)))


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ((-0.05, 0.03), "reproduced"),
        ((-0.06, 0.06), "reproduced"),
        ((-0.5, 0.03), "inconclusive"),
        ((0.1, 0.2), "worse"),
        ((-0.2, -0.1), "worse"),
    ],
)
def test_at_most_is_a_bound_on_both_sides(ends, verdict):
    """Burda et al. 2016, sec. 5: without its inactive units the likelihood changes by less than 0.06 nats."""
    value, interval = sum(ends) / 2, Interval(*ends, "test sampling")
    assert verdict_beside(0.06, 0.005, value, interval, 0.0, "at most") == verdict


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ((0.62, 0.79), "reproduced"),
        ((0.616, 0.794), "reproduced"),
        ((0.60, 0.70), "inconclusive"),
        ((0.5, 0.9), "inconclusive"),
        ((0.02, 0.04), "worse"),
        ((-0.7, -0.5), "worse"),
        ((1.0, 1.1), "worse"),
    ],
)
def test_a_range_has_two_ends_and_no_negative(ends, verdict):
    """Burda et al. 2016, sec. 5.1: the training log-likelihood was 0.62 to 0.79 nats higher, rounded, not lower."""
    value, interval = sum(ends) / 2, Interval(*ends, "regression")
    assert verdict_beside(0.705, 0.005, value, interval, 0.085, "within") == verdict


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
