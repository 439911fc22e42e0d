"""What a density model's latents hold, as pictures: samples, paths between samples, weights next to the pixels."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relatent.data.streams import stream
from relatent.models.density import DensityModel

Images = NDArray[np.uint8]


@torch.no_grad()
def sample_images(model: DensityModel, count: int, seed: int, shape: tuple[int, ...]) -> Images:
    """Bernoulli means of draws from the prior, (count, *shape) uint8.

    With two layers z1 is sampled from p(z1|z2) and its mean image shown, as in the paper's figure 3.
    """
    return _bytes(model.sample_prior(_noise(model, count, seed, "samples")), shape)


@torch.no_grad()
def path_images(model: DensityModel, paths: int, steps: int, seed: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Mean images along paths between two draws of the top latent, (paths, steps, *shape) uint8.

    A path is z(t) = cos(t) a + sin(t) b, t from 0 to pi/2: each point on it is distributed as the prior is, which a
    straight line between two draws is not (its middle is too short). With two layers z1 is the mean of p(z1|z2), so
    that nothing but z2 changes along a row.
    """
    ends = _noise(model, 2 * paths, seed, "path ends")[-1]
    angle = torch.linspace(0, math.pi / 2, steps, dtype=ends.dtype)[None, :, None]
    z_top = torch.cos(angle) * ends[:paths, None] + torch.sin(angle) * ends[paths:, None]
    z1 = z_top if model.layers == 1 else model.p_z1_given_z2(z_top).mean
    return _bytes(torch.sigmoid(model.decode(z1)), shape)


def first_layer_weights(model: DensityModel, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights from the pixels to each unit of q's first hidden layer, (units, *shape)."""
    return model.q_z1_given_x.hidden1.weight.detach().numpy().reshape(-1, *shape)


def last_layer_weights(model: DensityModel, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights from each unit of p(x|z1)'s last hidden layer to the pixels, (units, *shape)."""
    return np.ascontiguousarray(model.p_x_given_z1.logits.weight.detach().numpy().T).reshape(-1, *shape)


def _noise(model: DensityModel, count: int, seed: int, purpose: str) -> Sequence[Tensor]:
    dtype = model.p_x_given_z1.logits.weight.dtype
    return [
        torch.from_numpy(stream(seed, purpose, layer).standard_normal((count, latent))).to(dtype)
        for layer, latent in enumerate(model.latents)
    ]


def _bytes(means: Tensor, shape: tuple[int, ...]) -> Images:
    return np.rint(means.numpy() * 255).astype(np.uint8).reshape(*means.shape[:-1], *shape)
