"""Score some test images of a density cell again with other noise: the Monte Carlo error of its L_k, measured."""

import sys
from collections.abc import Sequence
from functools import partial

from relatent.cli.density_files import part_keeper, read_models, read_parts
from relatent.cli.evaluation_file import read_evaluation
from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.repeated import RepeatedCell
from relatent.ledger.files import atomic_path, write_json
from relatent.progress import Progress


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, score, compare, write."""
    parser = JobParser("repeat_nll", "relatent.cli.repeat_nll", RepeatedCell, __doc__)
    parser.input("model", "safetensors, tensors named seed<seed>.<parameter>")
    parser.input("test_images", "uint8 (n, channel, height, width)")
    parser.input("evaluation", "npz of (seed, image) arrays, made by evaluate_nll")
    parser.output("metrics")
    parser.output("per_image", "npz: places of the images, (image,), and both scores of each, (seed, image)")
    job = parser.parse(argv)
    settings = job.settings

    import numpy as np

    from relatent.evaluation.repeated import repetition_metrics, score_again
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(1)  # images run side by side, each on one thread
    work = job.work("relatent.evaluation.repeated", threads=1)
    with work.lock():
        if not work.restore(job.outputs):
            models = read_models(job.inputs["model"], settings.seeds)
            evaluated = read_evaluation(job.inputs["evaluation"], settings.seeds)
            first, claimed = evaluated["log_px_hat"], evaluated["log_px_hat_stderr"]
            count = min(settings.images, first.shape[1])
            grey = read_images(job.inputs["test_images"])[: first.shape[1]]
            how = settings.model_dump(include={"k", "seed", "precision", "threads"})
            done = read_parts(work.checkpoint("parts.npz")).get("repeated")
            label = f"repeat {job.cell}, k={settings.k}"
            with Progress(label, count, "images", done["bound"].shape[1] if done else 0) as progress:
                keep = partial(part_keeper(work.checkpoint("parts.npz"), {}), "repeated")
                images, again = score_again(models, grey, count, **how, done=done, keep=keep, advance=progress.advance)
            write_json(job.outputs["metrics"], repetition_metrics(first, again, claimed, images, settings.k))
            with atomic_path(job.outputs["per_image"]) as path:
                np.savez(path, image=images, first=first[:, images], again=again)
            work.keep(job.outputs)
    job.finish(seeds=settings.seeds, threads=1, determinism=determinism)
    return None


if __name__ == "__main__":
    sys.exit(run(main))
