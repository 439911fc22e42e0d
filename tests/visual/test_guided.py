"""Guided backpropagation on a LeakyReLU net is not the plain gradient, and is the rule worked out by hand."""

import pytest
import torch
from torch.nn import functional as F

from relatent.models.dcgan import build_discriminator, estimate_statistics, initialise
from relatent.visual.guided import (
    correlation,
    feature_gradient,
    feature_metrics,
    gradient_pictures,
    half_area,
    shown_features,
    strongest_images,
)


@pytest.fixture
def discriminator():
    net = build_discriminator("svhn32-w4", 1)
    initialise(net, torch.Generator().manual_seed(0))
    x = torch.rand(32, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    estimate_statistics(net, [(x,)])
    return net


def test_plain_gradient_is_autograds(discriminator):
    x = torch.rand(3, 1, 32, 32) * 2 - 1
    leaf = x.clone().requires_grad_(True)
    discriminator.feature_maps(leaf)[-1][:, 2].flatten(1).max(1).values.sum().backward()
    torch.testing.assert_close(feature_gradient(discriminator, x, -1, 2, guided=False), leaf.grad)


def test_guided_gradient_differs_from_the_plain_one(discriminator):
    """The fault of tools that hook only ReLU modules: they return the plain gradient of a LeakyReLU net."""
    x = torch.rand(3, 1, 32, 32) * 2 - 1
    guided, plain = (feature_gradient(discriminator, x, -1, 0, guided=g) for g in (True, False))
    assert not torch.allclose(guided, plain, rtol=0.1)


def test_guided_rule_by_hand_on_two_layers(discriminator):
    """Back through each activation goes what is positive forward and backward; through layers, their transposes."""
    x = torch.rand(1, 1, 32, 32) * 2 - 1
    first, second = discriminator.convs[0], discriminator.convs[1]
    with torch.no_grad():
        before1 = first.layer(x)
        before2 = second.norm(second.layer(F.leaky_relu(before1, 0.2)))
        feature = F.leaky_relu(before2, 0.2)[0, 1]
        gradient = torch.zeros_like(before2)
        gradient[0, 1].view(-1)[feature.flatten().argmax()] = 1.0
        gradient = gradient * (before2 > 0)
        scale = second.norm.weight / torch.sqrt(second.norm.variance + second.norm.eps)
        gradient = F.conv_transpose2d(gradient * scale[:, None, None], second.layer.weight, None, 2, 2, 1)
        gradient = gradient.clamp_min(0) * (before1 > 0)
        expected = F.conv_transpose2d(gradient, first.layer.weight, None, 2, 2, 1)
    torch.testing.assert_close(feature_gradient(discriminator, x, 1, 1), expected, rtol=1e-4, atol=1e-6)


def test_an_image_keeps_its_gradient_in_company(discriminator):
    x = torch.rand(4, 1, 32, 32) * 2 - 1
    together = feature_gradient(discriminator, x, -1, 0)
    torch.testing.assert_close(together[2:3], feature_gradient(discriminator, x[2:3], -1, 0), rtol=1e-4, atol=1e-7)
    with pytest.raises(ValueError, match="eval mode"):
        feature_gradient(discriminator.train(), x, -1, 0)


def test_strongest_images_are_the_strongest(discriminator):
    x = torch.rand(10, 1, 32, 32) * 2 - 1
    chosen = strongest_images(discriminator, x, 0, 3, block=4)
    answers = discriminator.feature_maps(x)[0].flatten(2).max(2).values.T
    torch.testing.assert_close(chosen, answers.argsort(1, descending=True)[:, :3])


def test_half_area_counts_the_fewest_pixels_with_half_of_the_squares():
    """A point: one pixel. An even gradient: half of them. None at all: no answer."""
    gradient = torch.zeros(3, 2, 4, 4)
    gradient[0, 1, 2, 2] = -5
    gradient[1] = 0.3
    found = half_area(gradient)
    assert found[:2].tolist() == [1 / 16, 8 / 16]
    assert found[2].isnan()


def test_half_area_adds_up_the_channels():
    """Two pixels of squares 9 + 16 and 24 of the whole 49: the first holds more than half."""
    gradient = torch.zeros(1, 2, 1, 4)
    gradient[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    gradient[0, 0, 0, 1] = 24**0.5
    assert half_area(gradient).item() == 1 / 4


def test_correlation_is_pearsons():
    a, b = torch.rand(2, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = [torch.corrcoef(torch.stack([p.flatten(), q.flatten()]))[0, 1] for p, q in zip(a, b, strict=True)]
    torch.testing.assert_close(correlation(a, b).float(), torch.stack(expected))
    torch.testing.assert_close(correlation(a, -3 * a + 2), -torch.ones(3, dtype=torch.float64))
    assert correlation(a, torch.ones_like(a)).isnan().all()


def test_a_net_beside_itself_is_wholly_like_itself(discriminator):
    """Its gradients correlate by 1 with those of the `random` net if that is the same net; both nets measure alike."""
    x = torch.rand(12, 1, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    strongest = strongest_images(discriminator, x, -1, 2)
    nets = {"trained": discriminator, "random": discriminator}
    metrics = feature_metrics(nets, x, dict.fromkeys(nets, strongest), 4)
    for rule in ("guided", "plain"):
        assert metrics[f"with_untrained_{rule}"]["value"] == pytest.approx(1)
        for what in ("half_area", "with_image", "with_next_feature"):
            assert metrics[f"{what}_{rule}_trained"] == metrics[f"{what}_{rule}_random"]
        assert 0 < metrics[f"half_area_{rule}_trained"]["value"] <= 0.5
        assert metrics[f"with_next_feature_{rule}_trained"]["value"] < 0.9
    shown = shown_features(nets, x, dict.fromkeys(nets, strongest), (0, 3))
    assert shown["guided_trained"].shape == (2, 2, 1, 32, 32)
    own = feature_gradient(discriminator, x[strongest[3]], -1, 3, guided=False)
    assert torch.equal(shown["plain_random"][1], gradient_pictures(own))


def test_a_picture_of_a_gradient_is_grey_where_it_is_zero_and_keeps_its_sign():
    gradient = torch.zeros(1, 1, 10, 10)
    gradient[0, 0, 0], gradient[0, 0, 1] = 2.0, -1.0
    picture = gradient_pictures(gradient)[0, 0]
    assert (picture[0].unique().item(), picture[2:].unique().item()) == (255, 128)
    assert picture[1].unique().item() in (64, 65)
