"""Active units: the definition, the released code's way, and what is left when inactive ones are removed."""

import numpy as np
import pytest
import torch
from density_models import images_for, model_with, with_broad_posterior

from relatent.evaluation import active_units
from relatent.evaluation.active_units import CODE_IMAGES, active_count, activity, kept_units, without_units
from relatent.evaluation.nll import Scored, evaluate


def model_with_known_means():
    """Unit u of z1 has posterior mean c_u tanh(tanh(x_0)); the rest of the encoder is zero."""
    model = model_with(pixels=4, latents=(3,))
    net = model.q_z1_given_x
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.hidden1.weight[0, 0] = 1.0
        net.hidden2.weight[0, 0] = 1.0
        net.mean.weight[:, 0] = torch.tensor([0.0, 0.2, 1.0])
    return model


def test_variance_of_a_known_encoder_is_its_known_variance():
    """With x_0 on in half of the images A_u = c^2 tanh(tanh 1)^2 / 4, on either side of the threshold."""
    x = np.zeros((1000, 4), np.uint8)
    x[::2, 0] = 1
    found = activity(model_with_known_means(), x, 2, 0)
    expected = np.array([0, 0.04, 1]) * np.tanh(np.tanh(1.0)) ** 2 / 4
    np.testing.assert_allclose(found.variance[0], expected, rtol=1e-6)
    assert expected[1] < 0.01 < expected[2]
    assert active_count(found.variance[0]) == 1
    np.testing.assert_array_equal(kept_units(found.variance)[0], [2])


def test_released_codes_variance_sees_the_first_images_only():
    """The first 500 images all alike: the released code finds no variance where the definition does."""
    x = np.zeros((1000, 4), np.uint8)
    x[CODE_IMAGES:, 0] = 1
    found = activity(model_with_known_means(), x, 2, 0)
    assert found.variance[0][2] == pytest.approx(np.tanh(np.tanh(1.0)) ** 2 / 4)
    np.testing.assert_array_equal(found.variance_code[0], 0)


def test_noise_of_z1_passes_for_activity_in_the_released_code_only():
    """q(z1|x) the same for every x: E[z2|x] is constant and A_u = 0, but one sampled z1 per image still varies."""
    model = model_with(layers=2)
    with torch.no_grad():
        model.q_z1_given_x.mean.weight.zero_()
        model.q_z1_given_x.log_sd.weight.zero_()
    found = activity(model, images_for(model, 3000), 20, 0)
    assert (found.variance_code[1] > 0.05).all()
    # The estimate is unbiased; its error is that of a variance of 3,000 means of 20 draws.
    error = found.variance_code[1] / 20 * np.sqrt(2 / 3000)
    assert (abs(found.variance[1]) < 5 * error).all()


def test_corrected_variance_of_layer_two_does_not_depend_on_the_number_of_draws():
    """Averaged over 5 or 80 draws of z1 per image, and freed of their noise, it estimates one number."""
    model = with_broad_posterior(model_with(layers=2), log_sd=-1.5)
    with torch.no_grad():
        model.q_z1_given_x.mean.weight.mul_(10)
    x = images_for(model, 3000)
    few, many = activity(model, x, 5, 0).variance[1], activity(model, x, 80, 1).variance[1]
    np.testing.assert_allclose(few, many, rtol=0.1)
    assert (activity(model, x, 5, 0).variance_code[1] > many * 1.1).any()


def test_draws_in_blocks_are_the_same_draws(monkeypatch):
    """Mean and variance over all are put together from those of blocks, a last one of a single draw included."""
    model = with_broad_posterior(model_with(layers=2, dtype=torch.float64), log_sd=-1.5)
    x = images_for(model, 30)
    whole = activity(model, x, 9, 0)
    monkeypatch.setattr(active_units, "SAMPLES_AT_ONCE", 4)
    cut = activity(model, x, 9, 0)
    np.testing.assert_allclose(cut.variance[1], whole.variance[1], rtol=1e-12)
    np.testing.assert_array_equal(cut.variance_code[1], whole.variance_code[1])


def idle(model):
    """Make unit 1 of each layer idle: q = prior there and nothing reads it."""
    with torch.no_grad():
        for net in ("q_z1_given_x", "q_z2_given_z1") if model.layers == 2 else ("q_z1_given_x",):
            for head in (getattr(model, net).mean, getattr(model, net).log_sd):
                head.weight[1] = 0
                head.bias[1] = 0
        model.p_x_given_z1.hidden1.weight[:, 1] = 0
        if model.layers == 2:
            model.q_z2_given_z1.hidden1.weight[:, 1] = 0
            model.p_z1_given_z2.hidden1.weight[:, 1] = 0
            for head in (model.p_z1_given_z2.mean, model.p_z1_given_z2.log_sd):
                head.weight[1] = 0
                head.bias[1] = 0
    return model


@pytest.mark.parametrize("layers", [1, 2])
def test_removing_an_idle_unit_changes_nothing(layers):
    """A unit whose q is its prior and that no net reads takes its factors of p and q with it: the same weights."""
    model = idle(model_with(layers=layers))
    x = images_for(model, 6)
    kept = kept_units(activity(model, images_for(model, 600), 50, 0).variance)
    assert all(1 not in units for units in kept)
    only_idle = tuple(np.delete(np.arange(latent), 1) for latent in model.latents)
    reduced = without_units(model, only_idle)
    whole = evaluate([Scored(model, model.latents)], x, 300, 0, "test")
    removed = evaluate([Scored(reduced, model.latents, only_idle)], x, 300, 0, "test")
    np.testing.assert_allclose(removed["bound"], whole["bound"], atol=1e-5)


def test_a_layer_may_lose_all_its_units():
    """A top layer that died at once leaves a model of which it is no part."""
    model = model_with(layers=2)
    kept = (np.arange(5), np.arange(0))
    reduced = without_units(model, kept)
    found = evaluate([Scored(reduced, model.latents, kept)], images_for(model, 3), 50, 0, "test")
    assert reduced.latents == (5, 0)
    assert np.isfinite(found["bound"]).all()


def test_too_few_images_or_samples_are_refused():
    model = model_with(layers=2)
    with pytest.raises(ValueError, match="too few"):
        activity(model, images_for(model, 10), 1, 0)
    with pytest.raises(ValueError, match="too few"):
        activity(model, images_for(model, 1), 10, 0)
