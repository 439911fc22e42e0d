"""Train minus test log-likelihood (Burda et al. 2016, sec. 5), of all training images though few are scored at full k.

L_5000 of 60,000 images is an hour; L_50 of them half a minute, and the two rise and fall together from image to image.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from relatent.data.binarisation import static
from relatent.evaluation.density import TRAIN_BINARISATION_SEED, image_sampling_error, over_seeds
from relatent.evaluation.noise import ImageNoise
from relatent.evaluation.two_phase import regression_estimate
from relatent.models.density import DensityModel
from relatent.objectives.bounds import iwae_bound

Array = NDArray[np.float64]

IMAGES_AT_ONCE = 20  # as in training, whose batches stay in the cache
SAMPLES_AT_ONCE = 500  # of each of these images; some 150 MB, however large k is


@torch.no_grad()
def control_bounds(
    models: Mapping[int, DensityModel],
    grey: NDArray[np.uint8],
    k: int,
    seed: int,
    done: Array | None = None,
    keep: Callable[[Array], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> Array:
    """L_k of training images at a small k, (models, images), nats; binarised as those that are scored in full.

    Args:
        models: by seed; all see the same noise.
        grey: (images, ...) uint8 grey levels.
        k: samples per image; they come in blocks, so that memory does not grow with it.
        seed: of the noise.
        done: what an interrupted run had handed to `keep`.
        keep: called now and then with the bounds of the images so far.
        advance: called with the number of images just done.
    """
    latents = next(iter(models.values())).latents
    binary = static(grey, TRAIN_BINARISATION_SEED).reshape(len(grey), -1)
    found = np.empty((len(models), len(binary)))
    first = 0 if done is None else done.shape[1]
    if done is not None:
        found[:, :first] = done
    for start in range(first, len(binary), IMAGES_AT_ONCE):
        images = range(start, min(start + IMAGES_AT_ONCE, len(binary)))
        streams = [ImageNoise(seed, "control posterior noise", image, latents) for image in images]
        x = torch.from_numpy(binary[images.start : images.stop])
        bounds = found[:, images.start : images.stop]
        for drawn in range(0, k, SAMPLES_AT_ONCE):
            samples = min(SAMPLES_AT_ONCE, k - drawn)
            blocks = [stream.block(samples) for stream in streams]
            noise = [
                torch.from_numpy(np.stack([block[layer].T for block in blocks], axis=1))
                for layer in range(len(latents))
            ]
            for place, model in enumerate(models.values()):
                dtype = model.p_x_given_z1.logits.weight.dtype
                log_w = model.log_importance_weights(x.to(dtype), [part.to(dtype) for part in noise])
                bound = iwae_bound(log_w).double().numpy()
                bounds[place] = _of_both(bounds[place], drawn, bound, samples) if drawn else bound
        advance(len(images))
        keep(found[:, : images.stop])
    return found


def _of_both(bound: Array, k: int, other: Array, other_k: int) -> Array:
    """The bound over the samples of two bounds: log of the mean of all weights."""
    return np.logaddexp(bound + math.log(k), other + math.log(other_k)) - math.log(k + other_k)


def gap_metrics(
    test: Array,
    test_error: float,
    train: Array,
    places: NDArray[np.int64],
    control: Array,
    k: int,
    control_k: int,
) -> dict[str, dict[str, Any]]:
    """Metrics of the gap between these two splits as they are; what other test images would change stands beside it.

    Args:
        test: (seeds, test images) L_k.
        test_error: Monte Carlo error of its mean, nats.
        train: (seeds, scored) L_k of some training images.
        places: (scored,) which ones.
        control: (seeds, training images) bounds at `control_k` samples.
        k, control_k: samples of the bounds.
    """
    scored = train.shape[1]
    estimate = regression_estimate(train, control[:, places], control)
    gap = estimate.mean - test.mean(axis=1)
    shared = {"k": k, "interval": "regression"}
    sizes = {"n_train": control.shape[1], "n_scored": scored, "control_k": control_k}
    return {
        "train_nll_nats": {**over_seeds(-estimate.mean, "nats"), "stderr": estimate.stderr, **shared, **sizes},
        "test_minus_train_nats": {
            **over_seeds(gap, "nats"),
            "stderr": float(np.hypot(estimate.stderr, test_error)),
            "test_sampling_stderr": image_sampling_error(test),
            **shared,
            "n_images": test.shape[1],
            **sizes,
        },
        "control_correlation": {**over_seeds(estimate.correlation, "1"), **sizes},
        "control_slope": {**over_seeds(estimate.slope, "1"), **sizes},
    }
