"""The bounds against exact answers: a two-state toy whose L_k is a finite sum, and theorems that hold draw by draw."""

import itertools
import math

import pytest
import torch

from relatent.objectives.bounds import BOUNDS, elbo, equal_weights, iwae_bound, normalised_weights

# Two states: prior (1/2, 1/2), q (0.8, 0.2), likelihood (0.2, 0.6); w = prior * likelihood / q and p(x) = 0.4.
W = torch.tensor([0.125, 1.5], dtype=torch.float64)
Q = torch.tensor([0.8, 0.2], dtype=torch.float64)
LOG_PX = math.log(0.4)

# k: L_k, variance of log phat, error of the first-order jackknife k L_k - (k-1) L_{k-1} - log p(x)
GOLDEN = {
    1: (-1.582460211722, 0.987961769306, None),
    2: (-1.381068579080, 0.880431532061, -0.263386215),
    5: (-1.138396856635, 0.496950633850, -0.017232265),
    10: (-1.024317468576, 0.241190153353, 0.009458964),
    50: (-0.935767323917, 0.039937570455, 0.000598770),
    100: (-0.925884287063, 0.019423876419, 0.000144156),
    500: (-0.918186899976, 0.003801508505, None),
}


def outcomes(k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """log_w of every outcome of k draws up to order, (k, k + 1), and the outcomes' probabilities, (k + 1,)."""
    second = torch.arange(k + 1)
    log_w = torch.where(torch.arange(k)[:, None] < second, W.log()[1], W.log()[0])
    log_choices = torch.tensor([math.log(math.comb(k, n)) for n in range(k + 1)], dtype=torch.float64)
    probability = torch.exp(log_choices + (k - second) * Q[0].log() + second * Q[1].log())
    return log_w, probability


def expected_bound(k: int) -> float:
    log_w, probability = outcomes(k)
    return (probability * iwae_bound(log_w)).sum().item()


@pytest.mark.parametrize("k", GOLDEN)
def test_expected_bound_of_the_two_state_toy(k):
    """L_k and the variance of log phat, by enumeration, against the golden values of specs/iwae.md, section 7."""
    log_w, probability = outcomes(k)
    bound = iwae_bound(log_w)
    mean = (probability * bound).sum()
    assert mean.item() == pytest.approx(GOLDEN[k][0], abs=1e-10)
    assert (probability * (bound - mean).square()).sum().item() == pytest.approx(GOLDEN[k][1], abs=1e-10)


@pytest.mark.parametrize("k", [k for k in GOLDEN if GOLDEN[k][2] is not None])
def test_jackknife_is_no_bound(k):
    """k L_k - (k-1) L_{k-1} has an error of order 1/k^2, and lies above log p(x) from k = 10 on."""
    jackknife = k * expected_bound(k) - (k - 1) * expected_bound(k - 1)
    assert jackknife - LOG_PX == pytest.approx(GOLDEN[k][2], abs=1e-8)


def test_expected_bound_rises_with_k_to_log_px():
    """Theorem 1: L_1 <= L_2 <= ... <= log p(x)."""
    bounds = [expected_bound(k) for k in (*range(1, 20), 50, 500)]
    assert bounds == sorted(bounds)
    assert bounds[-1] < LOG_PX


@pytest.mark.parametrize("k", [1, 5, 50])
def test_mean_weight_is_px_at_every_k(k):
    """E[phat] = p(x), on phat and not on its logarithm."""
    log_w, probability = outcomes(k)
    assert (probability * iwae_bound(log_w).exp()).sum().item() == pytest.approx(0.4, rel=1e-13)


@pytest.mark.parametrize("k", [50, 500])
def test_gap_is_the_variance_of_w_over_2k(k):
    """Nowozin 2018: mu2 / (2 k mu^2), here 0.9453 / k, less terms of order 1/k^2."""
    mu, mu2 = 0.4, (Q * (W - 0.4).square()).sum().item()
    mu3 = (Q * (W - 0.4) ** 3).sum().item()
    assert mu2 / mu**2 == pytest.approx(1.890625)
    second_order = (mu3 / (3 * mu**3) - 3 * mu2**2 / (4 * mu**4)) / k**2
    assert expected_bound(k) - LOG_PX == pytest.approx(-mu2 / (2 * k * mu**2) + second_order, abs=6 / k**3)


def test_bound_is_rarely_far_above_log_px():
    """P(log phat > log p + b) <= exp(-b), mean absolute deviation at most 2 + 2 (log p - L_k): appendix B."""
    for k in (1, 2, 5, 10):
        log_w, probability = outcomes(k)
        excess = iwae_bound(log_w) - LOG_PX
        for b in (0.1, 0.5, 1.0, 1.3):
            assert probability[excess > b].sum() <= math.exp(-b)
        deviation = (probability * (iwae_bound(log_w) - expected_bound(k)).abs()).sum()
        assert deviation <= 2 + 2 * (LOG_PX - expected_bound(k))


def test_sampled_bound_agrees_with_the_enumerated_one():
    """Within four standard errors."""
    rng = torch.Generator().manual_seed(0)
    second = torch.rand(5, 200_000, generator=rng) < Q[1]
    bound = iwae_bound(torch.where(second, W.log()[1], W.log()[0]))
    error = bound.std() / math.sqrt(200_000)
    assert abs(bound.mean() - GOLDEN[5][0]) < 4 * error


def test_bound_of_subsets_never_exceeds_the_whole():
    """The mean of L_m over all subsets of the same k draws is at most their L_k, for every draw: Theorem 1's proof."""
    log_w = 3 * torch.randn(6, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = [
        torch.stack([iwae_bound(log_w[list(some)]) for some in itertools.combinations(range(6), m)]).mean(0)
        for m in range(1, 7)
    ]
    assert all((low <= high + 1e-14).all() for low, high in itertools.pairwise(means))
    torch.testing.assert_close(means[0], elbo(log_w))
    torch.testing.assert_close(means[-1], iwae_bound(log_w))


@pytest.mark.parametrize("objective", BOUNDS)
def test_coefficients_are_the_bounds_derivative(objective):
    """The second of each pair is the derivative of the first by log w, to 1e-12."""
    bound, coefficients_of = BOUNDS[objective]
    log_w = (20 * torch.randn(7, 9, dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(bound(log_w).sum(), log_w)
    torch.testing.assert_close(coefficients_of(log_w.detach()), gradient, rtol=1e-12, atol=1e-12)


def test_one_sample_makes_vae_and_iwae_equal_bit_for_bit():
    """At k = 1 both bounds are log w itself and both coefficients are 1."""
    log_w = -100 * torch.rand(1, 1000)
    assert torch.equal(elbo(log_w), iwae_bound(log_w))
    assert torch.equal(elbo(log_w), log_w[0])
    assert torch.equal(equal_weights(log_w), normalised_weights(log_w))


def test_surrogate_exceeds_the_bound_by_a_divergence():
    """sum wt log w = log phat + KL(wt || uniform), between 0 and log k above: why it is never reported (sec. 6.1)."""
    log_w = 2 * torch.randn(50, 20, dtype=torch.float64)
    weights = normalised_weights(log_w)
    divergence = (weights * (weights * 50).log()).sum(0)
    torch.testing.assert_close((weights * log_w).sum(0), iwae_bound(log_w) + divergence)
    assert ((divergence >= 0) & (divergence <= math.log(50))).all()


def test_order_of_samples_and_images_does_not_matter():
    """Permuting samples changes nothing beyond rounding; permuting images permutes the values."""
    log_w = -50 * torch.rand(9, 12, dtype=torch.float64)
    torch.testing.assert_close(iwae_bound(log_w[torch.randperm(9)]), iwae_bound(log_w), rtol=1e-14, atol=0)
    images = torch.randperm(12)
    assert torch.equal(iwae_bound(log_w[:, images]), iwae_bound(log_w)[images])


def test_weights_that_underflow_keep_their_bound():
    """exp(-10,000) is 0 in any float; the bound is not minus infinity."""
    log_w = torch.tensor([[-10_000.0], [-10_001.0]])
    assert iwae_bound(log_w).item() == pytest.approx(-10_000 + math.log((1 + math.exp(-1)) / 2), abs=1e-3)
    assert normalised_weights(log_w).sum().item() == pytest.approx(1)
