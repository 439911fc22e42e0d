"""Evaluate a trained density cell: L_k of each test image under each of its seeds, active units, diagnostics.

Burda et al. 2016, sec. 5. An interrupted evaluation goes on at the image where it stopped.
"""

import csv
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatent.cli.job import JobParser, run
from relatent.config.evaluation import EvaluationCell
from relatent.errors import DataIntegrityError, TrainingError
from relatent.ledger.files import atomic_path, write_json, write_text
from relatent.progress import Progress

if TYPE_CHECKING:
    import numpy as np

    from relatent.evaluation.active_units import Activity
    from relatent.models.density import DensityModel

SAVE_EVERY_S = 20.0


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


def read_images(path: Path) -> "np.ndarray":
    """A prepared split, memory-mapped.

    Raises:
        DataIntegrityError: not a uint8 array of images.
    """
    import numpy as np

    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataIntegrityError(f"{path}: not readable as an array ({error}). Run `snakemake {path}`.") from None
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise DataIntegrityError(
            f"{path}: holds {images.dtype} {images.shape}, not uint8 (n, channel, height, width) images. "
            f"Remove it and run `snakemake {path}`."
        )
    return images


def read_models(path: Path, seeds: Sequence[int]) -> "dict[int, DensityModel]":
    """The models of a cell by seed.

    Raises:
        DataIntegrityError: not a checkpoint, or not of these seeds.
        TrainingError: a parameter is not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from relatent.models.density import model_of

    models = {}
    try:
        tensors = load_file(path)
        for seed in seeds:
            models[seed] = model_of(tensors, seed)
    except (ValueError, SafetensorError, OSError) as error:
        raise DataIntegrityError(
            f"{path}: {error}. The checkpoint is of another setting or damaged; remove it and run `snakemake {path}`."
        ) from None
    for seed, model in models.items():
        for name, parameter in model.named_parameters():
            if not torch.isfinite(parameter).all():
                raise TrainingError(
                    f"{path}: {name} of seed {seed} is not finite: training has diverged; train it again"
                )
    if len({model.latents for model in models.values()}) != 1:
        raise DataIntegrityError(f"{path}: its seeds have latents of different sizes; they are not one cell")
    return models


def read_parts(path: Path) -> "dict[str, dict[str, np.ndarray]]":
    """Results of an interrupted evaluation by part; none if there are none, or damaged ones."""
    import numpy as np

    parts: dict[str, dict[str, Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as saved:
            for key in saved.files:
                part, _, quantity = key.partition("/")
                parts.setdefault(part, {})[quantity] = saved[key]
    except Exception:  # absent or damaged scratch only means doing the work
        return {}
    return parts


def part_keeper(path: Path, done: "dict[str, dict[str, np.ndarray]]") -> "Callable[[str, dict[str, np.ndarray]], None]":
    """A function that saves the parts so far, at most every SAVE_EVERY_S."""
    import numpy as np

    parts = dict(done)
    last = time.monotonic()

    def keep(part: str, results: "dict[str, np.ndarray]") -> None:
        nonlocal last
        parts[part] = results
        if time.monotonic() - last > SAVE_EVERY_S:
            last = time.monotonic()
            arrays = {
                f"{name}/{quantity}": values for name, found in parts.items() for quantity, values in found.items()
            }
            with atomic_path(path) as temporary:
                np.savez(temporary, **arrays)  # type: ignore[arg-type]

    return keep


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
