"""Two-phase means: what the regression must give where the answer is known."""

import numpy as np
import pytest

from relatent.evaluation.two_phase import regression_estimate


def population(images=4000, seeds=1, correlation=0.98):
    """Targets and controls of a made-up split, (seeds, images), with targets that vary as log-likelihoods do."""
    rng = np.random.default_rng(0)
    control = rng.normal(-92, 20, (seeds, images))
    scatter = 20 * np.sqrt(1 / correlation**2 - 1)
    return control + 1.5 + rng.normal(0, scatter, (seeds, images)), control


def test_a_target_on_a_line_is_known_from_any_images_without_error():
    """Even from the easiest, whose plain mean is far too high."""
    control = np.sort(np.random.default_rng(1).normal(-92, 20, (2, 500)))
    target = np.array([[0.9], [1.1]]) * control + 3
    found = regression_estimate(target[:, -20:], control[:, -20:], control)
    np.testing.assert_allclose(found.mean, target.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.slope, [0.9, 1.1])
    np.testing.assert_allclose(found.correlation, 1)
    assert found.stderr < 1e-10


def test_with_every_image_scored_it_is_the_plain_mean():
    target, control = population(50)
    assert regression_estimate(target, control, control).mean == pytest.approx(target.mean(axis=1))


def test_a_control_that_says_nothing_leaves_the_plain_mean_and_its_error():
    target, _ = population(200)
    found = regression_estimate(target[:, :50], np.zeros((1, 50)), np.zeros((1, 200)))
    assert found.mean == target[:, :50].mean(axis=1)
    assert found.slope == found.correlation == 0
    assert found.stderr == pytest.approx(target[0, :50].std(ddof=2) / 50**0.5)


def test_its_error_is_that_of_repeated_choices_of_images():
    """Over 1,000 choices the scatter is what it says, and a fifth of a plain mean's, 1 / sqrt(1 - 0.98^2)."""
    target, control = population()
    rng = np.random.default_rng(2)
    off, said = [], []
    for _ in range(1000):
        images = rng.choice(target.shape[1], 100, replace=False)
        found = regression_estimate(target[:, images], control[:, images], control)
        off.append(found.mean[0] - target.mean())
        said.append(found.stderr)
    assert np.std(off) == pytest.approx(np.mean(said), rel=0.08)
    assert abs(np.mean(off)) < 4 * np.std(off) / 1000**0.5
    assert np.mean(said) == pytest.approx(target.std() / 10 * (1 - 0.98**2) ** 0.5, rel=0.05)


def test_seeds_scored_on_the_same_images_do_not_average_out_their_choice():
    target, control = population(500)
    one = regression_estimate(target[:, :40], control[:, :40], control)
    three = regression_estimate(
        *(np.repeat(values, 3, axis=0) for values in (target[:, :40], control[:, :40], control))
    )
    assert three.stderr == pytest.approx(one.stderr)


def test_too_few_images_or_other_images_are_refused():
    target, control = population(10)
    with pytest.raises(ValueError, match="2 images are scored"):
        regression_estimate(target[:, :2], control[:, :2], control)
    with pytest.raises(ValueError, match="do not match"):
        regression_estimate(target[:, :5], control[:, :4], control)
