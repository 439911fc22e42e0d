"""L_k by enumeration: golden values, and the theory of Burda et al. 2016 and Nowozin 2018 held against them."""

import itertools

import numpy as np
import pytest
import toy
from scipy.stats import binom

from relatent.evaluation.enumeration import compositions, exact_bound


@pytest.mark.parametrize("k", toy.GOLDEN)
def test_golden_values_of_the_two_state_toy(k):
    """specs/iwae.md, section 7."""
    bound, variance = exact_bound(toy.LOG_W, toy.Q, k)
    assert bound == pytest.approx(toy.GOLDEN[k][0], abs=1e-10)
    assert variance == pytest.approx(toy.GOLDEN[k][1], abs=1e-10)


def test_bound_grows_with_k_towards_log_px():
    """Theorem 1 of Burda et al. 2016."""
    bounds = [exact_bound(toy.LOG_W, toy.Q, k)[0] for k in (*range(1, 30), 100, 1000)]
    assert all(low < high for low, high in itertools.pairwise(bounds))
    assert toy.LOG_PX - 1e-3 < bounds[-1] < toy.LOG_PX


def test_mean_weight_is_unbiased_for_any_k():
    """E[phat] = p(x): what the logarithm biases is not."""
    for k in (1, 3, 20):
        counts = compositions(k, 2)
        probability = binom.pmf(counts[:, 0], k, toy.Q[0])
        assert probability @ (counts @ np.exp(toy.LOG_W)) / k == pytest.approx(np.exp(toy.LOG_PX), abs=1e-12)


def test_bias_and_variance_follow_their_expansions_in_one_over_k():
    """Nowozin 2018, Props. 1 and 2: what is left after the 1/k^2 term falls as 1/k^3, eightfold when k doubles."""
    mu2, mu3 = toy.RELATIVE_VARIANCE, toy.RELATIVE_THIRD_MOMENT

    def left(k: int) -> tuple[float, float]:
        bound, variance = exact_bound(toy.LOG_W, toy.Q, k)
        bias = -mu2 / (2 * k) + (mu3 / 3 - 3 * mu2**2 / 4) / k**2
        spread = mu2 / k - (mu3 - 5 * mu2**2 / 2) / k**2
        return bound - (np.log(0.4) + bias), variance - spread

    for at_k, at_2k in zip(left(500), left(1000), strict=True):
        assert at_k / at_2k == pytest.approx(8, rel=0.1)


def test_first_order_bias_is_what_the_specs_say():
    """0.9453/k: 0.01891 at k=50 and 0.0018906 at k=500."""
    assert abs(toy.RELATIVE_VARIANCE / 2 - 0.9453) < 1e-4
    assert -exact_bound(toy.LOG_W, toy.Q, 500)[0] + toy.LOG_PX == pytest.approx(0.0018906, rel=0.004)


@pytest.mark.parametrize("k", toy.JACKKNIFE_ERROR)
def test_jackknife_is_closer_but_no_bound(k):
    """k L_k - (k-1) L_{k-1} lies above log p(x) from k = 10 on."""
    corrected = k * exact_bound(toy.LOG_W, toy.Q, k)[0] - (k - 1) * exact_bound(toy.LOG_W, toy.Q, k - 1)[0]
    assert corrected - toy.LOG_PX == pytest.approx(toy.JACKKNIFE_ERROR[k], abs=1e-8)


@pytest.mark.parametrize(
    ("q", "w", "above"),
    [([0.4, 0.3, 0.2, 0.1], [0.2, 0.6, 1.2, 3.0], True), ([0.9, 0.05, 0.03, 0.02], [0.8, 0.9, 1.0, 2.5], False)],
)
def test_jackknife_leaves_the_second_term_of_the_bias(q, w, above):
    """Of four states: with bias b1/k + b2/k^2 (Nowozin 2018, Prop. 1) b1 cancels and -b2/(k(k-1)) is left, on either
    side of log p(x); what is left of that falls as 1/k, by half when k doubles."""
    q, w = np.array(q), np.array(w)
    px = q @ w
    b2 = q @ (w - px) ** 3 / (3 * px**3) - 3 * (q @ (w - px) ** 2) ** 2 / (4 * px**4)

    def error(k: int) -> float:
        return k * exact_bound(np.log(w), q, k)[0] - (k - 1) * exact_bound(np.log(w), q, k - 1)[0] - np.log(px)

    at_k, at_2k = (k * (k - 1) * error(k) for k in (30, 60))
    assert (at_2k > 0) == above == (b2 < 0)
    assert (at_k + b2) / (at_2k + b2) == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("k", [1, 2, 5, 20, 100])
def test_overshoot_is_exponentially_rare(k):
    """P(log phat > log p + b) <= exp(-b), and E|log phat - log p| <= 2 + 2 (log p - L_k): Burda et al., app. B."""
    counts = compositions(k, 2)
    probability = binom.pmf(counts[:, 0], k, toy.Q[0])
    overshoot = np.log(counts @ np.exp(toy.LOG_W) / k) - toy.LOG_PX
    for b in np.linspace(0, 2, 41):
        assert probability[overshoot > b].sum() <= np.exp(-b)
    assert probability @ abs(overshoot) <= 2 + 2 * (toy.LOG_PX - exact_bound(toy.LOG_W, toy.Q, k)[0])


def test_more_states_agree_with_all_sequences_of_draws():
    """For k = 3 and four states the expectation over counts is that over the 64 ordered draws."""
    rng = np.random.default_rng(0)
    q = rng.dirichlet(np.ones(4))
    log_w = rng.normal(size=4)
    draws = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    expected = (q[draws].prod(axis=1) * np.log(np.exp(log_w)[draws].mean(axis=1))).sum()
    assert exact_bound(log_w, q, 3)[0] == pytest.approx(expected, abs=1e-12)


def test_too_many_counts_are_refused_before_memory_is():
    with pytest.raises(ValueError, match="too many to enumerate"):
        exact_bound(np.zeros(20), np.full(20, 0.05), 5000)
