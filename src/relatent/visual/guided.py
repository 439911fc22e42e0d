"""What a discriminator's feature looks at: guided backpropagation, done for LeakyReLU (Radford et al. 2016, fig. 5).

Springenberg et al. 2015 let a gradient through a ReLU where both its input and the gradient are positive. Tools that
look for ReLU modules find none in a DCGAN's discriminator and return the plain gradient without a word; here the rule
is applied to the net's own activations. Guided backpropagation hardly depends on the upper weights, so the plain
gradient and a random-initialised net belong beside it.
"""

import math
from collections.abc import Mapping, Sequence
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


def strongest_images(discriminator: Discriminator, x: Tensor, layer: int, count: int, block: int = 500) -> Tensor:
    """(feature, count) int64: the images in x that excite each feature of a layer most, strongest first."""
    with torch.no_grad():
        answers = [discriminator.feature_maps(part)[layer].flatten(2).amax(2) for part in x.split(block)]
    return torch.cat(answers).topk(count, dim=0).indices.T


def half_area(gradient: Tensor) -> Tensor:
    """The least share of an image's pixels that holds half of its gradient's squares, in (0, 1/2]; (batch,).

    Args:
        gradient: (batch, channel, height, width); NaN where it is zero throughout.
    """
    energy = gradient.double().square().sum(1).flatten(1)
    total = energy.sum(1)
    reached = energy.sort(1, descending=True).values.cumsum(1) >= total[:, None] / 2
    needed = (~reached).sum(1) + 1
    return torch.where(total > 0, needed / energy.shape[1], math.nan)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, over all values of each pair in a and b, (batch, ...) each: (batch,); NaN where either is constant."""
    a, b = (x.double().flatten(1) - x.double().flatten(1).mean(1, keepdim=True) for x in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def feature_metrics(
    nets: Mapping[str, Discriminator], x: Tensor, strongest: Mapping[str, Tensor], features: int
) -> dict[str, dict[str, Any]]:
    """How far the gradients at a feature's strongest images tell of the feature, for both rules and both nets.

    Args:
        nets: `trained`, and `random`, the same net before its training.
        x: (image, channel, height, width) scaled as the nets' output.
        strongest: by net, (feature, count) images in x.
        features: the first so many of the last convolution.

    Returns:
        means over features, their standard error that of drawing other features, as `<what>_<rule>_<net>`:
        `half_area`; `with_image`, the correlation of a gradient with its image; `with_next_feature`, with that of the
        next feature at the same image, which a picture of *this* feature would not have. And `with_untrained_<rule>`,
        between the trained net and the random one: same feature, same image.
    """
    found: dict[str, list[Tensor]] = {}
    for feature in range(features):
        for rule, guided in (("guided", True), ("plain", False)):
            for name, net in nets.items():
                images = x[strongest[name][feature]]
                own = feature_gradient(net, images, -1, feature, guided)
                other = feature_gradient(net, images, -1, (feature + 1) % features, guided)
                found.setdefault(f"half_area_{rule}_{name}", []).append(half_area(own))
                found.setdefault(f"with_image_{rule}_{name}", []).append(correlation(own, images))
                found.setdefault(f"with_next_feature_{rule}_{name}", []).append(correlation(own, other))
                if name == "trained":
                    before = feature_gradient(nets["random"], images, -1, feature, guided)
                    found.setdefault(f"with_untrained_{rule}", []).append(correlation(own, before))
    return {name: _over_features(name, torch.stack(values)) for name, values in found.items()}


def _over_features(name: str, values: Tensor) -> dict[str, Any]:
    """From (feature, image); a feature without any gradient has no value."""
    means = values.nanmean(1)
    means = means[~means.isnan()]
    return {
        "value": means.mean().item(),
        "stderr": means.std().item() / math.sqrt(len(means)),
        "interval": "features",
        "unit": "share of pixels" if name.startswith("half_area") else "correlation",
        "n_features": len(means),
    }


def gradient_pictures(gradient: Tensor) -> Tensor:
    """(batch, channel, height, width) uint8: 128 is zero, 1 and 255 what a hundredth of its own values lie beyond."""
    reach = gradient.abs().flatten(1).quantile(0.99, dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return (128 + 127 * (gradient / reach[:, None, None, None]).clamp(-1, 1)).round().to(torch.uint8)


def shown_features(
    nets: Mapping[str, Discriminator], x: Tensor, strongest: Mapping[str, Tensor], features: Sequence[int]
) -> dict[str, Tensor]:
    """What fig. 5 shows: gradients as pictures, (feature, image, channel, height, width), by `<rule>_<net>`."""
    return {
        f"{rule}_{name}": torch.stack(
            [
                gradient_pictures(feature_gradient(net, x[strongest[name][feature]], -1, feature, guided))
                for feature in features
            ]
        )
        for rule, guided in (("guided", True), ("plain", False))
        for name, net in nets.items()
    }
