"""Walks in the space of z (Radford et al. 2016, sec. 6.1 and fig. 4), in a form that can be checked.

The middle of a straight line between two uniform z has only 0.71 times the prior's norm, where the generator was
never trained; so each path is also walked on the sphere, and the two are compared.
"""

import math

import torch
from torch import Tensor


def straight_path(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """(steps, ..., latent): from start to end on a line, both (..., latent)."""
    share = torch.linspace(0, 1, steps, dtype=start.dtype).view(-1, *[1] * start.dim())
    return start + share * (end - start)


def spherical_path(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """(steps, ..., latent): from start to end at an even angle, the norm going evenly from one's to the other's."""
    share = torch.linspace(0, 1, steps, dtype=start.dtype).view(-1, *[1] * start.dim())
    start_norm, end_norm = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    cosine = ((start / start_norm) * (end / end_norm)).sum(-1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine).clamp(1e-6, math.pi - 1e-6)
    direction = (
        torch.sin((1 - share) * angle) * (start / start_norm) + torch.sin(share * angle) * (end / end_norm)
    ) / torch.sin(angle)
    return direction * (start_norm + share * (end_norm - start_norm))


def jump_index(images: Tensor) -> Tensor:
    """Largest step over mean step along each path, in pixel distance; 1 is perfectly even, `steps - 1` one jump.

    Sharp transitions along a path are a sign of memorised images (sec. 6.1).

    Args:
        images: (path, steps, channel, height, width).

    Returns:
        (path,).
    """
    steps = images.float().diff(dim=1).flatten(2).norm(dim=-1)
    return steps.max(1).values / steps.mean(1).clamp_min(1e-12)
