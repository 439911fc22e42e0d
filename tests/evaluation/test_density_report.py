"""The whole evaluation of a cell: metrics that agree with each other and with the arrays beside them."""

import json
import math

import numpy as np
import pytest
import torch
from density_models import model_with

from relatent.data.binarisation import binarisation_id, test_binarisation
from relatent.evaluation.density import Effort, evaluate_density, images_to_score


def grey(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 3, 4), dtype=np.uint8)


def effort(**changes):
    values = {
        "k": 100,
        "seed": 1,
        "test_images": None,
        "train_images": 10,
        "activity_images": None,
        "activity_samples": 5,
        "threads": 1,
    }
    return Effort(**{**values, **changes})


def models(layers=2, seeds=(0, 3)):
    return {seed: model_with(layers=layers, seed=seed, dtype=torch.float32) for seed in seeds}


@pytest.fixture(scope="module")
def report():
    return evaluate_density(models(), grey(30, 0), grey(60, 1), effort())


def test_metrics_are_the_means_of_the_arrays_beside_them(report):
    """NLL is minus the mean over images; its value the mean over seeds."""
    nll = report.metrics["nll_nats"]
    np.testing.assert_allclose(nll["per_seed"], -report.per_image["log_px_hat"].mean(axis=1))
    assert nll["value"] == pytest.approx(np.mean(nll["per_seed"]))
    assert (nll["k"], nll["n_images"]) == (100, 30)
    assert report.per_image["log_px_hat"].shape == report.per_image["log_px_hat_stderr"].shape == (2, 30)
    np.testing.assert_array_equal(report.per_image["seed"], [0, 3])


def test_binarisation_is_named_by_its_hash(report):
    """The number depends on the test binarisation, so its id travels with it."""
    flat = test_binarisation(grey(30, 0)).reshape(30, -1)
    assert report.metrics["nll_nats"]["binarisation"] == binarisation_id(flat)


def test_metrics_fit_in_json(report):
    """No NaN, no infinity: strict JSON."""
    json.dumps(report.metrics, allow_nan=False)


def test_k_of_one_has_a_bound_and_no_error(report):
    """At k = 1 the bound is the ELBO; what cannot be estimated is left out or null."""
    found = evaluate_density(models(1), grey(10, 0), grey(20, 1), effort(k=1, train_images=0)).metrics
    assert found["nll_nats"]["value"] == pytest.approx(-found["elbo_nats"]["value"])
    assert found["nll_nats"]["stderr"] is None
    assert "pareto_k" not in found and "train_nll_nats" not in found
    json.dumps(found, allow_nan=False)


def test_k_of_one_still_has_a_gap_between_training_and_test():
    """No Monte Carlo error is known of one sample, but the choice of images has one."""
    found = evaluate_density(models(1), grey(10, 0), grey(20, 1), effort(k=1)).metrics
    assert found["train_nll_nats"]["stderr"] is None and found["test_minus_train_nats"]["stderr"] > 0


def test_error_of_the_gap_is_the_choice_of_images(report):
    """Training and test images are others, so their spread does not cancel; against 2,000 bootstrap samples."""
    gap = report.metrics["test_minus_train_nats"]
    test, train = (report.per_image[name].mean(axis=0) for name in ("log_px_hat", "train_log_px_hat"))
    assert gap["value"] == pytest.approx(train.mean() - test.mean())
    rng = np.random.default_rng(0)
    again = [rng.choice(train, len(train)).mean() - rng.choice(test, len(test)).mean() for _ in range(2000)]
    assert gap["stderr"] == pytest.approx(np.std(again), rel=0.1)
    assert gap["interval"] == "test sampling"


def test_scored_training_images_are_drawn_and_keep_their_noise(report):
    """MNIST's first ones are easier than the rest; one that is scored among others has the bound it has among all."""
    few = evaluate_density(models(), grey(30, 0), grey(60, 1), effort(train_images=12)).per_image
    whole = evaluate_density(models(), grey(30, 0), grey(60, 1), effort(train_images=None)).per_image
    places = few["train_image"].astype(int)
    assert len(places) == 12 and places.tolist() == sorted(set(places)) and places[-1] >= 12
    np.testing.assert_array_equal(few["train_log_px_hat"], whole["train_log_px_hat"][:, places])
    np.testing.assert_array_equal(whole["train_image"], np.arange(60))


def test_one_seed_alone_has_the_bits_it_has_among_others(report):
    alone = evaluate_density(models(seeds=(3,)), grey(30, 0), grey(60, 1), effort())
    for name, values in alone.per_image.items():
        if name not in ("seed", "train_image"):
            np.testing.assert_array_equal(values[0], report.per_image[name][1])


def test_resumed_evaluation_ends_in_the_same_metrics(report):
    """From any prefix of what was handed to `keep`."""
    handed = []
    evaluate_density(models(), grey(30, 0), grey(60, 1), effort(), keep=lambda name, part: handed.append((name, part)))
    for stop in range(1, len(handed)):
        done = dict(handed[:stop])
        resumed = evaluate_density(models(), grey(30, 0), grey(60, 1), effort(), done)
        assert resumed.metrics == report.metrics


def test_progress_counts_every_image_once():
    counted = []
    chosen = effort(test_images=20, train_images=None)
    evaluate_density(models(), grey(30, 0), grey(40, 1), chosen, advance=counted.append)
    assert sum(counted) == images_to_score(chosen, 30, 40) == 20 + 40


def test_monte_carlo_error_is_the_spread_over_evaluation_seeds():
    """Repeated with 30 seeds of the noise, the NLL scatters as its standard error says."""
    few = [
        evaluate_density(models(1, (0,)), grey(40, 0), grey(20, 1), effort(seed=seed, k=300, train_images=0)).metrics[
            "nll_nats"
        ]
        for seed in range(30)
    ]
    spread = np.std([found["value"] for found in few], ddof=1)
    claimed = math.sqrt(np.mean([found["stderr"] ** 2 for found in few]))
    assert 0.4 < spread / claimed < 2.5
