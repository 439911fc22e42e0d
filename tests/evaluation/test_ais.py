"""Annealed importance sampling against models whose log p(x) is known: below, exact, above."""

import math

import numpy as np
import pytest
import torch
from density_models import images_for, model_with, with_broad_posterior
from scipy import stats

from relatent.evaluation import ais
from relatent.evaluation.ais import Annealer, DensityTarget, inverse_temperatures, simulate
from relatent.evaluation.annealed import IMAGES_AT_ONCE, AnnealingEffort, annealed_metrics
from relatent.evaluation.nll import Scored, evaluate
from relatent.models.densities import log_standard_normal
from relatent.models.exact_gaussian import LinearGaussian


class LinearGaussianTarget:
    """p(z|x) of a linear-Gaussian model, started from the prior."""

    def __init__(self, model, x):
        self.model, self.x, self.latents = model, x, model.latents

    def sample_start(self, noise):
        return noise.double()

    def log_start(self, z):
        return log_standard_normal(z)

    def log_joint(self, z):
        return self.model.log_px_given_z(self.x, z) + self.model.log_pz(z)


def linear_gaussian(images=12):
    """A model, images simulated from it, and the z that made them."""
    rng = np.random.default_rng(0)
    model = LinearGaussian(torch.from_numpy(rng.normal(size=(6, 3))), torch.zeros(6, dtype=torch.float64), 0.3)
    z = torch.from_numpy(rng.normal(size=(images, 3)))
    x = z @ model.loadings.T + math.sqrt(0.3) * torch.from_numpy(rng.normal(size=(images, 6)))
    return model, x, z


@pytest.mark.parametrize(("schedule", "steps"), [("linear", 1), ("linear", 10), ("sigmoid", 50)])
def test_temperatures_go_from_zero_to_one(schedule, steps):
    betas = inverse_temperatures(steps, schedule)
    assert betas[0] == 0
    assert betas[-1] == pytest.approx(1, abs=1e-15)
    assert (np.diff(betas) > 0).all()
    np.testing.assert_allclose(betas, 1 - betas[::-1], atol=1e-12)


def test_sandwich_on_the_linear_gaussian_model():
    """Forward AIS <= exact <= reverse AIS on average over images, and both are close."""
    model, x, z = linear_gaussian()
    exact = model.log_px(x).numpy()
    annealer = Annealer(LinearGaussianTarget(model, x), inverse_temperatures(30, "sigmoid"), 0, len(x))
    annealer.tune(8)
    below, above = annealer.forward(64), annealer.reverse(z[None])
    assert below.lower_bound.mean() <= exact.mean() <= above.upper_bound.mean()
    assert above.upper_bound.mean() - below.lower_bound.mean() < 1.0
    assert below.accepted.mean() > 0.5


def test_weights_average_to_px():
    """E[w] = p(x), for any number of temperatures: frozen step sizes keep it true."""
    model, x, _ = linear_gaussian(images=4)
    annealer = Annealer(LinearGaussianTarget(model, x), inverse_temperatures(12, "sigmoid"), 1, len(x))
    annealer.tune(8)
    ratio = np.exp(annealer.forward(3000).log_w - model.log_px(x).numpy())
    assert (abs(ratio.mean(0) - 1) < 4 * ratio.std(0) / math.sqrt(3000)).all()


def test_chains_come_in_blocks_with_noise_of_their_own(monkeypatch):
    """The first block is what a run of so few gives; no later chain repeats one; acceptance is the mean over all."""
    model, x, _ = linear_gaussian(images=3)
    annealer = Annealer(LinearGaussianTarget(model, x), inverse_temperatures(5, "sigmoid"), 0, len(x))
    annealer.tune(4)
    few = annealer.forward(4)
    monkeypatch.setattr(ais, "CHAINS_AT_ONCE", 4)
    blocks = [annealer.forward(4), *(annealer._forward(begin, chains) for begin, chains in ((4, 4), (8, 1)))]
    many = annealer.forward(9)
    np.testing.assert_array_equal(many.log_w[:4], few.log_w)
    assert many.log_w.shape == (9, 3)
    assert len(np.unique(many.log_w)) == 27
    shares = np.array([4, 4, 1]) / 9
    np.testing.assert_allclose(many.accepted, shares @ np.array([block.accepted for block in blocks]), rtol=1e-12)


def test_more_temperatures_tighten_both_sides():
    """The gap between the bounds falls as the path is cut finer."""
    model, x, z = linear_gaussian()
    gaps = []
    for steps in (2, 8, 32):
        annealer = Annealer(LinearGaussianTarget(model, x), inverse_temperatures(steps, "sigmoid"), 0, len(x))
        annealer.tune(4)
        gaps.append((annealer.reverse(z[None]).upper_bound - annealer.forward(4).lower_bound).mean())
    assert gaps[0] > gaps[1] > gaps[2]


def test_moves_leave_the_posterior_as_it_is():
    """At beta = 1, chains started at exact posterior draws stay distributed as the posterior."""
    model, x, _ = linear_gaussian(images=1)
    annealer = Annealer(LinearGaussianTarget(model, x), np.array([0.0, 1.0]), 2, 1)
    noise = annealer._noise("test")
    z = model.sample_qz_given_x(x, noise(4000)[0].double())
    for _ in range(5):
        z, accepted = annealer._move(z, 1.0, torch.tensor([0.25], dtype=torch.float64), *noise(4000))
    assert 0.3 < float(accepted.double().mean()) < 1
    whitened = (z[:, 0] - model.posterior_mean(x)[0]) @ torch.linalg.inv(model.posterior_root).T
    assert stats.kstest(whitened.numpy().ravel(), "norm").pvalue > 1e-3


def test_one_step_from_q_is_the_importance_weighted_bound():
    """With no temperature between 0 and 1, AIS from q is L_k with k chains."""
    model = model_with(layers=2)
    x = images_for(model, 3)
    annealed = Annealer(DensityTarget(model, x, "q"), np.array([0.0, 1.0]), 0, 3).forward(50)
    assert annealed.log_w.shape == (50, 3)
    noise = [torch.from_numpy(part) for part in _first_noise(3, 50, model)]
    with torch.no_grad():
        expected = model.log_importance_weights(torch.from_numpy(x).double(), noise).numpy()
    np.testing.assert_allclose(annealed.log_w, expected, atol=1e-10)


def _first_noise(images, chains, model):
    from relatent.evaluation.noise import ImageNoise

    size = sum(model.latents)
    drawn = [ImageNoise(0, "test annealing forward", image, (size, 1)).block(chains)[0].T for image in range(images)]
    both = np.stack(drawn, axis=1).astype(np.float64)
    return np.split(both, np.cumsum(model.latents)[:-1], axis=-1)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("start", ["prior", "q"])
def test_both_starts_bracket_a_simulated_density_model(layers, start):
    """On images drawn from the model itself the lower bound, and L_k, lie below the upper bound on average."""
    model = with_broad_posterior(model_with(layers=layers))
    rng = torch.Generator().manual_seed(0)
    noise = [torch.randn(20, latent, generator=rng, dtype=torch.float64) for latent in model.latents]
    x, z = simulate(model, noise, torch.rand(20, model.pixels, generator=rng, dtype=torch.float64))
    binary = x.numpy().astype(np.uint8)
    annealer = Annealer(DensityTarget(model, binary, start), inverse_temperatures(15, "sigmoid"), 0, 20)
    annealer.tune(4)
    below, above = annealer.forward(4).lower_bound, annealer.reverse(z[None]).upper_bound
    bound = evaluate([Scored(model, model.latents)], binary, 2000, 0, "test")["bound"][0]
    for gap in (above - below, above - bound):
        assert gap.mean() > -4 * gap.std() / math.sqrt(20)
    if layers == 1:  # with two, this q is so bad that the bounds stay apart
        assert abs(above - below).mean() < 1


def test_images_keep_their_noise_in_any_batch():
    """Images 2 and 3 annealed alone give what they give among others."""
    model = model_with()
    x = images_for(model, 4)
    betas = inverse_temperatures(5, "linear")
    whole = Annealer(DensityTarget(model, x, "q"), betas, 0, 4)
    part = Annealer(DensityTarget(model, x[2:], "q"), betas, 0, 2, first_image=2)
    for annealer in (whole, part):
        annealer.tune(4)
    np.testing.assert_allclose(part.forward(6).log_w, whole.forward(6).log_w[:, 2:], atol=1e-9)


def test_untuned_steps_are_refused():
    model, x, _ = linear_gaussian()
    with pytest.raises(ValueError, match="call tune"):
        Annealer(LinearGaussianTarget(model, x), inverse_temperatures(5, "linear"), 0, len(x)).forward(2)


def test_an_interrupted_annealing_ends_in_the_same_bits():
    """Stopped behind the third of its four batches; where both bounds are known, the lower lies below the upper."""
    model = model_with(dtype=torch.float64)
    x = images_for(model, count=2 * IMAGES_AT_ONCE)
    effort = AnnealingEffort(len(x), len(x), 8, 4, 2, "q", "sigmoid", 50, 0)
    bounds = evaluate([Scored(model, model.latents)], x, 50, 0, "test posterior noise")["bound"][0]
    grey = 255 * x
    unbroken, per_image = annealed_metrics(model, grey, bounds, effort)
    assert unbroken["simulated_ais_lower_nats"]["value"] < unbroken["simulated_ais_upper_nats"]["value"]
    kept = {}

    def stop_later(part, results):
        kept[part] = results
        if part == "simulated":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annealed_metrics(model, grey, bounds, effort, keep=stop_later)
    assert [len(results["lower"]) for results in kept.values()] == [2 * IMAGES_AT_ONCE, IMAGES_AT_ONCE]
    done_later = []
    resumed, per_image_resumed = annealed_metrics(model, grey, bounds, effort, kept, advance=done_later.append)
    assert done_later == [IMAGES_AT_ONCE]
    assert resumed == unbroken
    for name, values in per_image.items():
        np.testing.assert_array_equal(per_image_resumed[name], values)
