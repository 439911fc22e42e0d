"""The losses at values that can be worked out by hand."""

import math

import pytest
import torch

from relatent.objectives.gan import discriminator_loss, generator_loss


def test_a_discriminator_that_answers_one_half_costs_two_log_two():
    zeros = torch.zeros(7)
    assert discriminator_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(zeros).item() == pytest.approx(math.log(2))


def test_losses_are_cross_entropies():
    """-log D(x) - log(1 - D(G(z))), and -log D(G(z)): the definition, where sigmoid-then-log still has digits."""
    real, fake = torch.tensor([0.3, -1.2], dtype=torch.float64), torch.tensor([0.8, -2.0], dtype=torch.float64)
    by_hand = -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    torch.testing.assert_close(discriminator_loss(real, fake), by_hand)
    torch.testing.assert_close(generator_loss(fake), -torch.log(torch.sigmoid(fake)).mean())


def test_confident_discriminators_cost_finite_amounts():
    sure = torch.tensor([200.0])
    assert discriminator_loss(-sure, sure).item() == pytest.approx(400)
    assert discriminator_loss(sure, -sure).item() == 0


def test_the_generators_gradient_does_not_vanish_where_the_discriminator_is_sure():
    """The reason for the non-saturating loss: log(1 - D) has gradient D, which is 0 there; -log D has D - 1."""
    fake = torch.tensor([-30.0], requires_grad=True)
    generator_loss(fake).backward()
    assert fake.grad.item() == pytest.approx(-1)
