"""Measure the gap of L_k by annealed importance sampling of test images, and of simulated ones from both sides.

An interrupted run goes on at the image where it stopped.
"""

import sys
from collections.abc import Sequence

from relatent.cli.density_files import part_keeper, read_models, read_parts
from relatent.cli.evaluation_file import read_evaluation
from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.evaluation import AnnealingCell
from relatent.ledger.files import atomic_path, write_json
from relatent.progress import Progress


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, anneal, write."""
    parser = JobParser("anneal_density", "relatent.cli.anneal_density", AnnealingCell, __doc__)
    parser.input("model", "safetensors, tensors named seed<seed>.<parameter>")
    parser.input("test_images", "uint8 (n, channel, height, width)")
    parser.input("evaluation", "npz of (seed, image) arrays, made by evaluate_nll")
    parser.output("metrics")
    parser.output("per_image", "npz of (image,) arrays")
    job = parser.parse(argv)
    settings = job.settings

    import numpy as np

    from relatent.evaluation.annealed import AnnealingEffort, annealed_metrics
    from relatent.training.freed_memory import keep_freed_memory
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(settings.threads)
    keep_freed_memory()
    work = job.work("relatent.evaluation.annealed", threads=settings.threads)
    with work.lock():
        if not work.restore(job.outputs):
            model = read_models(job.inputs["model"], [settings.model_seed])[settings.model_seed]
            bounds = read_evaluation(job.inputs["evaluation"], [settings.model_seed])["log_px_hat"][0]
            grey = read_images(job.inputs["test_images"])[: len(bounds)]
            images = min(settings.images, len(bounds))
            effort = AnnealingEffort(**settings.model_dump(exclude={"model_seed", "threads", "images"}), images=images)
            done = read_parts(work.checkpoint("parts.npz"))
            finished = sum(len(results["lower"]) for results in done.values())
            total = images + settings.simulated
            with Progress(f"anneal {job.cell}", total, "images", finished) as progress:
                keep = part_keeper(work.checkpoint("parts.npz"), done)
                metrics, per_image = annealed_metrics(model, grey, bounds, effort, done, keep, progress.advance)
            write_json(job.outputs["metrics"], metrics)
            with atomic_path(job.outputs["per_image"]) as path:
                np.savez(path, **per_image)  # type: ignore[arg-type]
            work.keep(job.outputs)
    job.finish(seeds=[settings.seed], threads=settings.threads, determinism=determinism)
    return None


if __name__ == "__main__":
    sys.exit(run(main))
