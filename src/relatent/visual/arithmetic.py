"""Arithmetic on z, with the control the paper lacks: the length of the result (Radford et al. 2016, sec. 6.3.2).

The paper averages exactly three exemplars per concept because single ones were unstable. There is a plainer reason
for three: of z with independent uniform entries the mean of three has a third of the variance, and A - B + C of three
such means has three times that, which is the prior's own length. With single exemplars the result is sqrt(3) too long.
So each number of exemplars is tried with and without being brought to the prior's length.
"""

import math

import torch
from torch import Tensor

PRIOR_VARIANCE = {"uniform": 1 / 3, "normal": 1.0}  # of one entry of z; uniform in [-1, 1]


def concept_arithmetic(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """mean(a) - mean(b) + mean(c): each (exemplar, ..., latent); the result (..., latent)."""
    return a.mean(0) - b.mean(0) + c.mean(0)


def with_prior_length(z: Tensor, z_prior: str) -> Tensor:
    """z, (..., latent), brought to the root mean square length that draws from the prior have."""
    length = math.sqrt(z.shape[-1] * PRIOR_VARIANCE[z_prior])
    return z * (length / z.norm(dim=-1, keepdim=True))


def random_direction(z: Tensor, rng: torch.Generator) -> Tensor:
    """As long as each z, anywhere: the control of a step that is meant to change one thing."""
    step = torch.randn(z.shape, generator=rng)
    return step * (z.norm(dim=-1, keepdim=True) / step.norm(dim=-1, keepdim=True))


def turn_vector(left: Tensor, right: Tensor) -> Tensor:
    """From the mean of left exemplars to the mean of right ones, both (exemplar, latent); fig. 8."""
    return right.mean(0) - left.mean(0)


def neighbours(z: Tensor, count: int, rng: torch.Generator, reach: float = 0.25) -> Tensor:
    """(count, ..., latent): z with uniform noise of +-reach; fig. 7's eight neighbours of each result."""
    noise = torch.rand(count, *z.shape, generator=rng) * 2 - 1
    return z + reach * noise


def expected_length_ratio(exemplars: int) -> float:
    """Length of A - B + C over that of the prior, for means of so many independent exemplars: sqrt(3 / k)."""
    return math.sqrt(3 / exemplars)
