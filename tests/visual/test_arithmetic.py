"""Arithmetic on z: why three exemplars."""

import pytest
import torch

from relatent.visual.arithmetic import (
    concept_arithmetic,
    expected_length_ratio,
    neighbours,
    random_direction,
    turn_vector,
    with_prior_length,
)


def draws(exemplars, rng):
    return [torch.rand(exemplars, 2000, 100, generator=rng) * 2 - 1 for _ in range(3)]


@pytest.mark.parametrize("exemplars", [1, 2, 3, 5, 10])
def test_three_exemplars_bring_the_result_back_to_the_priors_length(exemplars):
    """Var(U[-1, 1]) = 1/3; A - B + C of means of k has 3/k times that. At k = 3 it is the prior's."""
    rng = torch.Generator().manual_seed(0)
    result = concept_arithmetic(*draws(exemplars, rng))
    usual = (torch.rand(2000, 100, generator=rng) * 2 - 1).norm(dim=-1).mean()
    ratio = (result.norm(dim=-1).mean() / usual).item()
    assert ratio == pytest.approx(expected_length_ratio(exemplars), rel=0.02)


def test_prior_length_is_that_of_draws():
    rng = torch.Generator().manual_seed(0)
    uniform, normal = torch.rand(5000, 100, generator=rng) * 2 - 1, torch.randn(5000, 100, generator=rng)
    for z, prior in ((uniform, "uniform"), (normal, "normal")):
        wanted = z.square().sum(-1).mean().sqrt()
        torch.testing.assert_close(with_prior_length(7 * z, prior).norm(dim=-1), wanted.expand(5000), rtol=0.01, atol=0)


def test_controls_have_the_length_of_what_they_control():
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(6, 100, generator=rng)
    step = random_direction(z, rng)
    torch.testing.assert_close(step.norm(dim=-1), z.norm(dim=-1))
    assert torch.nn.functional.cosine_similarity(step, z).abs().max() < 0.5


def test_turn_vector_leads_from_left_to_right():
    left, right = torch.zeros(4, 3), torch.ones(4, 3)
    torch.testing.assert_close(left.mean(0) + turn_vector(left, right), right.mean(0))


def test_neighbours_stay_near():
    z = torch.zeros(2, 100)
    around = neighbours(z, 8, torch.Generator().manual_seed(0))
    assert around.shape == (8, 2, 100)
    assert around.abs().max() <= 0.25
