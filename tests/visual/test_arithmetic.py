"""Arithmetic on z: why three exemplars, and what is measured of it."""

import pytest
import torch

from relatent.visual.arithmetic import (
    Material,
    Nearest,
    Tried,
    arithmetic_metrics,
    concept_arithmetic,
    expected_length_ratio,
    figure_images,
    neighbours,
    pixel_arithmetic,
    random_direction,
    succeeded,
    try_class,
    with_prior_length,
)
from relatent.visual.concepts import Concepts


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


def test_neighbours_stay_near():
    z = torch.zeros(2, 100)
    around = neighbours(z, 8, torch.Generator().manual_seed(0))
    assert around.shape == (8, 2, 100)
    assert around.abs().max() <= 0.25


def make(z):
    """A generator that arithmetic works on: z[0] is the brightness of a stroke, z[1] its slant, the rest is nothing."""
    rows, columns = torch.arange(21.0), torch.arange(21.0)
    places = 10 + 0.3 * z[:, 1:2] * (10 - rows)
    stroke = (1 - (columns - places[..., None]).abs()).clamp_min(0)
    return (stroke * (128 + 40 * z[:, 0, None, None])).round().clamp(0, 255).to(torch.uint8)[:, None]


@pytest.fixture(scope="module")
def material():
    z = torch.rand(3000, 100, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Material(z, make(z), Concepts.of(make(z), 0.2), "uniform", make, label=4)


@pytest.fixture(scope="module")
def found(material):
    rng = torch.Generator().manual_seed(1)
    return try_class(material, material.concepts.triples(10, 40, rng), (1, 3, 10), rng)


def test_where_attributes_are_linear_in_z_the_sum_has_those_of_its_target(found):
    """An outer fifth less another plus a third lies beyond the middle; a random step does not lead there."""
    for k in (3, 10):
        assert found[f"latent_k{k}"].target.all()
    assert found["latent_k10"].outer.double().mean() > found["drawn"].outer.double().mean() + 0.5
    assert not found["random_step_k10"].target.any()
    assert found["drawn_target"].outer.all()


def test_lengths_are_those_of_the_result_and_of_the_prior(found):
    for k in (1, 3, 10):
        assert found[f"latent_k{k}"].length.mean().item() == pytest.approx(expected_length_ratio(k), rel=0.1)
        torch.testing.assert_close(found[f"prior_length_k{k}"].length, torch.ones(40))
    assert found["drawn"].length.mean().item() == pytest.approx(1, rel=0.02)
    assert found["pixels_k3"].length is None


def test_arithmetic_on_pixels_gives_c_where_a_is_b_and_is_clipped():
    rng = torch.Generator().manual_seed(0)
    a, c = (torch.randint(0, 256, (5, 2, 1, 4, 4), generator=rng, dtype=torch.uint8) for _ in range(2))
    assert torch.equal(pixel_arithmetic(a, a, c), c.double().mean(0).round().to(torch.uint8))
    white, black = torch.full_like(a, 255), torch.zeros_like(a)
    assert torch.equal(pixel_arithmetic(white, black, white), white[0])
    assert torch.equal(pixel_arithmetic(black, white, black), black[0])


def test_the_figure_shows_the_triple_its_means_and_the_result_first(material):
    places = material.concepts.triples(3, 1, torch.Generator().manual_seed(0))[..., 0]
    shown = figure_images(material, places, torch.Generator().manual_seed(0), 0.25)
    assert torch.equal(shown["exemplars"], material.images[places])
    z = material.z[places].mean(1)
    assert torch.equal(shown["means"], make(z))
    assert torch.equal(shown["results"][:1], make((z[0] - z[1] + z[2])[None]))
    assert shown["results"].shape == (9, 1, 21, 21)
    assert not torch.equal(shown["results"][1], shown["results"][0])


def results(target, label=4):
    """Results that are heavy and left where `target` says so."""
    target = torch.tensor(target)
    n = len(target)
    return Tried(make(torch.zeros(n, 2)), target, target, torch.full((n,), label), torch.ones(n))


def test_success_is_the_target_in_the_same_class():
    tried = results([True, True, False, False])
    nearest = Nearest(torch.tensor([4, 5, 4, 5]), torch.ones(4))
    assert succeeded(tried, nearest).tolist() == [True, False, False, False]
    unlabelled = results([True, True, False, False], label=-1)
    assert torch.equal(succeeded(unlabelled, nearest), unlabelled.target)
    assert "kept_latent_k3" not in arithmetic_metrics({"latent_k3": unlabelled}, {"latent_k3": nearest})


def test_what_makes_the_difference_is_paired_over_triples():
    """Two ways that succeed on the same triples differ by 0 exactly, however often they succeed."""
    found = {
        "latent_k1": results([True, False, False, False]),
        "prior_length_k1": results([True, True, False, False]),
        "prior_length_k3": results([True, True, False, False]),
    }
    nearest = {name: Nearest(torch.full((4,), 4), torch.full((4,), 0.2)) for name in found}
    metrics = arithmetic_metrics(found, nearest)
    assert metrics["length_alone"]["value"] == 0.25
    assert (metrics["averaging_alone"]["value"], metrics["averaging_alone"]["stderr"]) == (0, 0)
    assert "beyond_three" not in metrics
    assert metrics["success_latent_k1"] == {"value": 0.25, "unit": "fraction", "n_images": 4}
    assert metrics["distance_latent_k1"]["value"] == pytest.approx(0.2)
    assert metrics["expected_length_latent_k1"]["value"] == pytest.approx(3**0.5)
