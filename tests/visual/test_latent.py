"""Paths between z, and the index of their jumps."""

import pytest
import torch

from relatent.visual.latent import jump_index, spherical_path, straight_path


def ends(count=200):
    rng = torch.Generator().manual_seed(0)
    return (torch.rand(count, 100, generator=rng, dtype=torch.float64) * 2 - 1 for _ in range(2))


@pytest.mark.parametrize("walk", [straight_path, spherical_path])
def test_paths_begin_and_end_where_they_should(walk):
    start, end = ends()
    path = walk(start, end, 7)
    assert path.shape == (7, 200, 100)
    torch.testing.assert_close(path[0], start)
    torch.testing.assert_close(path[-1], end)


def test_the_middle_of_a_straight_path_leaves_the_priors_norm_and_of_a_spherical_path_does_not():
    """Var((a + b) / 2) is half of Var(a), so the middle is sqrt(1/2) = 0.71 times as long (specs/dcgan.md, Fig. 4)."""
    start, end = ends()
    usual = torch.cat([start, end]).norm(dim=-1).mean()
    assert (straight_path(start, end, 3)[1].norm(dim=-1).mean() / usual).item() == pytest.approx(0.71, abs=0.01)
    assert (spherical_path(start, end, 3)[1].norm(dim=-1).mean() / usual).item() == pytest.approx(1, abs=0.01)


def test_jump_index_is_one_for_an_even_path_and_the_number_of_steps_for_one_jump():
    even = torch.linspace(0, 1, 9).view(1, 9, 1, 1, 1).expand(1, 9, 1, 4, 4)
    jump = (torch.arange(9) > 4).float().view(1, 9, 1, 1, 1).expand(1, 9, 1, 4, 4)
    torch.testing.assert_close(jump_index(torch.cat([even, jump])), torch.tensor([1.0, 8.0]))
