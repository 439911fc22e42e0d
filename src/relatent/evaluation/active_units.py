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
from relatent.models.densities import Gaussian
from relatent.models.density import DensityModel

Array = NDArray[np.float64]

THRESHOLD = 0.01  # Burda et al. 2016, sec. 5.2
CODE_IMAGES = 500  # yburda/iwae: "first 500 training images"
PURPOSE = "activity noise"
IMAGES_AT_ONCE = 200
SAMPLES_AT_ONCE = 250  # of z1, of each of these images: some 300 MB, however many there are in all


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


@torch.no_grad()
def activity(model: DensityModel, x: NDArray[np.uint8], samples: int, seed: int) -> Activity:
    """Measure the activity of every unit.

    Args:
        model: one or two stochastic layers.
        x: (images, pixels) in {0, 1}: training images, one binarisation of each.
        samples: of z1 per image, for layer 2; at least 2. They come in blocks: memory does not grow with them.
        seed: of the noise of z1.

    Raises:
        ValueError: fewer than two samples or images.
    """
    if len(x) < 2 or (model.layers == 2 and samples < 2):
        raise ValueError(f"activity is a variance: {len(x)} images and {samples} samples are too few")
    dtype = model.p_x_given_z1.logits.weight.dtype
    z1, z2_first, z2_mean, z2_within = [], [], [], []
    for start in range(0, len(x), IMAGES_AT_ONCE):
        images = range(start, min(start + IMAGES_AT_ONCE, len(x)))
        encoding = model.encode(torch.from_numpy(x[images.start : images.stop]).to(dtype))
        z1.append(encoding.mean.double().numpy())
        if model.layers == 2:
            first, mean, within = _means_of_z2(model, encoding, images, samples, seed)
            z2_first.append(first)
            z2_mean.append(mean)
            z2_within.append(within)
    mean1 = np.concatenate(z1)
    variance = [mean1.var(axis=0)]  # biased, to match the authors' released code
    code = [mean1[:CODE_IMAGES].var(axis=0)]
    if model.layers == 2:
        # The mean over `samples` draws of z1 still holds a share of their noise, which is known and taken off.
        noise_left = np.concatenate(z2_within).mean(axis=0) / samples
        variance.append(np.concatenate(z2_mean).var(axis=0) - noise_left)
        code.append(np.concatenate(z2_first)[:CODE_IMAGES].var(axis=0))
    return Activity(tuple(variance), tuple(code))


def _means_of_z2(
    model: DensityModel, encoding: Gaussian, images: range, samples: int, seed: int
) -> tuple[Array, Array, Array]:
    """Of E[z2|z1] at draws of z1: at the first one, the mean and the variance over them, each (images, latent_2)."""
    streams = [ImageNoise(seed, PURPOSE, image, model.latents[:1]) for image in images]
    for done in range(0, samples, SAMPLES_AT_ONCE):
        count = min(SAMPLES_AT_ONCE, samples - done)
        noise = torch.from_numpy(np.stack([stream.block(count)[0].T for stream in streams], axis=1))
        means = model.encode_z2(encoding.sample(noise.to(encoding.mean.dtype))).mean.double().numpy()
        of_block = means.mean(axis=0)
        squares_of_block = np.square(means - of_block).sum(axis=0)
        if not done:
            first, mean, squares = means[0], of_block, squares_of_block
            continue
        shift = of_block - mean
        mean = mean + shift * count / (done + count)
        squares = squares + squares_of_block + np.square(shift) * done * count / (done + count)
    return first, mean, squares / (samples - 1)


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
