"""Bounds beside exact values: agreement on every kind of model, and detection when there is none."""

import numpy as np
import pytest

from relatent.evaluation import exact

KS = [1, 5, 50, 500]


@pytest.fixture(scope="module")
def images():
    """Simulated from a seed: 8-pixel grey images of three kinds with noise, 200 to train on and 40 to test on."""
    rng = np.random.default_rng(0)
    kinds = rng.uniform(20, 230, (3, 8))
    grey = kinds[rng.integers(0, 3, 240)] + rng.normal(0, 20, (240, 8))
    grey = grey.clip(0, 255).astype(np.uint8).reshape(240, 1, 2, 4)
    return grey[:200], grey[200:]


def models(train, test, draws=2000):
    yield exact.mixture(train, test, 3, 2, 50, draws, KS, 0)
    yield exact.bernoulli(train, test, 4, 10, 20, 10, 20, 0.01, draws, KS, 0)
    yield exact.linear_gaussian(train, test, 3, 1.5, draws, KS, 0)


def test_every_model_agrees_with_its_exact_likelihood(images):
    """L_500 is within three standard errors plus its first-order bias; L_k grows with k and stays below log p(x)."""
    for metrics in models(*images):
        bounds = [metrics[f"bound_k{k}_nats"] for k in KS]
        assert bounds[-1]["agrees"]
        values = [bound["value"] for bound in bounds]
        assert values == sorted(values)
        assert all(bound["gap"] > -3 * bound["stderr"] for bound in bounds)
        assert metrics["log_px_nats"]["value"] - values[0] == pytest.approx(bounds[0]["gap"])


def test_first_order_bias_predicts_the_gap_once_it_is_small(images):
    """Nowozin 2018, Prop. 1, on the linear-Gaussian model, whose Var(w) is also known in closed form."""
    metrics = exact.linear_gaussian(*images, 3, 1.5, 20_000, KS, 0)
    found = metrics["bound_k50_nats"]
    assert found["gap"] == pytest.approx(-found["bias_first_order"], abs=3 * found["stderr"] + 1e-3)
    known = metrics["log_px_nats"]["relative_variance_known"] / 100
    assert -found["bias_first_order"] == pytest.approx(known, rel=0.03)


def test_known_elbo_is_met_within_its_error(images):
    """L_1 of the linear-Gaussian model: log p(x) less latents (r - 1 - ln r)/2."""
    metrics = exact.linear_gaussian(*images, 3, 1.5, 5000, KS, 0)
    found = metrics["bound_k1_nats"]
    assert abs(found["value"] - metrics["log_px_nats"]["elbo_known"]) < 4 * found["stderr"]


def test_a_wrong_likelihood_does_not_agree(images):
    """Half a nat off, as from a lost constant, is seen at every k."""
    rng = np.random.default_rng(1)
    metrics = exact.compare(np.zeros(20), lambda _: rng.normal(0.5, 0.1, 2000), KS)
    assert not any(metrics[f"bound_k{k}_nats"]["agrees"] for k in KS)


def test_same_seed_same_numbers(images):
    assert list(models(*images, draws=500)) == list(models(*images, draws=500))
