"""Train one density cell: all its seeds, each to the end of the schedule; one after another, on a GPU all at once.

Unfinished seeds keep their state in the scratch store; a run killed at any point goes on when started again and ends
in the same bytes.
"""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from relatent.cli.job import Job, JobParser, run
from relatent.config.density import DensityCell
from relatent.errors import ConfigError, DataIntegrityError
from relatent.ledger.files import write_bytes, write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMMAND = "relatent.cli.train_density"
HISTORY_COLUMNS = ("seed", "stage", "epoch", "learning_rate", "train_bound_nats")


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or take the finished work back from the scratch store, and write the receipt."""
    parser = JobParser("train_density", COMMAND, DensityCell, __doc__)
    parser.input_list(
        "images", help="train_images.npy of a prepared dataset; with_validation: validation_images.npy too"
    )
    parser.input_list("start", help="model.safetensors and optimiser.safetensors of the cell to go on from")
    parser.output("model", help="model.safetensors: every seed's parameters, as seed<seed>.<parameter>")
    parser.output("optimiser", help="optimiser.safetensors: every seed's Adam moments and step")
    parser.output("history", help="history.csv: the bound of every epoch")
    job = parser.parse(argv)

    from relatent.training.runtime import configure_torch

    settings = job.settings
    determinism = configure_torch(settings.threads)
    function = "relatent.training.density" if settings.device == "cpu" else "relatent.training.density_lifted"
    work = job.work(function, threads=settings.threads, device=settings.device)
    with work.lock():
        if not work.restore(job.outputs):
            _train(job)
            work.keep(job.outputs)
    job.finish(seeds=settings.seeds, threads=settings.threads, device=settings.device, determinism=determinism)


def _train(job: Job[DensityCell]) -> None:
    from safetensors.torch import save

    from relatent.training.density import train
    from relatent.training.density_state import Run, State, finished_state
    from relatent.training.schedule import schedule, switch_schedule

    settings = job.settings
    stages = schedule(settings.preset, settings.stages, settings.epochs)
    started_from = job.input_lists["start"]
    if len(started_from) != 2 * settings.switched:
        raise ConfigError(
            f"--start names {len(started_from)} files; give model.safetensors and optimiser.safetensors if and only if "
            "switched is set"
        )
    images = _images(job)
    if settings.batch_size > len(images):
        raise ConfigError(
            f"--settings: batch_size is {settings.batch_size}, the training split has {len(images)} images"
        )
    work = Run(
        objective=settings.objective,
        k=settings.k,
        layers=settings.layers,
        latents=settings.latents,
        stages=switch_schedule(stages) if settings.switched else stages,
        batch_size=settings.batch_size,
        preset=settings.preset,
        estimator=settings.estimator,
    )
    assert job.long_work is not None  # main asked for it
    label = f"train {job.cell}"
    starts = {seed: finished_state(seed, len(stages), *started_from) for seed in settings.seeds if started_from}
    states: dict[int, State] = {}
    if settings.device == "cuda":
        from relatent.training.density_lifted import train_lifted

        checkpoint = job.long_work.checkpoint("all-seeds.safetensors")
        states = train_lifted(images, work, settings.seeds, "cuda", checkpoint, starts or None, label)
    else:
        for seed in settings.seeds:
            checkpoint = job.long_work.checkpoint(f"seed{seed}.safetensors")
            states[seed] = train(images, work, seed, checkpoint, starts.get(seed), f"{label} seed {seed}")
    write_bytes(job.outputs["model"], save(_named(states, "model")))
    write_bytes(job.outputs["optimiser"], save(_named(states, "optimiser")))
    write_text(job.outputs["history"], history_csv({seed: state.history for seed, state in states.items()}))


def _images(job: Job[DensityCell]) -> "NDArray[np.uint8]":
    """The images of all splits given, one after another: (n, channel, height, width)."""
    import numpy as np

    paths = job.input_lists["images"]
    if len(paths) != 1 + job.settings.with_validation:
        raise ConfigError(
            f"--images names {len(paths)} files; give train_images.npy, and validation_images.npy if and only if "
            "with_validation is set"
        )
    parts = [np.load(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.dtype != np.uint8 or part.ndim != 4:
            raise DataIntegrityError(
                f"{path}: holds {part.dtype} of shape {part.shape}; prepared images are uint8 of (n, channel, height, "
                "width). Prepare the dataset again."
            )
    return np.concatenate(parts)


def _named(states: Mapping, part: str) -> dict:
    """Tensors of one part of every seed's state, named seed<seed>.<name>."""
    return {
        f"seed{seed}.{name}": value
        for seed, state in states.items()
        for name, value in (state.parameters if part == "model" else state.optimiser()).items()
    }


def history_csv(histories: Mapping[int, Sequence[Sequence[float]]]) -> str:
    """The histories of all seeds as CSV; floats in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HISTORY_COLUMNS)
    for seed, history in histories.items():
        writer.writerows(
            [seed, *(repr(value) if isinstance(value, float) else value for value in row)] for row in history
        )
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(run(main))
