"""Train one DCGAN cell on the images that de-duplication kept; interrupted, it goes on where it stopped."""

import contextlib
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relatent.cli.job import Job, JobParser, run
from relatent.config.gan import GanSettings
from relatent.errors import ConfigError
from relatent.ledger.files import write_bytes, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from relatent.training.gan_parallel import Replicas

    Tensors = dict[str, Tensor]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the images, train, write the weights, the history and the early generators."""
    parser = JobParser("train_gan", "relatent.cli.train_gan", GanSettings, __doc__)
    parser.input("images", "train_images.npy of the dataset")
    parser.input("kept", "indices of the images to use; all if not given", required=False)
    parser.input("labels", "train_labels.npy, for a conditional net", required=False)
    parser.output("model", "model.safetensors: both nets, batch-norm moments set")
    parser.output("early", "early.safetensors: the generator after each of snapshot_epochs")
    parser.output("history", "history.csv")
    job = parser.parse(argv)
    settings = job.settings

    from relatent.training.gan_parallel import started_by_torchrun
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(settings.threads)
    replicas = started_by_torchrun(settings.device)
    if replicas.world != settings.processes:
        raise ConfigError(
            f"processes is {settings.processes} in the settings, but {replicas.world} run. Start the command with "
            f"`torchrun --nproc-per-node {settings.processes} -m relatent.cli.train_gan ...`, or correct the setting."
        )
    work = job.work("relatent.training.gan", settings.threads, settings.device)
    first = replicas.rank == 0
    with work.lock() if first else contextlib.nullcontext():
        if not replicas.agree(first and work.restore(job.outputs)):
            model, early, history = _train(job, replicas)
            if first:
                _write_tensors(job.outputs["model"], model)
                _write_tensors(job.outputs["early"], early)
                write_text(job.outputs["history"], _as_csv(history))
                work.keep(job.outputs)
    if first:
        job.finish(seeds=[settings.seed], threads=settings.threads, device=settings.device, determinism=determinism)


def _train(job: Job[GanSettings], replicas: "Replicas") -> "tuple[Tensors, Tensors, list[dict[str, float]]]":
    """Tensors of the model, tensors of the early generators, rows of the history."""
    from relatent.training.gan import train_gan
    from relatent.training.gan_data import TrainingSet, trained_on
    from relatent.training.gan_run import GanRun
    from relatent.training.gan_schedule import Schedule
    from relatent.training.gan_watch import Watch

    settings = job.settings
    images = np.load(job.inputs["images"], mmap_mode="r")
    kept = np.load(job.inputs["kept"]) if "kept" in job.inputs else None
    labels = np.load(job.inputs["labels"]) if "labels" in job.inputs else None
    schedule = Schedule(
        epochs=settings.epochs,
        decay_epochs=settings.decay_epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        beta1=settings.beta1,
        beta2=settings.beta2,
        adam_eps=settings.adam_eps,
        l2=settings.l2,
        updates=settings.updates,
        z_prior=settings.z_prior,
        snapshot_epochs=tuple(settings.snapshot_epochs),
        history_every=settings.history_every,
    )
    try:
        run_ = GanRun(
            settings.net,
            TrainingSet(images, trained_on(len(images), kept, settings.validation), labels),
            schedule,
            settings.seed,
            settings.batch_norm_eps,
            Watch(**settings.watch.model_dump(exclude={"on_collapse"})),
            settings.precision,
            settings.device,
            replicas,
        )
    except ValueError as error:  # the settings and the data do not fit together
        raise ConfigError(f"{job.inputs['images']}: {error}") from None
    work = job.long_work
    assert work is not None
    trained = train_gan(
        run_,
        f"train {job.cell}",
        work.checkpoint("checkpoint.safetensors"),
        work.folder.name,
        keep_collapsed=settings.watch.on_collapse == "keep",
    )
    model = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, net in (("generator", trained.generator), ("discriminator", trained.discriminator))
        for name, tensor in net.state_dict().items()
    }
    return model, trained.snapshots, trained.history


def _write_tensors(path: Path, tensors: "Tensors") -> None:
    from safetensors.torch import save

    write_bytes(path, save(dict(sorted(tensors.items()))))


def _as_csv(history: Sequence[Mapping[str, float]]) -> str:
    """The rows with full digits; equal runs give equal bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(history[0])
    writer.writerows([repr(value) for value in row.values()] for row in history)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(run(main))
