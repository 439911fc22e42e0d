"""Concepts without a classifier or labels by hand: the outer parts of two attributes of strokes, weight and slant.

A is heavy and leans right, B is light and leans right, C is light and leans left: A - B + C should be heavy and lean
left. Radford et al. 2016, fig. 7, chose exemplars of theirs by eye.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from relatent.visual.strokes import slant, weight

CONCEPTS = ("heavy, right", "light, right", "light, left")  # A, B, C


@dataclass(frozen=True)
class Scale:
    """An attribute among the images of a class: below `low` and above `high` are its outer parts."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Tensor, share: float) -> "Scale":
        """From the values, (n,), and the share of them in each outer part."""
        low, middle, high = values.quantile(torch.tensor([share, 0.5, 1 - share], dtype=values.dtype)).tolist()
        return cls(low, middle, high)


@dataclass(frozen=True)
class Concepts:
    """Where the concepts are among the images of a class, and the measure that further images of it are judged by.

    Attributes:
        places: of A, B and C, (n_i,) each: a concept's images among those of the class.
        target: (n,) of the images that are what A - B + C should be.
    """

    weight: Scale
    slant: Scale
    places: tuple[Tensor, Tensor, Tensor]
    target: Tensor

    @classmethod
    def of(cls, images: Tensor, share: float) -> "Concepts":
        """From the images of a class, (n, 1, height, width) uint8, and the share of an outer part."""
        weights, slants = weight(images), slant(images)
        of_weight, of_slant = Scale.of(weights, share), Scale.of(slants, share)
        heavy, light = weights >= of_weight.high, weights <= of_weight.low
        right, left = slants >= of_slant.high, slants <= of_slant.low
        a, b, c, target = (both.nonzero()[:, 0] for both in (heavy & right, light & right, light & left, heavy & left))
        return cls(of_weight, of_slant, (a, b, c), target)

    def triples(self, exemplars: int, count: int, rng: torch.Generator) -> Tensor:
        """(3, exemplars, count): for each concept, `count` sets of different images of it; sets may share images.

        Raises:
            ValueError: a concept has fewer images than exemplars are wanted.
        """
        for concept, those in zip(CONCEPTS, self.places, strict=True):
            if len(those) < exemplars:
                raise ValueError(
                    f"only {len(those)} images are {concept}, {exemplars} exemplars are wanted; raise draws or share"
                )
        return torch.stack(
            [
                torch.stack([those[torch.randperm(len(those), generator=rng)[:exemplars]] for _ in range(count)], 1)
                for those in self.places
            ]
        )

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Are images, (n, 1, height, width), heavy and left: by halves of the class, and by its outer parts; (n,)."""
        weights, slants = weight(images), slant(images)
        target = (weights > self.weight.middle) & (slants < self.slant.middle)
        outer = (weights >= self.weight.high) & (slants <= self.slant.low)
        return target, outer
