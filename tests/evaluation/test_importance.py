"""The summary of importance weights: true of any weights, and against toys whose answer is known."""

import itertools
import math

import numpy as np
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

from relatent.evaluation.importance import LogWeights, nested_bounds, tail_size

SUMMARIES = ("bound", "elbo", "effective_samples", "relative_variance", "stderr", "bias_first_order", "bias_jackknife")


def summary(log_w, k=None):
    return LogWeights(log_w.shape[1], k or len(log_w)).add(log_w)


@pytest.mark.parametrize("k", [1, 5, 50])
def test_sampled_bound_meets_the_enumerated_one(k):
    """Within four standard errors over 20,000 repetitions."""
    bounds = summary(toy.draws(k, 20_000)).bound
    exact, variance = toy.GOLDEN[k]
    assert abs(bounds.mean() - exact) < 4 * math.sqrt(variance / 20_000)


@pytest.mark.parametrize("cuts", [[500], [250, 250], [1] * 500, [499, 1], [0, 123, 377], [7] * 71 + [3]])
def test_any_chunking_of_the_samples_gives_the_same_answer(cuts):
    """Ragged blocks, single samples and the whole at once agree to 1e-12."""
    log_w = np.random.default_rng(0).normal(-800, 20, (500, 3))  # far below what exp can hold
    whole, running = summary(log_w), LogWeights(3, 500)
    for block in np.split(log_w, np.cumsum(cuts)[:-1]):
        running.add(block)
    for name in (*SUMMARIES, "pareto_k"):
        np.testing.assert_allclose(getattr(running, name), getattr(whole, name), rtol=1e-12, atol=1e-12)


def test_order_of_samples_and_of_images_changes_nothing():
    """Samples are exchangeable; images keep their own results (yburda/iwae#2)."""
    rng = np.random.default_rng(1)
    log_w = rng.normal(0, 5, (400, 6))
    samples, images = rng.permutation(400), rng.permutation(6)
    for name in (*SUMMARIES, "pareto_k"):
        expected = getattr(summary(log_w), name)
        np.testing.assert_allclose(getattr(summary(log_w[samples]), name), expected, rtol=1e-12, atol=1e-12)
        found = getattr(summary(log_w[:, images]), name)
        np.testing.assert_allclose(found, expected[images], rtol=1e-12, atol=1e-12)


def test_equal_weights_have_no_error_no_bias_and_full_ess():
    """Where q is the posterior every weight is p(x)."""
    found = summary(np.full((100, 2), -123.456))
    np.testing.assert_allclose(found.bound, -123.456, rtol=1e-14)
    np.testing.assert_allclose(found.effective_samples, 100)
    for name in ("stderr", "bias_first_order", "bias_jackknife", "pareto_k"):
        np.testing.assert_allclose(getattr(found, name), 0, atol=1e-12)


@pytest.mark.parametrize(("k", "spread"), [(2, 1.0), (10, 3.0), (60, 10.0), (5000, 0.5), (5000, 4.0)])
def test_jackknife_bias_is_that_of_leaving_each_sample_out(k, spread):
    """(k-1) (mean of the k leave-one-out bounds - L_k), computed the long way."""
    log_w = np.random.default_rng(2).normal(0, spread, (k, 1))
    w = np.exp(log_w[:, 0])
    left_out = np.log((w.sum() - w) / (k - 1))
    expected = (k - 1) * (left_out.mean() - np.log(w.mean()))
    assert summary(log_w).bias_jackknife[0] == pytest.approx(expected, rel=1e-7)


def test_biases_and_error_estimate_what_they_name():
    """On the toy at k = 500: the mean estimated bias and error against the enumerated ones."""
    found = summary(toy.draws(500, 2000))
    exact, variance = toy.GOLDEN[500]
    assert found.bias_first_order.mean() == pytest.approx(exact - toy.LOG_PX, rel=0.05)
    assert found.bias_jackknife.mean() == pytest.approx(exact - toy.LOG_PX, rel=0.05)
    assert found.stderr.mean() == pytest.approx(math.sqrt(variance), rel=0.05)


@given(st.lists(st.floats(-50, 50), min_size=12, max_size=12))
def test_bound_over_nested_runs_never_falls_with_k(values):
    """Jensen on the draws themselves: no tolerance but rounding, for every draw."""
    log_w = np.array(values)
    means = [nested_bounds(log_w, k).mean() for k in (1, 2, 4, 12)]
    assert all(low <= high + 1e-12 for low, high in itertools.pairwise(means))


@given(st.lists(st.floats(-50, 50), min_size=6, max_size=6), st.integers(1, 6))
def test_mean_over_all_subsets_is_below_the_whole(values, size):
    """Resampling monotonicity: the mean of L over all size-m subsets of k draws is at most the k-draw value."""
    log_w = np.array(values)
    subsets = np.array(list(itertools.combinations(log_w, size))).T
    assert summary(subsets).bound.mean() <= summary(log_w[:, None]).bound[0] + 1e-12


@pytest.mark.parametrize("r", [1.2, 1.5, 2.0])
def test_overdispersed_proposal_costs_what_theory_says(r):
    """q with r times the posterior's variance: E[(w/p)^2] = r / sqrt(2r - 1), ESS/k its inverse, weights bounded."""
    z = np.random.default_rng(3).normal(0, math.sqrt(r), (20_000, 40))
    found = summary(0.5 * z**2 * (1 / r - 1) + 0.5 * math.log(r))
    second_moment = r / math.sqrt(2 * r - 1)
    assert 1 + found.relative_variance.mean() == pytest.approx(second_moment, rel=0.01)
    assert found.effective_samples.mean() / 20_000 == pytest.approx(1 / second_moment, rel=0.01)
    assert (found.pareto_k < 0.5).all()


@pytest.mark.parametrize(("r", "trusted"), [(0.15, False), (0.7, True)])
def test_pareto_k_finds_the_tail_of_an_underdispersed_proposal(r, trusted):
    """For q with r < 1 times the variance P(w > t) falls as t^(-1/(1-r)): the shape is 1 - r, trusted below 0.7."""
    z = np.random.default_rng(4).normal(0, math.sqrt(r), (100_000, 20))
    shape = summary(0.5 * z**2 * (1 / r - 1) + 0.5 * math.log(r)).pareto_k.mean()
    assert shape == pytest.approx(1 - r, abs=0.12)
    assert (shape < 0.7) == trusted


def test_generalised_pareto_shape_is_recovered():
    """Weights that are generalised Pareto themselves, u^(-shape) tails, give back their shape."""
    uniform = np.random.default_rng(5).random((100_000, 10))
    for shape in (0.3, 0.8):
        assert summary(-shape * np.log(uniform)).pareto_k.mean() == pytest.approx(shape, abs=0.06)


def test_equal_weights_have_no_tail_though_float32_rounds_them():
    log_w = (-206 + 1e-5 * np.random.default_rng(0).integers(-1, 2, (5000, 3))).astype(np.float32)
    assert len(np.unique(log_w)) > 1
    assert (summary(log_w).pareto_k == 0).all()


def test_fewer_positive_weights_than_make_a_tail_are_not_trusted():
    log_w = np.full((5000, 1), -np.inf)
    log_w[:100] = np.random.default_rng(0).normal(0, 1, (100, 1))
    assert summary(log_w).pareto_k == math.inf


def test_one_sample_has_a_bound_but_no_error():
    """At k = 1 L_k is the log weight; its spread cannot be known."""
    found = summary(np.array([[-3.0, -4.0]]))
    np.testing.assert_array_equal(found.bound, [-3, -4])
    assert np.isnan(found.stderr).all() and np.isnan(found.bias_jackknife).all() and np.isnan(found.pareto_k).all()


def test_impossible_samples_count_as_zero_weight():
    """log w = -inf is a weight of 0, in any order of arrival."""
    log_w = np.array([[-np.inf], [0.0], [-np.inf], [0.0]])
    for block in (1, 2, 4):
        running = LogWeights(1, 4)
        for start in range(0, 4, block):
            running.add(log_w[start : start + block])
        assert running.bound[0] == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(bad):
    log_w = np.zeros((5, 3))
    log_w[2, 1] = bad
    with pytest.raises(ValueError, match="image 1 of the batch"):
        summary(log_w)


def test_more_weights_than_announced_and_no_samples_are_refused():
    with pytest.raises(ValueError, match="6 weights per image were given, 5 announced"):
        LogWeights(1, 5).add(np.zeros((6, 1)))
    with pytest.raises(ValueError, match="k is 0"):
        LogWeights(1, 0)
    with pytest.raises(ValueError, match="L_10 needs 10 samples"):
        nested_bounds(np.zeros(5), 10)


def test_tail_is_a_fifth_or_three_roots():
    """Vehtari et al. 2024, sec. 2: min(k/5, 3 sqrt(k))."""
    assert [tail_size(k) for k in (10, 100, 5000)] == [2, 20, 213]
