"""Take the gap between training and test likelihood of a density cell from the training images scored to all of them.

Burda et al. 2016, sec. 5; the images that evaluate_nll scored at full k are regressed on a bound with few samples.
"""

import sys
from collections.abc import Sequence

from relatent.cli.density_files import part_keeper, read_models, read_parts
from relatent.cli.evaluation_file import read_evaluation
from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.evaluation import LEAST_SCORED, TrainMinusTestCell
from relatent.errors import DataIntegrityError
from relatent.ledger.files import write_json
from relatent.progress import Progress


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, bound, regress, write."""
    parser = JobParser("train_minus_test", "relatent.cli.train_minus_test", TrainMinusTestCell, __doc__)
    parser.input("model", "safetensors, tensors named seed<seed>.<parameter>")
    parser.input("train_images", "uint8 (n, channel, height, width)")
    parser.input("evaluation", "npz of (seed, image) arrays, made by evaluate_nll")
    parser.output("metrics")
    job = parser.parse(argv)
    settings = job.settings

    import numpy as np

    from relatent.evaluation.density import monte_carlo_error
    from relatent.evaluation.train_minus_test import control_bounds, gap_metrics
    from relatent.training.freed_memory import keep_freed_memory
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(settings.threads)
    keep_freed_memory()
    work = job.work("relatent.evaluation.train_minus_test", threads=settings.threads)
    with work.lock():
        if not work.restore(job.outputs):
            models = read_models(job.inputs["model"], settings.seeds)
            grey = np.asarray(read_images(job.inputs["train_images"]))
            evaluated = read_evaluation(job.inputs["evaluation"], settings.seeds)
            scored = evaluated["train_log_px_hat"].shape[1] if "train_log_px_hat" in evaluated else 0
            if not LEAST_SCORED <= scored <= len(grey):
                raise DataIntegrityError(
                    f"{job.inputs['evaluation']}: it holds L_k of {scored} training images of {len(grey)}; "
                    f"evaluate the cell with evaluate_nll.train_images of {LEAST_SCORED} or more"
                )
            test, train = evaluated["log_px_hat"], evaluated["train_log_px_hat"]
            test_error = monte_carlo_error(evaluated["log_px_hat_stderr"])
            done = read_parts(work.checkpoint("parts.npz"))
            known = done["control"]["bound"] if done else None
            finished = 0 if known is None else known.shape[1]
            with Progress(f"train minus test {job.cell}", len(grey), "images", finished) as progress:
                keep = part_keeper(work.checkpoint("parts.npz"), done)
                control = control_bounds(
                    models,
                    grey,
                    settings.control_k,
                    settings.seed,
                    known,
                    lambda bounds: keep("control", {"bound": bounds}),
                    progress.advance,
                )
            places = evaluated["train_image"]
            metrics = gap_metrics(test, test_error, train, places, control, settings.k, settings.control_k)
            write_json(job.outputs["metrics"], metrics)
            work.keep(job.outputs)
    job.finish(seeds=settings.seeds, threads=settings.threads, determinism=determinism)
    return None


if __name__ == "__main__":
    sys.exit(run(main))
