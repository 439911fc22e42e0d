"""Small density models and batches for the tests of this room."""

import numpy as np
import torch

from relatent.models.density import DensityModel


def random_model(pixels=12, layers=1, latents=None, dtype=torch.float64, seed=0, **sizes) -> DensityModel:
    """A model with Glorot weights and the output bias of rising pixel means."""
    model = DensityModel(pixels, layers, latents, **sizes).to(dtype)
    rng = np.random.default_rng(seed)
    model.initialise(lambda name: rng, np.linspace(0, 1, pixels))
    return model


def batch(model: DensityModel, k=4, images=5, seed=0):
    """Random binary images, (images, pixels), and noise for k draws of each."""
    rng = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    x = (torch.rand(images, model.pixels, generator=rng) < 0.4).to(dtype)
    return x, tuple(torch.randn(k, images, size, generator=rng, dtype=dtype) for size in model.latents)
