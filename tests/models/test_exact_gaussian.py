"""Linear-Gaussian models: closed forms against scipy, and the case in which importance sampling has no variance."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from relatent.models.exact_gaussian import LinearGaussian, LinearGaussianChain

RNG = np.random.default_rng(0)


def ppca(overdispersion=1.0, dimension=6, latents=3):
    rng = np.random.default_rng(1)
    loadings, offset = rng.normal(size=(dimension, latents)), rng.normal(size=dimension)
    return LinearGaussian(torch.from_numpy(loadings), torch.from_numpy(offset), 0.4, overdispersion)


def chain(overdispersion=1.0):
    rng = np.random.default_rng(2)
    upper, lower = torch.from_numpy(rng.normal(size=(4, 2))), torch.from_numpy(rng.normal(size=(5, 4)))
    variance1, variance0 = torch.from_numpy(rng.uniform(0.2, 1, 4)), torch.from_numpy(rng.uniform(0.2, 1, 5))
    return LinearGaussianChain(upper, lower, variance1, variance0, overdispersion)


def normals(*shape, seed=3):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_marginal_is_scipys_normal():
    """log N(x; b, W W' + s2 I)."""
    model, x = ppca(), normals(5, 6)
    covariance = model.loadings @ model.loadings.T + 0.4 * torch.eye(6, dtype=torch.float64)
    expected = stats.multivariate_normal(model.offset.numpy(), covariance.numpy()).logpdf(x.numpy())
    np.testing.assert_allclose(model.log_px(x), expected, rtol=1e-12)


def test_every_weight_is_px_when_q_is_the_posterior():
    """Bayes' rule holds at every z: log p(x|z) + log p(z) - log p(z|x) = log p(x), sample by sample."""
    model, x = ppca(), normals(5, 6)
    log_w = model.log_importance_weights(x, normals(40, 5, 3))
    np.testing.assert_allclose(log_w, model.log_px(x).expand(40, 5), atol=1e-11)


def test_two_layers_feed_each_other_in_the_papers_order():
    """z2 -> z1 -> x with q(z1|x) q(z2|z1): with exact conditionals every weight is N(x; 0, B (A A' + S1) B' + S0)."""
    model, x = chain(), normals(6, 5)
    covariance = model.lower @ (model.upper @ model.upper.T + model.variance1.diag()) @ model.lower.T
    expected = stats.multivariate_normal(np.zeros(5), (covariance + model.variance0.diag()).numpy()).logpdf(x.numpy())
    np.testing.assert_allclose(model.log_px(x), expected, rtol=1e-12)
    log_w = model.log_importance_weights(x, normals(30, 6, 4), normals(30, 6, 2, seed=4))
    np.testing.assert_allclose(log_w, model.log_px(x).expand(30, 6), atol=1e-11)


@pytest.mark.parametrize("r", [1.2, 2.0])
def test_gap_and_variance_of_an_overdispersed_proposal_are_known(r):
    """KL = latents (r - 1 - ln r)/2 and E[(w/p)^2] = (r / sqrt(2r - 1))^latents, within four standard errors."""
    model, x = ppca(r), normals(1, 6)
    excess = (model.log_importance_weights(x, normals(200_000, 1, 3)) - model.log_px(x))[:, 0].numpy()
    assert abs(-excess.mean() - model.elbo_gap()) < 4 * excess.std() / math.sqrt(200_000)
    squares = np.exp(2 * excess)
    assert abs(squares.mean() - 1 - model.relative_variance()) < 4 * squares.std() / math.sqrt(200_000)


@pytest.mark.parametrize(("r", "second_moment"), [(1.2, 2.0), (1.5, 19), (2.0, 1329), (4.0, 9.5e8)])
def test_a_small_mismatch_in_fifty_dimensions_ruins_the_weights(r, second_moment):
    """specs/iwae.md, section 7: E[(w/p)^2] in 50 dimensions; infinite from r = 1/2 down."""
    model = LinearGaussian(torch.zeros(2, 50), torch.zeros(2), 1.0, r)
    assert model.relative_variance() + 1 == pytest.approx(second_moment, rel=0.05)
    assert LinearGaussian(torch.zeros(2, 50), torch.zeros(2), 1.0, 0.5).relative_variance() == math.inf


def test_an_overdispersed_chain_still_averages_to_px():
    """E[w] = p(x) for any q that covers the posterior."""
    model, x = chain(1.3), normals(3, 5)
    log_w = model.log_importance_weights(x, normals(100_000, 3, 4), normals(100_000, 3, 2, seed=5))
    ratio = torch.exp(log_w - model.log_px(x)).numpy()
    assert (abs(ratio.mean(0) - 1) < 4 * ratio.std(0) / math.sqrt(100_000)).all()


def test_closed_form_is_the_maximum_of_the_likelihood():
    """Tipping and Bishop 1999: no small change of W, b or the variance raises the likelihood of the data."""
    data = normals(300, 3) @ normals(3, 6, seed=6) + 0.5 * normals(300, 6, seed=7) + 1
    best = LinearGaussian.maximum_likelihood(data, 3)
    top = float(best.log_px(data).mean())
    for seed in range(20):
        step = 0.02 * normals(6, 3, seed=seed), 0.02 * normals(6, seed=seed + 50), math.exp(0.05 * (-1) ** seed)
        other = LinearGaussian(best.loadings + step[0], best.offset + step[1], best.variance * step[2])
        assert float(other.log_px(data).mean()) < top


def test_too_many_latents_leave_no_noise():
    with pytest.raises(ValueError, match="6 latents leave no noise in 6 dimensions"):
        LinearGaussian.maximum_likelihood(normals(50, 6), 6)
