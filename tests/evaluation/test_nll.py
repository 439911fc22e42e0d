"""L_k per image: the fast path is the model's own weight, and nothing about its schedule leaves a trace."""

import math

import numpy as np
import pytest
import torch
from density_models import images_for, model_with, with_broad_posterior

from relatent.errors import TrainingError
from relatent.evaluation import nll
from relatent.evaluation.fast_weights import FastWeights
from relatent.evaluation.nll import QUANTITIES, ImageScorer, Scored, evaluate
from relatent.evaluation.noise import ImageNoise
from relatent.models.densities import log_standard_normal


def noise_for(model, k=60, image=0):
    return ImageNoise(0, "test", image, model.latents).block(k)


def model_weights(model, x, noise):
    """By `DensityModel.log_importance_weights`: (k,)."""
    as_torch = [torch.from_numpy(part.T.astype(np.float64))[:, None] for part in noise]
    with torch.no_grad():
        return model.log_importance_weights(torch.from_numpy(x[None]).double(), as_torch)[:, 0].numpy()


def fast_weights(model, x, noise, **kwargs):
    with torch.no_grad():
        encoding = model.encode(torch.from_numpy(x[None]).to(model.p_x_given_z1.logits.weight.dtype))
    fast = FastWeights(model, **kwargs)
    return fast.log_weights(fast.encode(x, encoding.mean[0].numpy(), encoding.sd[0].numpy()), noise)


def evaluated(models, x, k=200, **kwargs):
    scored = [Scored(model, model.latents) for model in models]
    return evaluate(scored, x, k, 0, "test", **kwargs)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pixels", [12, 7, 1])
def test_fast_weights_are_the_models_own(layers, pixels):
    """To 1e-11 in float64, whatever number of pixels can share a logarithm."""
    model = model_with(pixels, layers)
    x, noise = images_for(model)[0], noise_for(model)
    found = fast_weights(model, x, noise, precision="float64")
    np.testing.assert_allclose(found, model_weights(model, x, noise), rtol=0, atol=1e-11)


@pytest.mark.parametrize("layers", [1, 2])
def test_float32_costs_a_thousandth_of_a_nat_at_most(layers):
    """On the paper's sizes with 784 pixels; the bound's own error at k = 5,000 is larger."""
    model = with_broad_posterior(model_with(784, layers, (100, 50)[-layers:], 200, gain=0.7))
    x, noise = images_for(model)[0], noise_for(model, 200)
    exact = model_weights(model, x, noise)
    found = fast_weights(model.float(), x, noise)
    assert abs(found - exact).max() < 5e-6 * abs(exact).max()
    assert abs(np.logaddexp.reduce(found.astype(np.float64)) - np.logaddexp.reduce(exact)) < 1e-3


@pytest.mark.parametrize("layers", [1, 2])
def test_bfloat16_products_move_the_bound_by_little(layers):
    """Rounded factors of the products are noise with mean zero: over 20 images less than 0.01 nat."""
    model = with_broad_posterior(model_with(128, layers, hidden=50, gain=0.4, dtype=torch.float32))
    x = images_for(model, 20)
    change = evaluated([model], x, precision="bfloat16")["bound"] - evaluated([model], x)["bound"]
    assert 0 < abs(change).max() < 0.2
    assert abs(change.mean()) < 0.01


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("block", [1, 7, 60, 1000])
def test_blocks_of_samples_leave_no_trace(layers, block):
    """Ragged last block included, to 1e-12."""
    model = model_with(layers=layers)
    x, noise = images_for(model)[0], noise_for(model)
    whole = fast_weights(model, x, noise, precision="float64", block=60)
    np.testing.assert_allclose(fast_weights(model, x, noise, precision="float64", block=block), whole, rtol=1e-12)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_logits_of_two_hundred_give_finite_weights(precision):
    """A pixel missed by 200 nats overflows the product of factors; the other form takes over."""
    model = model_with(gain=1.0)
    with torch.no_grad():
        model.p_x_given_z1.logits.weight.zero_()
        model.p_x_given_z1.logits.bias.copy_(torch.tensor([200.0, -200.0] * 6))
    x = np.array([0, 1] * 6, dtype=np.uint8)
    noise = noise_for(model)
    found = fast_weights(model.float() if precision == "float32" else model, x, noise, precision=precision)
    np.testing.assert_allclose(found, model_weights(model.double(), x, noise), rtol=1e-5)
    assert (found < -2000).all()


def test_sd_from_a_millionth_to_a_thousand_gives_finite_weights():
    """q may be as narrow or as wide as the net likes: there is no clamp on sigma."""
    model = model_with()
    with torch.no_grad():
        model.q_z1_given_x.log_sd.weight.zero_()
        model.q_z1_given_x.log_sd.bias.copy_(torch.tensor([1e-6, 1e-3, 1.0, 30.0, 1e3]).log())
    x, noise = images_for(model)[0], noise_for(model)
    expected = model_weights(model, x, noise)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(fast_weights(model, x, noise, precision="float64"), expected, rtol=1e-10)


def test_zero_decoder_and_encoder_weights_give_the_independent_pixel_likelihood():
    """q = p(z) = N(0, I) and p(x|z) = p(x): every weight is the sum of log Bern(x; sigmoid(b)), at any k."""
    model = model_with()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "p_x_given_z1.logits.bias":
                parameter.zero_()
        logits = model.p_x_given_z1.logits.bias
    x = images_for(model)
    exact = torch.distributions.Bernoulli(logits=logits).log_prob(torch.from_numpy(x).double()).sum(1)
    found = evaluated([model], x, k=10)
    np.testing.assert_allclose(found["bound"][0], exact.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(found["effective_samples"], 10, rtol=1e-5)


@pytest.mark.parametrize("latents", [(1,), (2,)])
def test_bound_meets_the_integral_over_a_grid_of_the_latents(latents):
    """With one or two latents log p(x) is a sum over a grid (trapezoid on [-7, 7]): the real code path, end to end."""
    model = with_broad_posterior(model_with(latents=latents))
    x = images_for(model, 5)
    axis = np.linspace(-7, 7, 141)
    grid = np.stack(np.meshgrid(*[axis] * latents[0], indexing="ij"), axis=-1).reshape(-1, 1, latents[0])
    z = torch.from_numpy(grid)
    with torch.no_grad():
        log_joint = model.log_px_given_z(torch.from_numpy(x).double(), (z,)) + log_standard_normal(z)
    exact = torch.logsumexp(log_joint, 0).numpy() + latents[0] * math.log(axis[1] - axis[0])
    found = evaluated([model], x, k=20_000)
    error = found["stderr"][0]
    assert (abs(found["bound"][0] - exact) < 4 * error + abs(found["bias_first_order"][0]) + 1e-4).all()
    assert (error < 0.1).all()


@pytest.mark.parametrize("layers", [1, 2])
def test_batches_threads_and_company_leave_no_trace(layers):
    """An image's numbers are the same bits alone, among others, on two threads, and beside other models."""
    models = [model_with(layers=layers, seed=seed, dtype=torch.float32) for seed in range(3)]
    x = images_for(models[0], 25)
    whole = evaluated(models, x)
    threaded = evaluated(models, x, threads=2)
    alone = evaluated(models[1:2], x)
    scorer = ImageScorer([Scored(models[2], models[2].latents)], 200, 0, "test")
    for index, name in enumerate(QUANTITIES):
        np.testing.assert_array_equal(threaded[name], whole[name])
        np.testing.assert_array_equal(alone[name][0], whole[name][1])
        for image in (0, 13, 24):
            assert scorer.score(x[image], image)[index, 0] == whole[name][2, image]


def test_interrupted_evaluation_ends_in_the_same_bits():
    """Taken up from what was last handed to `keep`, it computes the rest and nothing twice."""
    model = model_with(dtype=torch.float32)
    x = images_for(model, 50)
    kept, counted = [], []
    whole = evaluated([model], x, keep=kept.append)
    assert [part["bound"].shape[1] for part in kept] == [20, 40, 50]
    resumed = evaluated([model], x, done=kept[1], advance=counted.append)
    assert counted == [10]
    for name in QUANTITIES:
        np.testing.assert_array_equal(resumed[name], whole[name])


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
def test_k_beyond_what_is_held_at_once_is_the_same_stream(monkeypatch, precision, tolerance):
    """Noise for k samples never lies in memory whole; the cut changes nothing but the last digits."""
    model = model_with(dtype=torch.float64 if precision == "float64" else torch.float32)
    x = images_for(model, 3)
    whole = evaluated([model], x, k=1000, precision=precision)
    monkeypatch.setattr(nll, "SAMPLES_AT_ONCE", 300)
    cut = evaluated([model], x, k=1000, precision=precision)
    for name in QUANTITIES:
        np.testing.assert_allclose(cut[name], whole[name], rtol=tolerance, atol=tolerance / 100)


def test_bound_grows_with_k():
    """Over 40 images L_1 < L_10 < L_1000 on average (Theorem 1)."""
    model = model_with(dtype=torch.float32)
    x = images_for(model, 40)
    means = [evaluated([model], x, k=k)["bound"].mean() for k in (1, 10, 1000)]
    assert means[0] < means[1] < means[2]


def test_diverged_model_is_named_with_its_image():
    model = model_with()
    with torch.no_grad():
        model.p_x_given_z1.hidden2.weight[0, 0] = math.nan
    with pytest.raises(TrainingError, match=r"image 0, seed 4: .*train it again"):
        evaluate([Scored(model, model.latents, None, "seed 4")], images_for(model), 10, 0, "test")


def test_images_of_another_size_are_refused_before_any_work():
    model = model_with()
    with pytest.raises(TrainingError, match="model is for images of 12 pixels, these have 16"):
        evaluate([Scored(model, model.latents, None, "seed 0")], np.zeros((3, 16), np.uint8), 10, 0, "test")


def test_models_that_share_noise_need_the_same_latents():
    models = [model_with(latents=(5,)), model_with(latents=(4,))]
    with pytest.raises(ValueError, match="share noise"):
        evaluated(models, images_for(models[0]))
