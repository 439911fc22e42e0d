"""True posteriors on a grid: they integrate to one, and they explain the bound to the digit."""

import numpy as np
import pytest
import torch
from density_models import images_for, model_with, with_broad_posterior

from relatent.errors import TrainingError
from relatent.evaluation.nll import Scored, evaluate
from relatent.evaluation.posterior_grid import CONVERGED, PosteriorGrid, posterior_grid


@pytest.fixture(scope="module")
def model():
    return with_broad_posterior(model_with(latents=(2,)))


@pytest.fixture(scope="module")
def grid(model):
    return posterior_grid(model, images_for(model, 6), 141, 7.0, 4, 0)


def test_every_posterior_integrates_to_one(grid):
    cell = (grid.axis[1] - grid.axis[0]) ** 2
    np.testing.assert_allclose(np.exp(grid.log_posterior).sum((1, 2)) * cell, 1, rtol=1e-12)


def test_finer_and_wider_grids_give_the_same_log_px(model, grid):
    """The trapezoid sum has converged: half the spacing or a wider square changes nothing."""
    x = images_for(model, 6)
    for points, reach in ((281, 7.0), (161, 8.0)):
        np.testing.assert_allclose(posterior_grid(model, x, points, reach, 1, 0).log_px, grid.log_px, atol=1e-6)


@pytest.fixture
def narrow():
    """A small step of z changes every pixel."""
    model = model_with(latents=(2,), seed=3)
    with torch.no_grad():
        model.p_x_given_z1.hidden1.weight.mul_(20)
    return model


def test_a_narrow_posterior_makes_its_grid_finer(narrow):
    """A first grid that steps over the posteriors ends in the log p(x) of one that was fine from the start."""
    x = images_for(narrow, 3)
    coarse = posterior_grid(narrow, x, 21, 5.0, 1, 0)
    assert len(coarse.axis) > 41
    np.testing.assert_allclose(coarse.log_px, posterior_grid(narrow, x, 641, 5.0, 1, 0).log_px, atol=2 * CONVERGED)


def test_a_posterior_too_narrow_for_any_grid_is_refused(narrow, monkeypatch):
    """Rather than a picture of the grid."""
    monkeypatch.setattr("relatent.evaluation.posterior_grid.MOST_POINTS", 50)
    with pytest.raises(TrainingError, match=r"posterior of image \d: log p\(x\) still moves by .* too narrow"):
        posterior_grid(narrow, images_for(narrow, 3), 21, 5.0, 1, 0)


def test_elbo_is_log_px_less_the_divergence_of_q(model, grid):
    """L_1 = log p(x) - KL(q || p(z|x)), Burda et al. 2016, sec. 2; here both sides are known."""
    found = evaluate([Scored(model, model.latents)], images_for(model, 6), 20_000, 0, "test")
    spread = found["elbo"][0] - (grid.log_px - grid.kl_from_posterior)
    assert (grid.kl_from_posterior > 0).all()
    assert abs(spread).max() < 0.1
    assert abs(spread.mean()) < 0.03


def test_a_q_that_is_the_posterior_has_no_divergence_from_it():
    """KL(N(0, 1) || N(0, 1)) = 0, and KL(N(0, 1) || N(1, 1)) = 1/2, on a grid that holds nearly all of their mass."""
    axis = np.linspace(-8, 8, 321)
    log_posterior = -(axis[:, None] ** 2 + axis**2) / 2 - np.log(2 * np.pi)
    mean = np.array([[0.0, 0.0], [1.0, 0.0]])
    grid = PosteriorGrid(axis, np.stack([log_posterior] * 2), np.zeros(2), mean, np.ones((2, 2)), np.zeros((2, 0, 1)))
    np.testing.assert_allclose(grid.kl_from_posterior, [0, 0.5], atol=1e-6)


def test_q_is_that_of_the_encoder_and_draws_are_decoded(model, grid):
    x = images_for(model, 6)
    with torch.no_grad():
        encoding = model.double().encode(torch.from_numpy(x).double())
    np.testing.assert_allclose(grid.q_mean, encoding.mean)
    np.testing.assert_allclose(grid.q_sd, encoding.sd)
    assert grid.reconstructions.shape == (6, 4, 12)
    assert ((grid.reconstructions > 0) & (grid.reconstructions < 1)).all()


def test_axes_are_the_latents_in_their_order(model):
    """The first latent runs along the first axis of an image's grid: the posterior mean says so."""
    shifted = model_with(latents=(2,), seed=5)
    with torch.no_grad():
        for name, parameter in shifted.named_parameters():
            if name.startswith("p_x_given_z1"):
                parameter.zero_()
        # Only the first latent is seen: all pixels on where it is large.
        shifted.p_x_given_z1.hidden1.weight[0, 0] = 2
        shifted.p_x_given_z1.hidden2.weight[0, 0] = 2
        shifted.p_x_given_z1.logits.weight[:, 0] = 2
    grid = posterior_grid(shifted, np.ones((1, 12), np.uint8), 101, 6.0, 1, 0)
    posterior = np.exp(grid.log_posterior[0]) * (grid.axis[1] - grid.axis[0]) ** 2
    mean = (posterior * grid.axis[:, None]).sum(), (posterior * grid.axis[None]).sum()
    assert mean[0] > 0.5
    assert mean[1] == pytest.approx(0, abs=1e-6)


def test_models_of_other_latents_are_refused():
    model = model_with(layers=2)
    with pytest.raises(ValueError, match=r"two latents in one layer; this model has \(5, 3\)"):
        posterior_grid(model, images_for(model), 21, 3.0, 1, 0)
