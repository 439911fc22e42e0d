"""Arithmetic on z, with the control the paper lacks: the length of the result (Radford et al. 2016, sec. 6.3.2).

The paper averages exactly three exemplars per concept because single ones were unstable. There is a plainer reason
for three: of z with independent uniform entries the mean of three has a third of the variance, and A - B + C of three
such means has three times that, which is the prior's own length. With single exemplars the result is sqrt(3) too long.
So each number of exemplars is tried with and without being brought to the prior's length.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relatent.visual.concepts import Concepts
from relatent.visual.strokes import greyness

PRIOR_VARIANCE = {"uniform": 1 / 3, "normal": 1.0}  # of one entry of z; uniform in [-1, 1]
NEIGHBOURS = 8  # of each result in fig. 7


def prior_length(latent: int, z_prior: str) -> float:
    """Root mean square length of draws from the prior."""
    return math.sqrt(latent * PRIOR_VARIANCE[z_prior])


def concept_arithmetic(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """mean(a) - mean(b) + mean(c): each (exemplar, ..., latent); the result (..., latent)."""
    return a.mean(0) - b.mean(0) + c.mean(0)


def with_prior_length(z: Tensor, z_prior: str) -> Tensor:
    """z, (..., latent), brought to the root mean square length that draws from the prior have."""
    return z * (prior_length(z.shape[-1], z_prior) / z.norm(dim=-1, keepdim=True))


def random_direction(z: Tensor, rng: torch.Generator) -> Tensor:
    """As long as each z, anywhere: the control of a step that is meant to change one thing."""
    step = torch.randn(z.shape, generator=rng)
    return step * (z.norm(dim=-1, keepdim=True) / step.norm(dim=-1, keepdim=True))


def neighbours(z: Tensor, count: int, rng: torch.Generator, reach: float = 0.25) -> Tensor:
    """(count, ..., latent): z with uniform noise of +-reach; fig. 7's eight neighbours of each result."""
    noise = torch.rand(count, *z.shape, generator=rng) * 2 - 1
    return z + reach * noise


def expected_length_ratio(exemplars: int) -> float:
    """Length of A - B + C over that of the prior, for means of so many independent exemplars: sqrt(3 / k)."""
    return math.sqrt(3 / exemplars)


def pixel_arithmetic(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The same on images, clipped, the paper's negative; each (exemplar, ..., height, width) uint8, as the result."""
    result = concept_arithmetic(a.double(), b.double(), c.double())
    return result.round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Tried:
    """Results of one way to do the sum, (n, ...) each.

    Attributes:
        images: (n, 1, height, width) uint8.
        target: heavier and more to the left than half of the class.
        outer: as heavy and as far to the left as the exemplars were heavy, and to the left.
        label: the class that was held; -1 if the net has none.
        length: of z over the prior's; None for arithmetic on images.
    """

    images: Tensor
    target: Tensor
    outer: Tensor
    label: Tensor
    length: Tensor | None = None

    @classmethod
    def joined(cls, parts: "Sequence[Tried]") -> "Tried":
        """Those of several classes, one after another."""
        lengths = [part.length for part in parts if part.length is not None]
        return cls(
            torch.cat([part.images for part in parts]),
            torch.cat([part.target for part in parts]),
            torch.cat([part.outer for part in parts]),
            torch.cat([part.label for part in parts]),
            torch.cat(lengths) if lengths else None,
        )


@dataclass(frozen=True)
class Material:
    """One class: its z drawn from the prior, (n, latent), their images, the concepts among them, and its generator."""

    z: Tensor
    images: Tensor
    concepts: Concepts
    z_prior: str
    make: Callable[[Tensor], Tensor]
    label: int = -1

    def tried(self, images: Tensor, z: Tensor | None = None) -> Tried:
        """Images judged by the class's own measure."""
        length = None if z is None else z.norm(dim=-1) / prior_length(z.shape[-1], self.z_prior)
        label = torch.full((len(images),), self.label)
        return Tried(images, *self.concepts.judge(images), label, length)


def try_class(material: Material, places: Tensor, ks: Sequence[int], rng: torch.Generator) -> dict[str, Tried]:
    """All ways to do the sum, on the same triples of sets of exemplars.

    Args:
        material: the class.
        places: (3, exemplar, triple) of the concepts A, B, C among its z; k exemplars are the first k.
        ks: numbers of exemplars.
        rng: of the random steps.

    Returns:
        by `<way>_k<k>`: `latent` is A - B + C, `prior_length` the same brought to the prior's length, `random_step` a
        step as long as A - B in a random direction from C, `pixels` arithmetic on the images. And `drawn`, as many of
        the class's z as there are triples, and `drawn_target`, those of its z that are what the sum should be.
    """
    count = places.shape[-1]
    target = material.concepts.target[:count]
    found = {
        "drawn": material.tried(material.images[:count], material.z[:count]),
        "drawn_target": material.tried(material.images[target], material.z[target]),
    }
    for k in ks:
        a, b, c = material.z[places[:, :k]]
        result = concept_arithmetic(a, b, c)
        ways = {
            "latent": result,
            "prior_length": with_prior_length(result, material.z_prior),
            "random_step": c.mean(0) + random_direction(a.mean(0) - b.mean(0), rng),
        }
        found |= {f"{way}_k{k}": material.tried(material.make(z), z) for way, z in ways.items()}
        found[f"pixels_k{k}"] = material.tried(pixel_arithmetic(*material.images[places[:, :k]]))
    return found


def figure_images(material: Material, places: Tensor, rng: torch.Generator, reach: float) -> dict[str, Tensor]:
    """What fig. 7 shows of one triple: exemplars, images of their mean z, the result among neighbours, pixels.

    Args:
        places: (3, exemplar) of the concepts A, B, C among the material's z.
        reach: of the neighbours' noise.

    Returns:
        exemplars (3, exemplar, 1, height, width), means (3, 1, ...), results (1 + NEIGHBOURS, 1, ...), the result
        itself first, pixels (1, ...); uint8.
    """
    exemplars = material.images[places]
    a, b, c = material.z[places]
    result = concept_arithmetic(a, b, c)
    around = neighbours(result, NEIGHBOURS, rng, reach)
    return {
        "exemplars": exemplars,
        "means": material.make(torch.stack([a.mean(0), b.mean(0), c.mean(0)])),
        "results": material.make(torch.cat([result[None], around])),
        "pixels": pixel_arithmetic(*exemplars),
    }


@dataclass(frozen=True)
class Nearest:
    """The nearest real image of each result: its label, (n,), and root mean square distance per pixel, (n,)."""

    label: Tensor
    distance: Tensor


def succeeded(tried: Tried, nearest: Nearest) -> Tensor:
    """(n,) bool: heavy, left, and of a net with labels still of its class, by the nearest real image."""
    return tried.target & _kept(tried, nearest)


def _kept(tried: Tried, nearest: Nearest) -> Tensor:
    return (tried.label < 0) | (nearest.label == tried.label)


def arithmetic_metrics(found: Mapping[str, Tried], nearest: Mapping[str, Nearest]) -> dict[str, dict[str, Any]]:
    """Metrics `<what>_<way>_k<k>` of every way, and what makes the difference, paired over the triples.

    `length_alone`: single exemplars, brought to the prior's length or not. `averaging_alone`: three or one, all of the
    prior's length. `beyond_three`: ten or three, as they are. Each is left out where its numbers were not tried.
    """
    metrics: dict[str, dict[str, Any]] = {}
    successes: dict[str, Tensor] = {}
    for name, tried in found.items():
        successes[name] = succeeded(tried, nearest[name])
        n = len(tried.images)
        shares = {"success": successes[name], "target": tried.target, "outer": tried.outer}
        if (tried.label >= 0).all():
            shares["kept"] = _kept(tried, nearest[name])
        for what, those in shares.items():
            metrics[f"{what}_{name}"] = {"value": those.double().mean().item(), "unit": "fraction", "n_images": n}
        metrics[f"distance_{name}"] = _mean(nearest[name].distance, "grey levels / 255, root mean square per pixel")
        metrics[f"greyness_{name}"] = _mean(greyness(tried.images), "1 - sum p^2 / sum p")
        if tried.length is not None:
            metrics[f"length_{name}"] = _mean(tried.length, "of the prior's root mean square length")
    for name in found:
        way, _, k = name.partition("_k")
        if way == "latent":
            ratio = expected_length_ratio(int(k))
            metrics[f"expected_length_{name}"] = {"value": ratio, "unit": "of the prior's root mean square length"}
    for what, (more, less) in {
        "length_alone": ("prior_length_k1", "latent_k1"),
        "averaging_alone": ("prior_length_k3", "prior_length_k1"),
        "beyond_three": ("latent_k10", "latent_k3"),
    }.items():
        if more in successes and less in successes:
            metrics[what] = _mean(successes[more].double() - successes[less].double(), "fraction")
    return metrics


def _mean(values: Tensor, unit: str) -> dict[str, Any]:
    stderr = values.double().std().item() / math.sqrt(len(values))
    return {"value": values.double().mean().item(), "stderr": stderr, "interval": "test sampling", "unit": unit}
