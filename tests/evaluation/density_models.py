"""Small density models with random weights, large enough that nothing about them is trivial."""

import numpy as np
import torch

from relatent.data.streams import stream
from relatent.models.density import DensityModel


def model_with(pixels=12, layers=1, latents=None, hidden=7, seed=0, gain=1.5, dtype=torch.float64) -> DensityModel:
    """Weights and biases normal with standard deviation `gain` / sqrt(inputs)."""
    latents = latents or ((5,) if layers == 1 else (5, 3))
    model = DensityModel(pixels, layers, latents, hidden, 6).to(dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            inputs = parameter.shape[-1] if parameter.ndim == 2 else 4
            draw = stream(seed, name).standard_normal(tuple(parameter.shape)) * gain / np.sqrt(inputs)
            parameter.copy_(torch.from_numpy(draw))
    return model


def with_broad_posterior(model: DensityModel, log_sd: float = 0.0) -> DensityModel:
    """Every q(z1|x) near N(0, exp(log_sd)^2): at 0 the weights are bounded, and few samples tell much."""
    with torch.no_grad():
        for head in (model.q_z1_given_x.mean, model.q_z1_given_x.log_sd):
            head.weight.mul_(0.1)
            head.bias.mul_(0.1)
        model.q_z1_given_x.log_sd.bias.add_(log_sd)
    return model


def images_for(model: DensityModel, count=9, seed=0) -> np.ndarray:
    """(count, pixels) in {0, 1}."""
    return (stream(seed, "images").random((count, model.pixels)) < 0.4).astype(np.uint8)
