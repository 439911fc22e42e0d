"""What is measured of every trained density cell: L_k of the test set and of training images; active units; and how far
the numbers may be trusted."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relatent.data.binarisation import TEST_SEED, binarisation_id, static, test_binarisation
from relatent.evaluation import nll
from relatent.evaluation.active_units import THRESHOLD, Activity, active_count, activity
from relatent.evaluation.fast_weights import Precision
from relatent.evaluation.importance import PARETO_UNTRUSTED
from relatent.evaluation.two_phase import drawn_images
from relatent.models.density import DensityModel

Arrays = dict[str, NDArray[np.float64]]

TRAIN_BINARISATION_SEED = 0  # of the one binarisation of training images that is scored; not that of any training step


@dataclass(frozen=True)
class Effort:
    """How much is computed.

    Args:
        k: samples per image.
        seed: of the noise.
        test_images: the first so many of the test split; None for all.
        train_images: drawn of the training split, for its L_k; None for all, 0 for none.
        activity_images: training images that A_u is measured on; None for all.
        activity_samples: draws of z1 per image, for A_u of layer 2.
        threads: images side by side.
        precision: of the products; bfloat16 is a mode of its own, named beside every number.
    """

    k: int
    seed: int
    test_images: int | None
    train_images: int | None
    activity_images: int | None
    activity_samples: int
    threads: int
    precision: Precision = "float32"


@dataclass(frozen=True)
class Report:
    """What was found. `metrics` as in DESIGN section 5; one Activity per seed.

    `per_image` arrays are (seed, image), but for `seed` and `train_image`, the places of the training images scored.
    """

    metrics: dict[str, dict[str, Any]]
    per_image: Arrays
    activities: list[Activity]


Keep = Callable[[str, Arrays], None]
Advance = Callable[[int], None]


def evaluate_density(
    models: Mapping[int, DensityModel],
    test_grey: NDArray[np.uint8],
    train_grey: NDArray[np.uint8],
    effort: Effort,
    done: Mapping[str, Arrays] | None = None,
    keep: Keep = lambda _, __: None,
    advance: Advance = lambda _: None,
) -> Report:
    """Evaluate the models of one cell, one per seed.

    Args:
        models: by seed.
        test_grey, train_grey: (images, ...) uint8 grey levels.
        effort: how much.
        done: parts of an interrupted evaluation, by name, as handed to `keep`.
        keep: called with a part's name and its results so far.
        advance: called with the number of images just done.

    Raises:
        TrainingError: densities that are not finite, or a model made for other images.
    """
    seeds = list(models)
    latents = models[seeds[0]].latents
    x_test = _flat(test_binarisation(test_grey[: effort.test_images]))
    x_train = _flat(static(train_grey, TRAIN_BINARISATION_SEED))
    done = done or {}

    def part(
        name: str, scored: Sequence[nll.Scored], x: NDArray[np.uint8], purpose: str, places: list[int] | None = None
    ) -> nll.Results:
        return nll.evaluate(
            scored,
            x,
            effort.k,
            effort.seed,
            purpose,
            effort.threads,
            effort.precision,
            done.get(name),
            lambda results: keep(name, results),
            advance,
            places,
        )

    whole = [nll.Scored(models[seed], latents, None, f"seed {seed}") for seed in seeds]
    test = part("test", whole, x_test, nll.TEST_NOISE)
    metrics = _bound_metrics(test, effort.k)
    metrics["nll_nats"]["precision"] = effort.precision
    metrics["nll_nats"]["binarisation"] = binarisation_id(x_test)
    metrics["nll_nats"]["binarisation_seed"] = TEST_SEED
    per_image: Arrays = {"seed": np.array(seeds, dtype=np.float64), **_per_image(test, "")}

    measured = x_train[: effort.activity_images]
    activities = [activity(models[seed], measured, effort.activity_samples, effort.seed) for seed in seeds]
    metrics |= _activity_metrics(activities, len(measured))

    if effort.train_images != 0:
        places = drawn_images(len(x_train), train_images(effort, len(x_train)), effort.seed, "scored training images")
        train = part("train", whole, x_train[places], "train posterior noise", places.tolist())
        metrics["train_nll_nats"] = _nll(train, effort.k)
        metrics["test_minus_train_nats"] = _gap(test, train, effort.k)
        per_image |= {"train_image": places.astype(np.float64), **_per_image(train, "train_")}
    return Report(metrics, per_image, activities)


def images_to_score(effort: Effort, n_test: int, n_train: int) -> int:
    """Images that `evaluate_density` will score in all, for a progress display."""
    return len(range(n_test)[: effort.test_images]) + train_images(effort, n_train)


def train_images(effort: Effort, n_train: int) -> int:
    """How many of the training images have their L_k taken."""
    return n_train if effort.train_images is None else min(effort.train_images, n_train)


def _flat(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images.reshape(len(images), -1)


def _per_image(results: nll.Results, prefix: str) -> Arrays:
    names = {"bound": "log_px_hat", "stderr": "log_px_hat_stderr"}
    return {prefix + names.get(name, name): values for name, values in results.items()}


def over_seeds(values: NDArray[np.float64], unit: str) -> dict[str, Any]:
    """A metric of one value per seed, (seeds,)."""
    return {"value": float(values.mean()), "per_seed": [float(value) for value in values], "unit": unit}


def monte_carlo_error(errors: NDArray[np.float64]) -> float:
    """Error of a mean over seeds and images: images are independent; seeds share noise, so theirs do not average."""
    return float(np.sqrt((errors.mean(axis=0) ** 2).sum()) / errors.shape[1])


def _nll(results: nll.Results, k: int) -> dict[str, Any]:
    bound = results["bound"]
    images = bound.shape[1]
    return {
        **over_seeds(-bound.mean(axis=1), "nats"),
        "stderr": _finite(monte_carlo_error(results["stderr"])),
        "test_sampling_stderr": image_sampling_error(bound),
        "k": k,
        "n_images": images,
    }


def _gap(test: nll.Results, train: nll.Results, k: int) -> dict[str, Any]:
    """What is learnt by heart; the images of the two means are others, so their choice is its error."""
    of_test, of_train = image_sampling_error(test["bound"]), image_sampling_error(train["bound"])
    return {
        **over_seeds(train["bound"].mean(axis=1) - test["bound"].mean(axis=1), "nats"),
        "stderr": None if of_test is None or of_train is None else math.hypot(of_test, of_train),
        "interval": "test sampling",
        "k": k,
        "n_images": test["bound"].shape[1],
        "n_train": train["bound"].shape[1],
    }


def image_sampling_error(values: NDArray[np.float64]) -> float | None:
    """Standard error of a mean over images, (seed, image), by their choice; None for one image."""
    images = values.shape[1]
    return _finite(float(values.mean(axis=0).std(ddof=1) / np.sqrt(images)) if images > 1 else None)


def _bound_metrics(test: nll.Results, k: int) -> dict[str, dict[str, Any]]:
    metrics = {"nll_nats": _nll(test, k)}
    sizes = {"k": k, "n_images": test["bound"].shape[1]}
    metrics["elbo_nats"] = {**over_seeds(test["elbo"].mean(axis=1), "nats"), **sizes}
    metrics["ess"] = {**over_seeds(test["effective_samples"].mean(axis=1), "count"), **sizes}
    if k > 1:
        for name in ("bias_first_order", "bias_jackknife"):
            metrics[f"{name}_nats"] = {**over_seeds(test[name].mean(axis=1), "nats"), **sizes}
    shapes = test["pareto_k"]
    if not np.isnan(shapes).any():
        medians = np.median(shapes, axis=1)
        if np.isfinite(medians).all():
            metrics["pareto_k"] = {**over_seeds(medians, "1"), **sizes}
        untrusted = (shapes > PARETO_UNTRUSTED).mean(axis=1)
        metrics["pareto_k_above_0.7"] = {**over_seeds(untrusted, "fraction"), **sizes}
    return metrics


def _activity_metrics(activities: Sequence[Activity], images: int) -> dict[str, dict[str, Any]]:
    metrics = {}
    for layer in range(len(activities[0].variance)):
        for suffix, field in (("", "variance"), ("_code", "variance_code")):
            counts = np.array([active_count(getattr(found, field)[layer]) for found in activities], dtype=np.float64)
            metrics[f"active_units_z{layer + 1}{suffix}"] = {
                **over_seeds(counts, "count"),
                "of": len(activities[0].variance[layer]),
                "threshold": THRESHOLD,
                "n_images": min(images, 500) if suffix else images,
            }
    return metrics


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else value
