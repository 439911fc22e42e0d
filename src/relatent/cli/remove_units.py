"""Score some test images of a density cell again without its inactive units."""

import sys
from collections.abc import Sequence
from functools import partial

from relatent.cli.density_files import part_keeper, read_models, read_parts
from relatent.cli.evaluation_file import read_activity, read_evaluation
from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.removed import RemovedCell
from relatent.ledger.files import write_json
from relatent.progress import Progress


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, remove, score, write."""
    parser = JobParser("remove_units", "relatent.cli.remove_units", RemovedCell, __doc__)
    parser.input("model", "safetensors, tensors named seed<seed>.<parameter>")
    parser.input("test_images", "uint8 (n, channel, height, width)")
    parser.input("evaluation", "npz of (seed, image) arrays, made by evaluate_nll")
    parser.input("activity", "csv of the variance of each unit, made by evaluate_nll")
    parser.output("metrics")
    job = parser.parse(argv)
    settings = job.settings

    from relatent.evaluation.removed_units import removal_metrics, score_without_inactive
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(1)  # images run side by side, each on one thread
    work = job.work("relatent.evaluation.removed_units", threads=1)
    with work.lock():
        if not work.restore(job.outputs):
            models = read_models(job.inputs["model"], settings.seeds)
            sizes = next(iter(models.values())).latents
            variances = read_activity(job.inputs["activity"], settings.seeds, sizes)
            bounds = read_evaluation(job.inputs["evaluation"], settings.seeds)["log_px_hat"]
            evaluated = bounds.shape[1]
            images = evaluated if settings.images is None else min(settings.images, evaluated)
            grey = read_images(job.inputs["test_images"])[:evaluated]
            how = settings.model_dump(include={"k", "seed", "precision", "threads"})
            done = read_parts(work.checkpoint("parts.npz")).get("removed")
            label = f"without inactive units {job.cell}, k={settings.k}"
            with Progress(label, images, "images", done["bound"].shape[1] if done else 0) as progress:
                keep = partial(part_keeper(work.checkpoint("parts.npz"), {}), "removed")
                places, without, removed = score_without_inactive(
                    models, variances, grey, images, **how, done=done, keep=keep, advance=progress.advance
                )
            write_json(job.outputs["metrics"], removal_metrics(bounds[:, places], without, removed, settings.k))
            work.keep(job.outputs)
    job.finish(seeds=settings.seeds, threads=1, determinism=determinism)
    return None


if __name__ == "__main__":
    sys.exit(run(main))
