"""Concepts are the outer parts of two attributes, and results are judged by the class's own measure."""

import pytest
import torch

from relatent.visual.concepts import Concepts, Scale
from relatent.visual.strokes import slant, weight


def bars(brightness, lean):
    """Upright strokes sheared by `lean` (pixels per pixel), (n, 1, 21, 21); parts of a pixel are shared between two."""
    rows = torch.arange(21.0)
    places = 10 + lean[:, None] * (10 - rows)
    distance = (torch.arange(21.0) - places[..., None]).abs()
    return (brightness[:, None, None] * (1 - distance).clamp_min(0)).round().to(torch.uint8)[:, None]


@pytest.fixture
def images():
    rng = torch.Generator().manual_seed(0)
    return bars(60 + 190 * torch.rand(4000, generator=rng), torch.rand(4000, generator=rng) - 0.5)


def test_a_scale_is_of_quantiles():
    assert Scale.of(torch.arange(101.0), 0.2) == Scale(20, 50, 80)


def test_concepts_are_corners(images):
    """Independent attributes: a fifth of a fifth of the images each, and each at its corner."""
    concepts = Concepts.of(images, 0.2)
    for places, heavy, right in zip(concepts.places, (True, False, False), (True, True, False), strict=True):
        assert len(places) / 4000 == pytest.approx(0.04, abs=0.01)
        assert ((weight(images[places]) > concepts.weight.middle) == heavy).all()
        assert ((slant(images[places]) > concepts.slant.middle) == right).all()


def test_the_target_is_judged_as_what_it_is_and_exemplars_as_what_they_are_not(images):
    """A quarter of all images pass by halves; none of A, B, C does."""
    concepts = Concepts.of(images, 0.2)
    target, outer = concepts.judge(images)
    assert target.double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(outer.nonzero()[:, 0], concepts.target)
    assert not (outer & ~target).any()
    for places in concepts.places:
        assert not concepts.judge(images[places])[0].any()


def test_sets_hold_different_images_of_their_concept(images):
    concepts = Concepts.of(images, 0.2)
    triples = concepts.triples(10, 30, torch.Generator().manual_seed(0))
    assert triples.shape == (3, 10, 30)
    for places, sets in zip(concepts.places, triples, strict=True):
        assert torch.isin(sets, places).all()
        assert all(len(one.unique()) == 10 for one in sets.T)
        assert len({tuple(one.tolist()) for one in sets.T}) == 30


def test_too_few_exemplars_are_named(images):
    with pytest.raises(ValueError, match=r"only \d+ images are heavy, right, 10 exemplars are wanted; raise draws"):
        Concepts.of(images[:60], 0.2).triples(10, 2, torch.Generator())
