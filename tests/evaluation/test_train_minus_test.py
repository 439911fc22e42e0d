"""The gap between training and test likelihood, from a bound of few samples on every training image."""

import numpy as np
import pytest
import torch
from density_models import model_with

from relatent.data.binarisation import static
from relatent.evaluation import train_minus_test
from relatent.evaluation.density import TRAIN_BINARISATION_SEED
from relatent.evaluation.noise import ImageNoise
from relatent.evaluation.train_minus_test import IMAGES_AT_ONCE, control_bounds, gap_metrics


def grey_images(count=2 * IMAGES_AT_ONCE + 7):
    return np.random.default_rng(0).integers(0, 256, (count, 1, 3, 4), dtype=np.uint8)


@pytest.mark.parametrize("layers", [1, 2])
def test_controls_are_the_bounds_of_the_images_that_are_scored_in_full(layers):
    """Same binarisation; the noise of an image is its own."""
    model = model_with(layers=layers, dtype=torch.float64)
    grey = grey_images()
    found = control_bounds({0: model}, grey, 9, seed=3)
    image = IMAGES_AT_ONCE + 4
    x = static(grey, TRAIN_BINARISATION_SEED).reshape(len(grey), -1)[image : image + 1]
    noise = [
        torch.from_numpy(n.T[:, None]) for n in ImageNoise(3, "control posterior noise", image, model.latents).block(9)
    ]
    with torch.no_grad():
        log_w = model.log_importance_weights(torch.from_numpy(x).double(), [part.double() for part in noise]).numpy()
    assert found.shape == (1, len(grey))
    np.testing.assert_allclose(found[0, image], np.log(np.exp(log_w).mean()), rtol=1e-12)


def test_neither_other_images_nor_other_models_change_a_control():
    models = {seed: model_with(seed=seed, dtype=torch.float64) for seed in (0, 1)}
    whole = control_bounds(models, grey_images(), 5, seed=0)
    np.testing.assert_allclose(control_bounds(models, grey_images()[:13], 5, seed=0), whole[:, :13], rtol=1e-12)
    np.testing.assert_allclose(control_bounds({1: models[1]}, grey_images(), 5, seed=0), whole[1:], rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_samples_in_blocks_are_the_same_samples(layers, monkeypatch):
    """No more than a block of them is ever held, so that memory does not grow with k; a ragged last block included."""
    model = model_with(layers=layers, dtype=torch.float64)
    whole = control_bounds({0: model}, grey_images(), 9, seed=3)
    held = []

    def log_importance_weights(x, noise):
        held.append(len(noise[0]))
        return type(model).log_importance_weights(model, x, noise)

    monkeypatch.setattr(model, "log_importance_weights", log_importance_weights)
    monkeypatch.setattr(train_minus_test, "SAMPLES_AT_ONCE", 4)
    np.testing.assert_allclose(control_bounds({0: model}, grey_images(), 9, seed=3), whole, rtol=1e-13)
    assert held == 3 * [4, 4, 1]


def test_an_interrupted_run_goes_on_where_it_stopped():
    model, handed, counted = model_with(dtype=torch.float64), [], []
    whole = control_bounds({0: model}, grey_images(), 9, seed=3, keep=lambda found: handed.append(found.copy()))
    resumed = control_bounds({0: model}, grey_images(), 9, seed=3, done=handed[1], advance=counted.append)
    np.testing.assert_array_equal(resumed, whole)
    assert sum(counted) == len(grey_images()) - handed[1].shape[1] == 7


def test_scored_images_are_set_beside_their_own_controls():
    """Wherever they lie; beside those of other images the correlation is gone, and with it the gain."""
    rng = np.random.default_rng(0)
    train, test = rng.normal(-90, 20, (2, 3000)), rng.normal(-91, 20, (2, 900))
    control, places = train + rng.normal(0, 1, train.shape), rng.permutation(3000)[:100]
    metrics = gap_metrics(test, 0.01, train[:, places], places, control, 5000, 50)
    assert metrics["control_correlation"]["value"] > 0.99
    assert metrics["train_nll_nats"]["value"] == pytest.approx(-train.mean(), abs=0.5)


def test_the_gap_is_that_of_all_training_images_though_easy_ones_were_scored():
    rng = np.random.default_rng(0)
    train, test = np.sort(rng.normal(-90, 20, (2, 3000)))[:, ::-1], rng.normal(-91, 20, (2, 900))
    control = train - 2 + rng.normal(0, 1, train.shape)
    metrics = gap_metrics(test, 0.01, train[:, :500], np.arange(500), control, 5000, 50)
    gap, nll = metrics["test_minus_train_nats"], metrics["train_nll_nats"]
    assert train[:, :500].mean() - train.mean() > 20
    assert gap["value"] == pytest.approx(train.mean() - test.mean(), abs=0.5)
    assert nll["value"] == pytest.approx(-np.mean(gap["per_seed"]) - test.mean())
    assert gap["stderr"] == pytest.approx(np.hypot(nll["stderr"], 0.01))
    assert (gap["n_train"], gap["n_scored"], gap["n_images"]) == (3000, 500, 900)
    assert gap["test_sampling_stderr"] == pytest.approx(20 / 1800**0.5, rel=0.1)
