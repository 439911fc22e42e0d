"""Adam in the two forms of the presets."""

import pytest
import torch

from relatent.training.adam import EPSILON, Adam, FlatParameters


def test_corrected_form_is_torchs():
    """Climbing with the fused kernel equals torch.optim.Adam on the negative gradient, to rounding."""
    start = torch.randn(300, generator=torch.Generator().manual_seed(0))
    gradients = torch.randn(20, 300, generator=torch.Generator().manual_seed(1))
    ours, buffer = start.clone(), torch.zeros(300)
    adam = Adam(ours, buffer, (0.9, 0.999), "corrected")
    theirs = torch.nn.Parameter(start.clone())
    torchs = torch.optim.Adam([theirs], lr=1e-3, betas=(0.9, 0.999), eps=EPSILON, foreach=False)
    for gradient in gradients:
        buffer.copy_(gradient)
        adam.step(1e-3)
        theirs.grad = -gradient
        torchs.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("gradient", "steps", "reached"), [(0.1, 1000, 0.13), (0.1, 7000, 0.96), (0.01, 7000, 0.31)])
def test_released_form_warms_up(gradient, steps, reached):
    """Its second moment starts at one. Reached: the share of the learning rate that a constant gradient moves."""
    value = torch.zeros(1, dtype=torch.float64)
    adam = Adam(value, torch.full((1,), gradient, dtype=torch.float64), (0.99, 0.999), "released")
    for _ in range(steps):
        before = value.item()
        adam.step(1.0)
    assert value.item() - before == pytest.approx(reached, abs=0.005)


def test_first_update_of_the_released_form_moves_nothing():
    """It reads the moments of the step before, which are zero; the second update moves by the first gradient."""
    value, gradient = torch.zeros(3), torch.tensor([1.0, -2.0, 0.0])
    adam = Adam(value, gradient, (0.99, 0.999), "released")
    adam.step(1e-3)
    assert not value.any()
    adam.step(1e-3)
    assert value.sign().tolist() == [1.0, -1.0, 0.0]


def test_flat_buffers_are_the_models_own_parameters():
    """What Adam changes in the buffer, the model computes with; what backward adds, Adam reads."""
    model = torch.nn.Linear(3, 2)
    flat = FlatParameters.of(model)
    model(torch.ones(1, 3)).sum().backward()
    assert torch.equal(flat.gradients, torch.ones(8))
    flat.values.fill_(1.0)
    assert model(torch.ones(1, 3)).tolist() == [[4.0, 4.0]]
