"""Pictures of the latent space: means of the prior's images, paths that stay in its mass, weights as pictures."""

import numpy as np
import pytest
import torch
from density_models import model_with

from relatent.evaluation.latent_space import first_layer_weights, last_layer_weights, path_images, sample_images

SHAPE = (1, 3, 4)


@pytest.mark.parametrize("layers", [1, 2])
def test_samples_are_the_means_of_images_from_the_prior(layers):
    """Over many samples the mean picture is the prior's mean, estimated by decoding z1 drawn afresh."""
    model = model_with(layers=layers)
    mean = sample_images(model, 4000, 0, SHAPE).mean(0).ravel() / 255
    noise = [
        torch.randn(4000, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) for n in model.latents
    ]
    with torch.no_grad():
        expected = model.sample_prior(noise).mean(0).numpy()
    np.testing.assert_allclose(mean, expected, atol=0.04)


def test_two_layers_sample_z1_and_do_not_take_its_mean():
    """With a top layer that says nothing but sd = 1, samples still differ, as in the paper's figure 3."""
    model = model_with(layers=2)
    with torch.no_grad():
        for parameter in model.p_z1_given_z2.parameters():
            parameter.zero_()
    assert sample_images(model, 50, 0, SHAPE).std(axis=0).max() > 10
    paths = path_images(model, 3, 5, 0, SHAPE)
    assert (paths == paths[:, :1]).all()  # along a path only z2 changes, and here it says nothing


def test_a_path_joins_two_draws_and_stays_in_the_mass_of_the_prior():
    """Every point cos(t) a + sin(t) b is distributed as the prior: mean pictures half-way and at the ends agree."""
    model = model_with()
    coarse, fine = path_images(model, 3000, 2, 0, SHAPE), path_images(model, 3000, 3, 0, SHAPE)
    np.testing.assert_array_equal(fine[:, [0, 2]], coarse)
    np.testing.assert_allclose(fine[:, 1].mean(0), fine[:, 0].mean(0), atol=10)
    np.testing.assert_allclose(fine[:, 1].std(0), fine[:, 0].std(0), atol=10)


def test_more_samples_begin_with_the_fewer():
    """Sample i does not depend on how many are drawn; another seed draws others."""
    model = model_with()
    np.testing.assert_array_equal(sample_images(model, 20, 0, SHAPE)[:5], sample_images(model, 5, 0, SHAPE))
    assert (sample_images(model, 5, 1, SHAPE) != sample_images(model, 5, 0, SHAPE)).any()


def test_weights_next_to_the_pixels_are_pictures_of_the_units():
    model = model_with()
    with torch.no_grad():
        model.q_z1_given_x.hidden1.weight[2, 5] = 9
        model.p_x_given_z1.logits.weight[5, 2] = 7
    assert first_layer_weights(model, SHAPE)[2, 0, 1, 1] == 9
    assert last_layer_weights(model, SHAPE)[2, 0, 1, 1] == 7
