"""Active units: latents whose posterior mean moves with the image (Burda et al. 2016, sec. 5.2).

A_u = Var_x(E[u | x]), active above 0.01. The paper's definition and its released code are not the same number: the
code looks at the first 500 training images only and, for layer 2, at the mean head after one sampled z1, which adds
the noise of z1 to A_u (specs/iwae.md, section 5). Both are computed here.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from relatent.evaluation.noise import ImageNoise
from relatent.models.density import DensityModel

Array = NDArray[np.float64]

THRESHOLD = 0.01  # Burda et al. 2016, sec. 5.2
CODE_IMAGES = 500  # yburda/iwae: "first 500 training images"
PURPOSE = "activity noise"
IMAGES_AT_ONCE = 200


@dataclass(frozen=True)
class Activity:
    """A_u of the units of each stochastic layer, from z1 up.

    Args:
        variance: by the definition, over all images given, each (latent_i,); of layer 2 an unbiased estimate, which
            can fall a little below 0.
        variance_code: as the released code measures it.
    """

    variance: tuple[Array, ...]
    variance_code: tuple[Array, ...]


def activity(model: DensityModel, x: NDArray[np.uint8], samples: int, seed: int) -> Activity:
    """Measure the activity of every unit.

    Args:
        model: one or two stochastic layers.
        x: (images, pixels) in {0, 1}: training images, one binarisation of each.
        samples: of z1 per image, for layer 2; at least 2.
        seed: of the noise of z1.

    Raises:
        ValueError: fewer than two samples or images.
    """
    if len(x) < 2 or (model.layers == 2 and samples < 2):
        raise ValueError(f"activity is a variance: {len(x)} images and {samples} samples are too few")
    z1, z2_first, z2_mean, z2_within = [], [], [], []
    for start in range(0, len(x), IMAGES_AT_ONCE):
        images = range(start, min(start + IMAGES_AT_ONCE, len(x)))
        encoding, means = _posterior_means(model, x[images.start : images.stop], images, samples, seed)
        z1.append(encoding)
        if means is not None:
            z2_first.append(means[0])
            z2_mean.append(means.mean(axis=0))
            z2_within.append(means.var(axis=0, ddof=1))
    mean1 = np.concatenate(z1)
    variance = [mean1.var(axis=0)]  # biased, to match the authors' released code
    code = [mean1[:CODE_IMAGES].var(axis=0)]
    if model.layers == 2:
        # The mean over `samples` draws of z1 still holds a share of their noise, which is known and taken off.
        noise_left = np.concatenate(z2_within).mean(axis=0) / samples
        variance.append(np.concatenate(z2_mean).var(axis=0) - noise_left)
        code.append(np.concatenate(z2_first)[:CODE_IMAGES].var(axis=0))
    return Activity(tuple(variance), tuple(code))


@torch.no_grad()
def _posterior_means(
    model: DensityModel, x: NDArray[np.uint8], images: range, samples: int, seed: int
) -> tuple[Array, Array | None]:
    """E[z1|x], (images, latent_1), and with two layers E[z2|z1] at draws of z1, (samples, images, latent_2)."""
    encoding = model.encode(torch.from_numpy(x).to(model.p_x_given_z1.logits.weight.dtype))
    if model.layers == 1:
        return encoding.mean.double().numpy(), None
    draws = [ImageNoise(seed, PURPOSE, image, model.latents[:1]).block(samples)[0].T for image in images]
    z1 = encoding.sample(torch.from_numpy(np.stack(draws, axis=1)).to(encoding.mean.dtype))
    return encoding.mean.double().numpy(), model.encode_z2(z1).mean.double().numpy()


def kept_units(variance: Sequence[Array], threshold: float = THRESHOLD) -> tuple[NDArray[np.int64], ...]:
    """Indices of the units of each layer that stay when inactive ones are removed: those at or above the threshold."""
    return tuple(np.flatnonzero(layer >= threshold) for layer in variance)


def active_count(variance: Array, threshold: float = THRESHOLD) -> int:
    """Units above the threshold."""
    return int((variance > threshold).sum())


@torch.no_grad()
def without_units(model: DensityModel, kept: Sequence[NDArray[np.int64]]) -> DensityModel:
    """The model with only the units `kept` of each layer: the others leave q and p together, as in the released code.

    What remains is a whole model, whose bound is again a bound; what the removed units did to the nets above and below
    them is lost.
    """
    if len(kept) != model.layers:
        raise ValueError(f"kept has {len(kept)} layers, the model {model.layers}")
    units = [torch.from_numpy(np.asarray(layer, dtype=np.int64)) for layer in kept]
    state = dict(model.state_dict())

    def keep_outputs(net: str, layer: int) -> None:
        for head in ("mean", "log_sd"):
            for kind in ("weight", "bias"):
                state[f"{net}.{head}.{kind}"] = state[f"{net}.{head}.{kind}"][units[layer]]

    def keep_inputs(net: str, layer: int) -> None:
        state[f"{net}.hidden1.weight"] = state[f"{net}.hidden1.weight"][:, units[layer]]

    keep_outputs("q_z1_given_x", 0)
    keep_inputs("p_x_given_z1", 0)
    if model.layers == 2:
        keep_inputs("q_z2_given_z1", 0)
        keep_outputs("q_z2_given_z1", 1)
        keep_inputs("p_z1_given_z2", 1)
        keep_outputs("p_z1_given_z2", 0)
    hidden = state["p_x_given_z1.logits.weight"].shape[1]
    between = state["q_z2_given_z1.hidden1.weight"].shape[0] if model.layers == 2 else 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")  # a layer may lose all its units
        reduced = DensityModel(model.pixels, model.layers, [len(layer) for layer in units], hidden, between)
    reduced.to(state["p_x_given_z1.logits.weight"].dtype).load_state_dict(state)
    return reduced
