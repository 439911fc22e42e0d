"""Models with countable latent states: distributions that sum to one, and sums taken the long way."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from relatent.errors import TrainingError
from relatent.models.exact import BernoulliLatent, GaussianMixture
from relatent.training.exact import fit_bernoulli, fit_mixture, initialise


def bernoulli(latents=3, pixels=4, seed=0):
    model = BernoulliLatent(latents, 5, pixels).double()
    initialise(model, np.random.default_rng(seed))
    with torch.no_grad():
        model.prior_logits.copy_(torch.linspace(-1, 2, latents))
    return model


def all_images(pixels):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=pixels)), dtype=torch.float64)


def test_bernoulli_model_sums_to_one_over_all_images():
    """Sixteen images of four pixels: sum of p(x) is 1, and so are prior and proposal over the eight states."""
    model, x = bernoulli(), all_images(4)
    assert float(torch.logsumexp(model.log_px(x), 0).detach()) == pytest.approx(0, abs=1e-12)
    assert float(torch.logsumexp(model.log_pz(), 0).detach()) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(torch.logsumexp(model.log_proposal(x), 0).detach(), 0, atol=1e-12)


def test_bernoulli_sum_is_the_loop_over_states():
    """Prior, decoder and pixels written out for every one of the 2^3 states."""
    model, x = bernoulli(), all_images(4)[11]
    beta = torch.sigmoid(model.prior_logits).detach()
    total = 0.0
    for state in itertools.product((0.0, 1.0), repeat=3):
        z = torch.tensor(state, dtype=torch.float64)
        pixel = torch.sigmoid(model.decoder(z)).detach()
        total += float((beta**z * (1 - beta) ** (1 - z)).prod() * (pixel**x * (1 - pixel) ** (1 - x)).prod())
    assert float(model.log_px(x[None]).detach()) == pytest.approx(math.log(total), abs=1e-12)


def test_posterior_marginals_are_those_of_bayes_rule():
    model, x = bernoulli(), all_images(4)[5:6]
    posterior = torch.softmax(model.log_joint(x), 0)[:, 0]
    expected = [float(posterior[model.states[:, j] == 1].sum().detach()) for j in range(3)]
    np.testing.assert_allclose(model.posterior_marginals(x)[0].detach(), expected, atol=1e-12)


def test_exact_likelihood_is_learned():
    """Two kinds of images, equally often: log p(x) comes near -log 2, the entropy of the data, and never above it."""
    x = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.float64).repeat(50, 1)
    model = bernoulli(latents=2, pixels=6)
    history = fit_bernoulli(lambda _: x, model, 60, 20, 20, 0.05)
    assert history[0] < history[-1] < -math.log(2)
    assert float(model.log_px(x).mean().detach()) == pytest.approx(-math.log(2), abs=0.05)
    gap = torch.softmax(model.log_joint(x), 0) - model.log_proposal(x).exp()
    assert float(gap.abs().max().detach()) < 0.6  # a factorised q of a posterior that may not be


def test_diverged_fit_stops_with_its_epoch():
    x = torch.full((4, 4), math.nan, dtype=torch.float64)
    with pytest.raises(TrainingError, match="became nan in epoch 0; lower the learning rate"):
        fit_bernoulli(lambda _: x, bernoulli(), 3, 1, 2, 0.01)


def test_more_than_sixteen_binary_latents_are_refused():
    with pytest.raises(ValueError, match=r"2\^17 states"):
        BernoulliLatent(17, 5, 4)


def test_mixture_density_is_scipys():
    """The constants of the Gaussians (2 pi) and the uniform prior."""
    rng = np.random.default_rng(0)
    means, variances, x = rng.normal(size=(3, 2)), rng.uniform(0.1, 2, (3, 2)), rng.normal(size=(7, 2))
    mixture = GaussianMixture(*map(torch.from_numpy, (means, variances)))
    expected = sum(
        stats.multivariate_normal(mean, np.diag(variance)).pdf(x) / 3
        for mean, variance in zip(means, variances, strict=True)
    )
    np.testing.assert_allclose(mixture.log_px(torch.from_numpy(x)), np.log(expected), rtol=1e-12)


def test_em_never_lowers_the_likelihood_and_finds_three_clusters():
    """Simulated from a seed: three unit Gaussians at corners of a triangle; EM is monotone and recovers the corners."""
    rng = np.random.default_rng(1)
    corners = np.array([[0.0, 0], [8, 0], [0, 8]])
    x = torch.from_numpy(corners[rng.integers(0, 3, 900)] + rng.normal(size=(900, 2)))
    mixture, history = fit_mixture(x, 3, 100, np.random.default_rng(0))
    assert (history.diff() > -1e-12).all()
    found = mixture.means.numpy()
    assert all(np.linalg.norm(found - corner, axis=1).min() < 0.3 for corner in corners)


def test_mixture_refuses_variances_that_are_none():
    with pytest.raises(ValueError, match="above 0"):
        GaussianMixture(torch.zeros(2, 1), torch.zeros(2, 1))
