"""What the inactive units are worth: L_k without them (Burda et al. 2016, sec. 5: at most 0.06 nats are lost).

Test images are drawn, since some test sets are sorted: the first 980 of fixed MNIST are zeros. A model and what is
left of it see the same noise, so that the change of an image hardly depends on it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relatent.data.binarisation import test_binarisation
from relatent.evaluation import nll
from relatent.evaluation.active_units import kept_units, without_units
from relatent.evaluation.density import image_sampling_error, over_seeds
from relatent.evaluation.fast_weights import Precision
from relatent.evaluation.two_phase import drawn_images
from relatent.models.density import DensityModel

Array = NDArray[np.float64]


def score_without_inactive(
    models: Mapping[int, DensityModel],
    variances: Mapping[int, Sequence[Array]],
    grey: NDArray[np.uint8],
    count: int,
    k: int,
    seed: int,
    precision: Precision = "float32",
    threads: int = 1,
    done: Mapping[str, Array] | None = None,
    keep: Callable[[nll.Results], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[NDArray[np.int64], Array, list[int]]:
    """Draw test images and take their L_k without inactive units, with the noise that the evaluation gave them.

    Args:
        models: by seed.
        variances: by seed, of the units of each layer: A_u.
        grey: (test images, ...) uint8 grey levels.
        count: images drawn.
        k, seed, precision, threads, done, keep, advance: as for `nll.evaluate`.

    Returns:
        Their places in the test set, (images,), their bounds, (seeds, images), and the units removed, per seed.
    """
    places = drawn_images(len(grey), count, seed, "removed images")
    x = test_binarisation(grey)[places].reshape(len(places), -1)
    kept = {number: kept_units(variances[number]) for number in models}
    scored = [
        nll.Scored(
            without_units(model, kept[number]), model.latents, kept[number], f"seed {number}, some units removed"
        )
        for number, model in models.items()
    ]
    found = nll.evaluate(scored, x, k, seed, nll.TEST_NOISE, threads, precision, done, keep, advance, places.tolist())
    return places, found["bound"], [sum(model.latents) - sum(map(len, kept[n])) for n, model in models.items()]


def removal_metrics(whole: Array, without: Array, removed: Sequence[int], k: int) -> dict[str, dict[str, Any]]:
    """The change of the NLL, and its error by the choice of images.

    Args:
        whole, without: (seeds, images) L_k of the same images with and without inactive units.
        removed: units, per seed.
        k: samples of the bounds.
    """
    change = whole - without
    return {
        "nll_change_without_inactive_nats": {
            **over_seeds(change.mean(axis=1), "nats"),
            "stderr": image_sampling_error(change),
            "interval": "test sampling",
            "removed_units": list(removed),
            "k": k,
            "n_images": change.shape[1],
        },
    }
