"""What the inactive units are worth, on drawn test images."""

import numpy as np
import pytest
import torch
from density_models import images_for, model_with

from relatent.data.binarisation import test_binarisation as binarised
from relatent.evaluation import nll
from relatent.evaluation.removed_units import removal_metrics, score_without_inactive

ACTIVE, IDLE = 1.0, 0.001


def grey_for(model, count=40):
    return 255 * images_for(model, count=count).reshape(count, 1, 1, -1)


def whole_bounds(model, grey, k=50):
    x = binarised(grey).reshape(len(grey), -1)
    return nll.evaluate([nll.Scored(model, model.latents)], x, k, 123, nll.TEST_NOISE)["bound"]


def all_but(model, *idle):
    """Variances of the layers with these units of z1 inactive."""
    variances = [np.full(size, ACTIVE) for size in model.latents]
    variances[0][list(idle)] = IDLE
    return variances


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("threads", [1, 3])
def test_with_nothing_to_remove_the_drawn_images_have_their_bounds_to_the_bit(layers, threads):
    """They keep the noise of their places in the test set, whichever are drawn and on however many threads."""
    model = model_with(layers=layers, dtype=torch.float32)
    grey = grey_for(model)
    places, bounds, removed = score_without_inactive(
        {0: model}, {0: all_but(model)}, grey, 12, 50, 123, threads=threads
    )
    assert len(places) == 12 and not np.array_equal(places, np.arange(12))
    np.testing.assert_array_equal(bounds, whole_bounds(model, grey)[:, places])
    assert removed == [0]


def test_a_unit_that_says_nothing_is_worth_nothing():
    """A unit whose posterior is the prior and that the decoder does not hear: p(x) is the same without it."""
    model = model_with(dtype=torch.float32)
    with torch.no_grad():
        for head in (model.q_z1_given_x.mean, model.q_z1_given_x.log_sd):
            head.weight[1], head.bias[1] = 0, 0
        model.p_x_given_z1.hidden1.weight[:, 1] = 0
    grey = grey_for(model)
    places, bounds, removed = score_without_inactive({0: model}, {0: all_but(model, 1)}, grey, 20, 50, 123)
    np.testing.assert_allclose(bounds, whole_bounds(model, grey)[:, places], atol=1e-4)
    assert removed == [1]


def test_a_unit_that_is_heard_is_missed():
    model = model_with(dtype=torch.float32)
    grey = grey_for(model)
    _, bounds, _ = score_without_inactive({0: model}, {0: all_but(model, 0, 1)}, grey, len(grey), 50, 123)
    assert np.abs(bounds - whole_bounds(model, grey)).max() > 0.01


def test_an_interrupted_removal_goes_on_where_it_stopped():
    model, handed, counted = model_with(dtype=torch.float32), [], []
    arguments = ({0: model}, {0: all_but(model, 1)}, grey_for(model), 33, 50, 123)
    _, whole, _ = score_without_inactive(*arguments, keep=handed.append)
    _, resumed, _ = score_without_inactive(*arguments, done=handed[0], advance=counted.append)
    np.testing.assert_array_equal(resumed, whole)
    assert sum(counted) == 33 - handed[0]["bound"].shape[1] == 13


def test_each_seed_loses_its_own_units():
    models = {seed: model_with(seed=seed, dtype=torch.float32) for seed in (0, 3)}
    variances = {0: all_but(models[0], 0), 3: all_but(models[3])}
    _, bounds, removed = score_without_inactive(models, variances, grey_for(models[0]), 10, 50, 123)
    assert bounds.shape == (2, 10) and removed == [1, 0]
    alone = score_without_inactive({3: models[3]}, {3: variances[3]}, grey_for(models[0]), 10, 50, 123)[1]
    np.testing.assert_array_equal(alone[0], bounds[1])


def test_the_change_of_the_nll_is_paired_over_images():
    """Its error is that of the differences, not of the bounds, whose spread over images is a hundred times as large."""
    rng = np.random.default_rng(0)
    whole = rng.normal(-90, 20, (2, 500))
    change = removal_metrics(whole, whole - rng.normal(0.05, 0.2, (2, 500)), [3, 4], 50)[
        "nll_change_without_inactive_nats"
    ]
    assert change["value"] == pytest.approx(0.05, abs=0.03)
    assert change["stderr"] == pytest.approx(0.2 / 2**0.5 / 500**0.5, rel=0.15)
    assert (change["n_images"], change["removed_units"], change["interval"]) == (500, [3, 4], "test sampling")
