"""The Monte Carlo error of L_k, measured: some test images are scored again with other noise.

The delta method takes the error from the weights that were drawn. Where their tail is so heavy that it seldom shows in
k draws, that error is too small; two independent scores of an image differ by what it really is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relatent.data.binarisation import test_binarisation
from relatent.evaluation import nll
from relatent.evaluation.density import image_sampling_error, monte_carlo_error
from relatent.evaluation.fast_weights import Precision
from relatent.evaluation.two_phase import drawn_images
from relatent.models.density import DensityModel

Array = NDArray[np.float64]


def score_again(
    models: Mapping[int, DensityModel],
    grey: NDArray[np.uint8],
    count: int,
    k: int,
    seed: int,
    precision: Precision = "float32",
    threads: int = 1,
    done: Mapping[str, Array] | None = None,
    keep: Callable[[nll.Results], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[NDArray[np.int64], Array]:
    """Draw test images and take their L_k with noise that no other evaluation has.

    Args:
        models: by seed, on the same noise.
        grey: (test images, ...) uint8 grey levels.
        count: images drawn.
        k, seed, precision, threads, done, keep, advance: as for `nll.evaluate`.

    Returns:
        Their places in the test set, (count,), and their bounds, (seeds, count).
    """
    images = drawn_images(len(grey), count, seed, "repeated images")
    x = test_binarisation(grey)[images].reshape(count, -1)
    scored = [nll.Scored(model, model.latents, None, f"seed {number}") for number, model in models.items()]
    found = nll.evaluate(scored, x, k, seed, "repeated posterior noise", threads, precision, done, keep, advance)
    return images, found["bound"]


def repetition_metrics(first: Array, again: Array, claimed: Array, images: NDArray[np.int64], k: int) -> dict[str, Any]:
    """What two scores of the same images say of the error of each, and of the mean over all test images.

    Half the mean square of their differences is the variance of one score, whatever the tail; its ratio to the claimed
    one, carried over to all images.

    Args:
        first: (seeds, test images) L_k.
        again: (seeds, repeated) L_k of some of them, with other noise.
        claimed: (seeds, test images) standard errors of `first` by the delta method.
        images: (repeated,) places of the repeated ones.
        k: samples of the bound.

    Weights that are all equal claim no error; then there is nothing to compare the measured one with.

    Returns:
        `nll_monte_carlo_nats`: standard error of the mean over seeds and all images; seeds share noise, so they are
        averaged first. `monte_carlo_ratio`: measured over claimed error of one seed's score.
        `repetition_shift_nats`: mean of the second scores less the first, which must be 0 within its error.
    """
    differences = again - first[:, images]
    squares, own = differences**2 / 2, claimed[:, images] ** 2
    shared = differences.mean(axis=0)
    of_image = math.sqrt((shared**2 / 2).mean())
    ratio, spread, of_mean = None, None, of_image / math.sqrt(first.shape[1])
    if own.any():
        claim = math.sqrt((claimed.mean(axis=0)[images] ** 2).mean())
        of_mean = of_image / claim * monte_carlo_error(claimed)
        ratio = math.sqrt(squares.mean() / own.mean())
        # Of the ratio, linearised: what each image's square lies above or below the ratio's share of its claim.
        spread = image_sampling_error(squares - ratio**2 * own)
    sizes = {"n_images": first.shape[1], "n_repeated": len(images), "k": k}
    return {
        "nll_monte_carlo_nats": {"value": of_mean, "unit": "nats", **sizes},
        "monte_carlo_ratio": {
            "value": ratio,
            "stderr": spread / own.mean() / (2 * ratio) if spread is not None and ratio else None,
            "interval": "images scored twice",
            "unit": "ratio",
            **sizes,
        },
        "repetition_shift_nats": {
            "value": float(differences.mean()),
            "stderr": image_sampling_error(differences),
            "interval": "images scored twice",
            "unit": "nats",
            **sizes,
        },
    }
