"""Fit a model whose log p(x) is known exactly, and set its importance-sampled bounds L_k beside the exact value."""

import sys
from collections.abc import Sequence
from typing import Any

from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.exact import ExactCell
from relatent.ledger.files import write_json


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, fit, compare, write."""
    parser = JobParser("exact_likelihood", "relatent.cli.exact_likelihood", ExactCell, __doc__)
    parser.input("train_images", "uint8 (n, channel, height, width)")
    parser.input("test_images", "uint8 (n, channel, height, width)")
    parser.output("metrics")
    job = parser.parse(argv)
    settings = job.settings

    import numpy as np

    from relatent.evaluation import exact
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(1)
    train = np.asarray(read_images(job.inputs["train_images"]))
    test = np.asarray(read_images(job.inputs["test_images"])[: settings.test_images])
    shared: dict[str, Any] = {"draws": settings.draws, "ks": settings.ks, "seed": settings.seed}
    if settings.mixture is not None:
        metrics = exact.mixture(train, test, **settings.mixture.model_dump(), **shared)
    elif settings.bernoulli is not None:
        metrics = exact.bernoulli(train, test, **settings.bernoulli.model_dump(), **shared)
    else:
        assert settings.linear_gaussian is not None  # checked by the settings
        metrics = exact.linear_gaussian(train, test, **settings.linear_gaussian.model_dump(), **shared)
    write_json(job.outputs["metrics"], metrics)
    job.finish(seeds=[settings.seed], threads=1, determinism=determinism)
    return None


if __name__ == "__main__":
    sys.exit(run(main))
