"""The Monte Carlo error of L_k from scoring images twice."""

import numpy as np
import pytest
import torch
from density_models import images_for, model_with

from relatent.evaluation.importance import LogWeights
from relatent.evaluation.nll import Scored, evaluate
from relatent.evaluation.repeated import repetition_metrics, score_again
from relatent.ledger.files import canonical_json


def scores_of(spread, images=4000, k=64, seed=0):
    """L_k of log-normal weights, which the delta method knows well for a small spread and badly for a large one."""
    draws = np.random.default_rng(seed).normal(-90, spread, (k, images))
    found = LogWeights(images, k).add(draws)
    return found.bound[None], found.stderr[None]


@pytest.mark.parametrize(("spread", "low", "high"), [(0.3, 0.95, 1.05), (2.5, 1.3, 3.0)])
def test_the_ratio_is_one_for_light_tails_and_above_for_heavy_ones(spread, low, high):
    """And the error is that of the mean over all images, as many repetitions show it."""
    repeated = [scores_of(spread, seed=seed) for seed in range(40)]
    first, claimed = repeated[0]
    images = np.arange(1000)
    metrics = repetition_metrics(first, repeated[1][0][:, images], claimed, images, 64)
    assert low < metrics["monte_carlo_ratio"]["value"] < high
    truth = np.std([bound.mean() for bound, _ in repeated], ddof=1)
    assert metrics["nll_monte_carlo_nats"]["value"] == pytest.approx(truth, rel=0.35)
    shift = metrics["repetition_shift_nats"]
    assert abs(shift["value"]) < 4 * shift["stderr"]


def test_the_error_of_the_ratio_is_that_of_other_images():
    first, claimed = scores_of(1.5, images=8000)
    again, _ = scores_of(1.5, images=8000, seed=1)
    ratios, said = [], []
    for start in range(0, 8000, 200):
        images = np.arange(start, start + 200)
        ratio = repetition_metrics(first, again[:, images], claimed, images, 64)["monte_carlo_ratio"]
        ratios.append(ratio["value"])
        said.append(ratio["stderr"])
    assert np.std(ratios, ddof=1) == pytest.approx(np.mean(said), rel=0.35)


def test_seeds_of_independent_errors_do_not_shrink_the_ratio():
    """Three nets whose scores err apart: each is as far off as before, their mean is not."""
    firsts, agains = (np.concatenate([scores_of(0.3, seed=seed + part)[0] for seed in range(3)]) for part in (0, 3))
    claimed = np.concatenate([scores_of(0.3, seed=seed)[1] for seed in range(3)])
    metrics = repetition_metrics(firsts, agains[:, :1000], claimed, np.arange(1000), 64)
    assert metrics["monte_carlo_ratio"]["value"] == pytest.approx(1, abs=0.05)
    alone = repetition_metrics(firsts[:1], agains[:1, :1000], claimed[:1], np.arange(1000), 64)
    together = metrics["nll_monte_carlo_nats"]["value"]
    assert together == pytest.approx(alone["nll_monte_carlo_nats"]["value"] / 3**0.5, rel=0.1)


def test_weights_that_are_all_equal_claim_no_error():
    """Then no ratio is known, and the measured error stands by itself."""
    first, again = np.full((1, 50), -3.0), np.full((1, 20), -3.0) + 1e-7
    metrics = repetition_metrics(first, again, np.zeros((1, 50)), np.arange(20), 64)
    assert metrics["monte_carlo_ratio"]["value"] is None and metrics["monte_carlo_ratio"]["stderr"] is None
    assert metrics["nll_monte_carlo_nats"]["value"] == pytest.approx(1e-7 / 100**0.5)
    canonical_json(metrics)


def test_images_are_drawn_and_scored_with_noise_of_their_own():
    model = model_with(dtype=torch.float32)
    grey = 255 * images_for(model, count=40).reshape(40, 1, 1, -1)
    images, again = score_again({0: model}, grey, 12, 50, seed=123)
    first = evaluate([Scored(model, model.latents)], grey.reshape(40, -1) // 255, 50, 123, "test posterior noise")
    assert again.shape == (1, 12) and list(images) == sorted(set(images)) and images[-1] >= 12
    assert (again != first["bound"][:, images]).all()
    assert abs(again - first["bound"][:, images]).mean() < 2
