"""The density models: sizes, the factors of the importance weight, initialisation."""

import math

import numpy as np
import pytest
import torch
from density_cases import batch, random_model

from relatent.models.densities import Gaussian, log_standard_normal, softplus_sum, tanh
from relatent.models.density import DensityModel, model_of, pixel_means


@pytest.mark.parametrize(("layers", "parameters"), [(1, 425_284), (2, 521_084)])
def test_parameter_counts_are_the_papers(layers, parameters):
    """784-200-200-50 and back; 784-200-200-100, 100-100-100-50 and back (Burda et al. 2016, sec. 5)."""
    assert sum(value.numel() for value in DensityModel(784, layers).parameters()) == parameters


@pytest.mark.parametrize("layers", [1, 2])
def test_weight_is_the_sum_of_its_three_densities(layers):
    """The shortcut through the noise equals log p(x|z) + log p(z) - log q(z|x) evaluated at the draws."""
    model = random_model(layers=layers)
    x, noise = batch(model)
    encoding = model.encode(x)
    z = model.sample_posterior(encoding, noise).z
    whole = model.log_px_given_z(x, z) + model.log_pz(z) - model.log_qz_given_x(z, encoding)
    torch.testing.assert_close(model.log_importance_weights(x, noise), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.log_importance_weights(x, noise, encoding), whole, rtol=1e-12, atol=1e-12)


def test_factors_of_the_two_layer_model_are_torchs_own():
    """Each factor, written with torch.distributions: q(z1|x) q(z2|z1), p(z2) p(z1|z2) p(x|z1)."""
    model = random_model(layers=2)
    x, noise = batch(model)
    encoding = model.encode(x)
    z1, z2 = model.sample_posterior(encoding, noise).z
    normal = torch.distributions.Normal
    p_z1 = normal(*model.p_z1_given_z2(z2)).log_prob(z1).sum(-1)
    p_z2 = normal(0.0, 1.0).log_prob(z2).sum(-1)
    q_z = normal(*encoding).log_prob(z1).sum(-1) + normal(*model.encode_z2(z1)).log_prob(z2).sum(-1)
    p_x = torch.distributions.Bernoulli(logits=model.decode(z1)).log_prob(x).sum(-1)
    torch.testing.assert_close(model.log_pz((z1, z2)), p_z1 + p_z2, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.log_qz_given_x((z1, z2), encoding), q_z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.log_px_given_z(x, (z1, z2)), p_x, rtol=1e-12, atol=1e-12)


def test_pixels_probabilities_sum_to_one_over_all_four_pixel_images():
    """p(x|z1) is a distribution over the 16 binary images of four pixels."""
    model = random_model(pixels=4)
    images = torch.tensor([[(n >> bit) & 1 for bit in range(4)] for n in range(16)], dtype=torch.float64)
    z1 = torch.randn(3, 1, 50, dtype=torch.float64).expand(3, 16, 50)
    total = torch.logsumexp(model.log_px_given_z(images, (z1,)), dim=1)
    torch.testing.assert_close(total, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_zero_decoder_weights_give_the_independent_pixel_model():
    """Then log p(x|z) = sum log Bern(x; sigmoid(b)) for any z, and b is the logit of the clipped training mean."""
    model = random_model()
    means = np.linspace(0, 1, 12)
    with torch.no_grad():
        for name, value in model.p_x_given_z1.named_parameters():
            if name.endswith("weight"):
                value.zero_()
    predicted = model.sample_prior(tuple(torch.randn(7, size, dtype=torch.float64) for size in model.latents))
    clipped = torch.from_numpy(np.clip(means, 0.001, 0.999)).expand(7, 12)
    torch.testing.assert_close(predicted, clipped, rtol=1e-12, atol=1e-12)
    x, noise = batch(model)
    z = model.sample_posterior(model.encode(x), noise).z
    expected = torch.distributions.Bernoulli(probs=clipped[:5]).log_prob(x).sum(-1).expand(4, 5)
    torch.testing.assert_close(model.log_px_given_z(x, z), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("log_sd", [math.log(1e-6), math.log(1e3)])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_extreme_logits_and_deviations_stay_finite(layers, log_sd, logit):
    """Weights and gradients are finite in float32 with logits at +-200 and sigma from 1e-6 to 1e3."""
    model = random_model(layers=layers, dtype=torch.float32)
    with torch.no_grad():
        model.q_z1_given_x.log_sd.bias.fill_(log_sd)
        model.p_x_given_z1.logits.bias.fill_(logit)
    x, noise = batch(model)
    log_w = model.log_importance_weights(x, noise)
    torch.logsumexp(log_w, dim=0).sum().backward()
    assert torch.isfinite(log_w).all()
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)


def test_glorot_bound_and_zero_biases():
    """Weights are uniform within sqrt(6 / (inputs + outputs)); every bias but the output's is 0."""
    model = random_model(pixels=784)
    weight = model.q_z1_given_x.hidden1.weight
    bound = math.sqrt(6 / 984)
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert all(
        not value.any() for name, value in model.named_parameters() if name.endswith("bias") and "logits" not in name
    )


def test_one_stream_for_all_names_ties_layers_of_equal_shape():
    """The released code seeds every layer with 123, so its mean and sigma heads start equal; ours do not."""
    tied, free = DensityModel(784), DensityModel(784)
    tied.initialise(lambda name: np.random.default_rng(123), np.full(784, 0.5))
    streams = iter(range(100))
    free.initialise(lambda name: np.random.default_rng(next(streams)), np.full(784, 0.5))
    assert torch.equal(tied.q_z1_given_x.mean.weight, tied.q_z1_given_x.log_sd.weight)
    assert torch.equal(tied.q_z1_given_x.hidden2.weight, tied.p_x_given_z1.hidden2.weight)
    assert not torch.equal(free.q_z1_given_x.mean.weight, free.q_z1_given_x.log_sd.weight)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_model_comes_back_from_its_tensors(layers):
    """Sizes are read off the tensors, so a checkpoint needs nothing beside it."""
    model = random_model(layers=layers)
    tensors = {f"seed3.{name}": value.float() for name, value in model.state_dict().items()}
    back = model_of(tensors, seed=3)
    assert back.latents == model.latents
    assert torch.equal(back.p_x_given_z1.logits.bias, model.p_x_given_z1.logits.bias.float())
    with pytest.raises(ValueError, match="no tensors of seed 0; it holds seed3"):
        model_of(tensors, seed=0)


def test_noise_for_other_images_is_refused():
    """A mismatch that broadcasting would hide."""
    model = random_model()
    x, noise = batch(model)
    with pytest.raises(ValueError, match=r"noise is for 5 images, x has 1"):
        model.log_importance_weights(x[:1], noise)
    with pytest.raises(ValueError, match="noise has 2 parts; this model has 1 stochastic layers"):
        model.log_importance_weights(x, (*noise, *noise))


@pytest.mark.parametrize("pixels", [64, 784, 787])
def test_softplus_by_products_equals_the_plain_sum(pixels):
    """Also where the pixels have no divisor to group by, and its derivative is the sigmoid."""
    logits = (30 * torch.randn(6, pixels, dtype=torch.float64)).requires_grad_()
    exact = torch.logaddexp(logits, torch.zeros((), dtype=torch.float64)).sum(-1)
    torch.testing.assert_close(softplus_sum(logits), exact, rtol=1e-13, atol=1e-12)
    (gradient,) = torch.autograd.grad(softplus_sum(logits).sum(), logits)
    torch.testing.assert_close(gradient, torch.sigmoid(logits), rtol=1e-13, atol=0)
    assert torch.equal(softplus_sum(torch.full((2, pixels), -300.0)), torch.zeros(2))


def test_densities_carry_their_constants():
    """Against torch.distributions, constants included."""
    z, mean, sd = torch.randn(3, 4, dtype=torch.float64), torch.randn(4).double(), torch.rand(4).double() + 0.1
    normal = torch.distributions.Normal(mean, sd).log_prob(z).sum(-1)
    torch.testing.assert_close(Gaussian(mean, sd).log_density(z), normal, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(
        log_standard_normal(z), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1), rtol=1e-13, atol=1e-13
    )
    torch.testing.assert_close(tanh(20 * z), torch.tanh(20 * z), rtol=0, atol=1e-15)


def test_pixel_means_are_of_grey_over_255():
    """uint8 images, any channel layout, to the mean of each pixel in [0, 1]."""
    images = np.array([[[[0, 255]]], [[[255, 255]]]], dtype=np.uint8)
    assert pixel_means(images).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("layers", [1, 2])
def test_blocks_of_samples_and_of_images_change_nothing(layers):
    """Any cut of the k samples or of the batch, ragged last part included, gives the same weights to 1e-12."""
    model = random_model(layers=layers)
    x, noise = batch(model, k=7, images=5)
    whole = model.log_importance_weights(x, noise)
    encoding = model.encode(x)
    for cut in ((3, 3, 1), (1, 6), (7,)):
        parts = zip(*(part.split(cut) for part in noise), strict=True)
        samples = torch.cat([model.log_importance_weights(x, part, encoding) for part in parts])
        torch.testing.assert_close(samples, whole, rtol=1e-12, atol=1e-12)
    for cut in ((2, 2, 1), (1, 4)):
        parts = zip(x.split(cut), *(part.split(cut, dim=1) for part in noise), strict=True)
        images = torch.cat([model.log_importance_weights(some, part) for some, *part in parts], dim=1)
        torch.testing.assert_close(images, whole, rtol=1e-12, atol=1e-12)
    order = torch.tensor([4, 0, 3, 1, 2])
    permuted = model.log_importance_weights(x[order], tuple(part[:, order] for part in noise))
    torch.testing.assert_close(permuted, whole[:, order], rtol=1e-12, atol=1e-12)
