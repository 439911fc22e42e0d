"""Table 3: test error of a nearest-neighbour classifier whose training set is samples of a conditional DCGAN.

Where the GAN held images out of its training, their error stands beside it: that is what a schedule is chosen on.
"""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from relatent.cli.job import JobParser, run
from relatent.config.sample import NearestNeighbourSettings
from relatent.errors import ConfigError
from relatent.ledger.files import write_json

if TYPE_CHECKING:
    from relatent.models.dcgan import Generator


def main(argv: Sequence[str] | None = None) -> None:
    """Read the weights and the real images, classify the test images, write the errors."""
    parser = JobParser("nearest_neighbour", "relatent.cli.nearest_neighbour", NearestNeighbourSettings, __doc__)
    parser.input("model", "model.safetensors of train_gan")
    parser.input("train_images", "real images, for the error at equal n")
    parser.input("train_labels")
    parser.input("test_images")
    parser.input("test_labels")
    parser.output("metrics", "metrics.json")
    job = parser.parse(argv)
    settings = job.settings

    from relatent.cli.sample_gan import filled
    from relatent.evaluation.nearest_neighbour import error_of_real, errors_by_samples
    from relatent.models.dcgan import build_generator
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(settings.threads)
    images, labels, tests, test_labels = (
        np.load(job.inputs[name], mmap_mode="r")
        for name in ("train_images", "train_labels", "test_images", "test_labels")
    )
    generator = build_generator(settings.net, tests.shape[1], settings.batch_norm_eps)
    generator = filled(generator, job.inputs["model"], "generator.")
    if not generator.net.classes:
        raise ConfigError(f"{job.cell}: the net has no labels; only mnist_conditional can train a classifier")
    work = job.work("relatent.evaluation.nearest_neighbour", settings.threads)
    with work.lock():
        if not work.restore(job.outputs):
            try:
                n = min(settings.nn_samples)
                real = error_of_real(images, labels, tests, test_labels, n, settings.seed)
            except ValueError as error:
                raise ConfigError(f"{job.inputs['train_images']}: {error}") from None
            errors = errors_by_samples(
                generator, tests, test_labels, settings.nn_samples, settings.seed, settings.z_prior,
                work.checkpoint("nearest.safetensors"),
            )  # fmt: skip
            metrics = {f"nn_error_{_short(count)}": _metric(e, count, len(tests)) for count, e in errors.items()}
            metrics[f"nn_error_real_{_short(n)}"] = _metric(real, n, len(tests))
            if settings.validation:
                metrics |= _of_heldout(generator, images, labels, settings)
            write_json(job.outputs["metrics"], metrics)
            work.keep(job.outputs)
    job.finish(seeds=[settings.seed], threads=settings.threads, determinism=determinism)


def _of_heldout(
    generator: "Generator", images: "np.ndarray", labels: "np.ndarray", settings: NearestNeighbourSettings
) -> dict[str, dict[str, Any]]:
    """The errors on the images that the GAN was not trained on, the last of the train split: of samples, of real."""
    from relatent.evaluation.nearest_neighbour import error_of_real, errors_by_samples

    first, n, seed = len(images) - settings.validation, min(settings.nn_samples), settings.seed
    heldout, truth, m = images[first:], labels[first:], min(n, first)
    of_samples = errors_by_samples(generator, heldout, truth, [n], seed, settings.z_prior)[n]
    of_real = error_of_real(images[:first], labels[:first], heldout, truth, m, seed)
    return {
        f"nn_error_{_short(n)}_validation": _metric(of_samples, n, len(heldout)),
        "nn_error_real_validation": _metric(of_real, m, len(heldout)),
    }


def _short(count: int) -> str:
    """50k for 50,000, 10m for 10,000,000."""
    for unit, name in ((1_000_000, "m"), (1000, "k")):
        if count % unit == 0:
            return f"{count // unit}{name}"
    return str(count)


def _metric(error: float, count: int, n_tests: int) -> dict[str, float | int | str]:
    """The standard error is that of drawing other test images."""
    stderr = math.sqrt(error * (1 - error) / n_tests)
    return {"value": error, "stderr": stderr, "unit": "fraction", "n_samples": count, "n_images": n_tests}


if __name__ == "__main__":
    sys.exit(run(main))
