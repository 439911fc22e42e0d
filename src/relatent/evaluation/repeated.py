"""The Monte Carlo error of L_k, measured: some test images are scored again with other noise.

The delta method takes the error from the weights that were drawn. Where their tail is so heavy that it seldom shows in
k draws, that error is too small; two independent scores of an image differ by what it really is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relatent.data.streams import stream
from relatent.evaluation import nll
from relatent.models.density import DensityModel

Array = NDArray[np.float64]


def repeated_images(of: int, count: int, seed: int) -> NDArray[np.int64]:
    """Which test images are scored again: `count` of `of`, drawn, ascending."""
    return np.sort(stream(seed, "repeated images").permutation(of)[:count])


def score_again(
    models: Mapping[int, DensityModel],
    x: NDArray[np.uint8],
    k: int,
    seed: int,
    threads: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Array:
    """L_k of images with noise that no other evaluation has, (seeds, images).

    Args:
        models: by seed, on the same noise.
        x: (images, pixels) in {0, 1}.
        k, seed, threads, advance: as for `nll.evaluate`.
    """
    scored = [nll.Scored(model, model.latents, None, f"seed {number}") for number, model in models.items()]
    return nll.evaluate(scored, x, k, seed, "repeated posterior noise", threads, advance=advance)["bound"]


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

    Returns:
        `nll_monte_carlo_nats`: standard error of the mean over seeds and all images. Seeds share noise, so theirs does
        not average out. `monte_carlo_ratio`: measured over claimed, with its own standard error.
        `repetition_shift_nats`: mean of the second scores less the first, which must be 0 within its error.
    """
    differences = (again - first[:, images]).mean(axis=0)
    own = claimed.mean(axis=0)
    squares = differences**2 / 2
    ratio = math.sqrt(squares.mean() / (own[images] ** 2).mean())
    spread = float(squares.std(ddof=1) / squares.mean() / math.sqrt(len(images)))
    sizes = {"n_images": first.shape[1], "n_repeated": len(images), "k": k}
    return {
        "nll_monte_carlo_nats": {
            "value": ratio * math.sqrt((own**2).sum()) / len(own),
            "unit": "nats",
            **sizes,
        },
        "monte_carlo_ratio": {
            "value": ratio,
            "stderr": ratio * spread / 2,
            "interval": "scored images",
            "unit": "ratio",
            **sizes,
        },
        "repetition_shift_nats": {
            "value": float(differences.mean()),
            "stderr": float(differences.std(ddof=1) / math.sqrt(len(images))),
            "interval": "scored images",
            "unit": "nats",
            **sizes,
        },
    }
