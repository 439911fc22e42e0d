"""Measures of samples at the points where their value is known."""

import pytest
import torch

from relatent.evaluation.gan_samples import judge, memorising, realness
from relatent.evaluation.sample_quality import (
    FixedFeatures,
    kid,
    ms_ssim,
    nearest_distance,
    precision_recall,
    sliced_wasserstein,
    two_sample_accuracy,
)
from relatent.models.dcgan import build_discriminator, estimate_statistics, initialise, scaled


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def test_kid_of_one_distribution_is_zero_within_its_error_and_of_two_is_not(rng):
    """MMD² is unbiased: over draws from one distribution it is zero on average, and may be negative."""
    a, b = torch.randn(400, 8, generator=rng), torch.randn(400, 8, generator=rng)
    value, stderr = kid(a, b)
    assert abs(value) < 4 * stderr
    value, stderr = kid(a, b + 1)
    assert value > 10 * stderr


def test_kid_refuses_too_few_images():
    with pytest.raises(ValueError, match="too few for a KID"):
        kid(torch.zeros(39, 2), torch.zeros(400, 2))


def test_precision_is_lost_by_strangers_and_recall_by_missing_modes(rng):
    """Fakes of one mode are all real-like and cover half; fakes with added noise cover all and are half real-like."""
    modes = torch.cat([torch.randn(100, 2, generator=rng), torch.randn(100, 2, generator=rng) + 50])
    one_mode = torch.randn(200, 2, generator=rng)
    precision, recall = precision_recall(modes, one_mode)
    assert precision > 0.85
    assert 0.4 < recall < 0.55
    strangers = torch.cat([modes[::2] + 0.01, torch.randn(100, 2, generator=rng) - 500])
    precision, recall = precision_recall(modes, strangers)
    assert 0.45 < precision < 0.55
    assert recall > 0.85


def test_two_sample_test_is_at_chance_for_one_distribution_and_sure_for_two(rng):
    real, fake = torch.randn(300, 5, generator=rng), torch.randn(300, 5, generator=rng)
    accuracy, stderr = two_sample_accuracy(real, fake)
    assert abs(accuracy - 0.5) < 5 * stderr
    assert two_sample_accuracy(real, fake + 100)[0] == 1


def test_two_sample_test_sees_copies(rng):
    """Where every fake is a copy of a real, each one's nearest is of the other kind: accuracy 0, not 1/2."""
    real = torch.randn(100, 5, generator=rng)
    assert two_sample_accuracy(real, real.clone())[0] == 0


def test_ms_ssim_is_one_for_equal_images_and_falls_with_noise(rng):
    x = torch.rand(6, 3, 32, 32, generator=rng)
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(6))
    little, much = (ms_ssim(x, (x + s * torch.randn(x.shape, generator=rng)).clamp(0, 1)) for s in (0.05, 0.5))
    assert (little > much).all()


def test_sliced_wasserstein_sees_blur_at_the_fine_level(rng):
    """More than two sets of one distribution differ by chance; 64 images leave much of that."""
    x = torch.rand(64, 1, 32, 32, generator=rng)
    other = torch.rand(64, 1, 32, 32, generator=rng)
    blurred = torch.nn.functional.avg_pool2d(other, 3, 1, 1)
    same, apart = sliced_wasserstein(x, other, rng), sliced_wasserstein(x, blurred, rng)
    assert len(same) == 2
    assert apart[0] > 1.5 * same[0]


def test_nearest_distance_is_the_root_mean_square_of_the_nearest():
    images = torch.zeros(2, 1, 2, 2)
    images[1] = 1
    queries = torch.full((1, 1, 2, 2), 0.75)
    torch.testing.assert_close(nearest_distance(queries, images), torch.tensor([0.25], dtype=torch.float64))


def test_memorising_is_seen(rng):
    """A generator that repeats its training images opens the gap; one that draws anew does not."""
    train, heldout, fresh = (torch.rand(200, 1, 8, 8, generator=rng) for _ in range(3))
    copies = (train + 0.01).clamp(0, 1)
    honest, cheat = memorising(fresh, train, heldout), memorising(copies, train, heldout)
    assert abs(honest["memorising_gap"]["value"]) < 5 * honest["memorising_gap"]["stderr"]
    assert cheat["memorising_gap"]["value"] > 20 * cheat["memorising_gap"]["stderr"]
    assert cheat["copies"]["value"] == 1


def test_features_are_fixed_and_standardised(rng):
    """The same reference gives the same features: no training, no download."""
    x = torch.rand(50, 1, 28, 28, generator=rng) * 2 - 1
    features = FixedFeatures(x)(x)
    torch.testing.assert_close(features, FixedFeatures(x)(x))
    torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]), atol=1e-4, rtol=0)


def test_judge_puts_every_measure_beside_that_of_real_images(rng):
    train, heldout, fake = (torch.randint(0, 256, (n, 1, 32, 32), generator=rng).byte() for n in (90, 60, 80))
    metrics = judge(fake, train, heldout, rng)
    assert {name.removesuffix("_real") for name in metrics} >= {"kid", "precision", "recall", "ms_ssim"}
    compared = [name for name in metrics if name.endswith("_real")]
    assert all(name.removesuffix("_real") in metrics for name in compared)
    assert all(metrics[name]["n_images"] == 60 for name in compared)


def test_held_out_images_are_drawn_and_not_the_first(rng):
    """The first test images of MNIST are the easier ones: in a split that begins with black ones they do not judge."""
    train, rest, fake = (torch.randint(0, 256, (n, 1, 32, 32), generator=rng).byte() for n in (60, 540, 60))
    heldout = torch.cat([torch.zeros_like(fake), rest])
    metrics = judge(fake, train, heldout, rng)
    assert metrics["two_sample_accuracy_real"]["value"] < 0.7
    assert metrics["two_sample_accuracy_real"]["interval"] == "test sampling"


def test_without_a_held_out_split_training_images_stand_in_and_memorising_is_not_judged(rng):
    train, fake = (torch.randint(0, 256, (n, 1, 32, 32), generator=rng).byte() for n in (120, 80))
    metrics = judge(fake, train, None, rng)
    assert metrics["kid_real"]["n_images"] == 60
    assert "memorising_gap" not in metrics


def test_realness_of_an_image_does_not_depend_on_its_company():
    """Batch norm's moments are fixed, so the discriminator's answer to an image is the same in a batch and alone."""
    net = build_discriminator("svhn32-w4", 3)
    initialise(net, torch.Generator().manual_seed(0))
    images = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    estimate_statistics(net, [(scaled(images, net.net.output),)])
    together = realness(net, images, block=4)
    assert together == pytest.approx([realness(net, image[None])[0] for image in images], abs=1e-5)
    assert len(set(together)) == 9
