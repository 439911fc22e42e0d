"""Evaluate a trained density cell: L_k of each test image under each of its seeds, active units, diagnostics.

Burda et al. 2016, sec. 5. An interrupted evaluation goes on at the image where it stopped.
"""

import csv
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relatent.cli.density_files import part_keeper, read_models, read_parts
from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.evaluation import EvaluationCell
from relatent.ledger.files import atomic_path, write_json, write_text
from relatent.progress import Progress

if TYPE_CHECKING:
    from relatent.evaluation.active_units import Activity


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, evaluate, write."""
    parser = JobParser("evaluate_nll", "relatent.cli.evaluate_nll", EvaluationCell, __doc__)
    parser.input("model", "safetensors, tensors named seed<seed>.<parameter>")
    parser.input("test_images", "uint8 (n, channel, height, width)")
    parser.input("train_images", "uint8 (n, channel, height, width), for active units and the L_k of training images")
    parser.output("metrics")
    parser.output("per_image", "npz of (seed, image) arrays")
    parser.output("activity", "csv of the variance of each unit's posterior mean")
    job = parser.parse(argv)
    settings = job.settings

    from relatent.training.runtime import configure_torch

    determinism = configure_torch(1)  # images run side by side, each on one thread
    work = job.work("relatent.evaluation.density", threads=1)
    with work.lock():
        if not work.restore(job.outputs):
            import numpy as np

            from relatent.evaluation.density import Effort, evaluate_density, images_to_score

            test, train = read_images(job.inputs["test_images"]), read_images(job.inputs["train_images"])
            models = read_models(job.inputs["model"], settings.seeds)
            effort = Effort(**settings.model_dump(exclude={"seeds"}))
            done = read_parts(work.checkpoint("parts.npz"))
            finished = sum(results["bound"].shape[1] for results in done.values())
            total = images_to_score(effort, len(test), len(train))
            with Progress(f"evaluate {job.cell}, k={settings.k}", total, "images", finished) as progress:
                keep = part_keeper(work.checkpoint("parts.npz"), done)
                report = evaluate_density(models, test, train, effort, done, keep, progress.advance)
            write_json(job.outputs["metrics"], report.metrics)
            with atomic_path(job.outputs["per_image"]) as path:
                np.savez(path, **report.per_image)  # type: ignore[arg-type]
            write_text(job.outputs["activity"], activity_csv(settings.seeds, report.activities))
            work.keep(job.outputs)
    job.finish(seeds=settings.seeds, threads=1, determinism=determinism)
    return None


def activity_csv(seeds: Sequence[int], activities: "Sequence[Activity]") -> str:
    """One line per unit: its variance by the definition and as the released code measures it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("seed", "layer", "unit", "variance", "variance_code"))
    for seed, found in zip(seeds, activities, strict=True):
        for layer, (variance, code) in enumerate(zip(found.variance, found.variance_code, strict=True), start=1):
            for unit, values in enumerate(zip(variance, code, strict=True)):
                writer.writerow((seed, layer, unit, *(f"{value:.9g}" for value in values)))
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(run(main))
