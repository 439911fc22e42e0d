"""Guided backpropagation on a LeakyReLU net is not the plain gradient, and is the rule worked out by hand."""

import pytest
import torch
from torch.nn import functional as F

from relatent.models.dcgan import build_discriminator, estimate_statistics, initialise
from relatent.visual.guided import feature_gradient, strongest_images


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
    chosen = strongest_images(discriminator, x, 0, 3)
    answers = discriminator.feature_maps(x)[0].flatten(2).max(2).values.T
    torch.testing.assert_close(chosen, answers.argsort(1, descending=True)[:, :3])
