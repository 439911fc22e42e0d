"""What a discriminator's feature looks at: guided backpropagation, done for LeakyReLU (Radford et al. 2016, fig. 5).

Springenberg et al. 2015 let a gradient through a ReLU where both its input and the gradient are positive. Tools that
look for ReLU modules find none in a DCGAN's discriminator and return the plain gradient without a word; here the rule
is applied to the net's own activations. Guided backpropagation hardly depends on the upper weights, so the plain
gradient and a random-initialised net belong beside it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from relatent.models.dcgan import LEAK, Discriminator


class _GuidedActivation(torch.autograd.Function):
    """LeakyReLU forward; backward only what is positive in both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, leak: float) -> Tensor:
        ctx.save_for_backward(x)
        return F.leaky_relu(x, leak)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0].clamp_min(0) * (x > 0), None


def feature_gradient(discriminator: Discriminator, x: Tensor, layer: int, feature: int, guided: bool = True) -> Tensor:
    """Gradient of a feature's largest answer in each image with respect to that image.

    Args:
        discriminator: unconditional, in eval mode.
        x: (batch, channel, height, width) scaled as the net's output.
        layer: of the convolutions, counted from 0; -1 is the last.
        feature: map of that layer.
        guided: the guided rule, or the plain gradient.

    Returns:
        (batch, channel, height, width).

    Raises:
        ValueError: the net is in training mode, where images of a batch depend on each other.
    """
    if discriminator.training:
        raise ValueError(
            "put the discriminator in eval mode: in training mode an image's gradient depends on its batch"
        )
    x = x.detach().clone().requires_grad_(True)
    leak = LEAK if discriminator.net.discriminator_activation == "leaky_relu" else 0.0
    maps = x
    blocks: list[Any] = list(discriminator.convs)
    for block in blocks[: range(len(blocks))[layer] + 1]:
        maps = block.layer(maps)
        if block.norm is not None:
            maps = block.norm(maps)
        maps = _GuidedActivation.apply(maps, leak) if guided else F.leaky_relu(maps, leak)
    # Images do not meet in eval mode, so the gradient of the sum holds each one's own.
    answer = maps[:, feature].flatten(1).max(1).values.sum()
    (gradient,) = torch.autograd.grad(answer, x)
    return gradient


def strongest_images(discriminator: Discriminator, x: Tensor, layer: int, count: int) -> Tensor:
    """(feature, count) int64: the images in x that excite each feature of a layer most, strongest first."""
    with torch.no_grad():
        answers = discriminator.feature_maps(x)[layer].flatten(2).max(2).values
    return answers.topk(count, dim=0).indices.T
