"""Training a DCGAN to its end, resumable at any step to the same bytes (Radford et al. 2016, sec. 4)."""

import sys
import time
from pathlib import Path

import torch

from relatent.errors import TrainingError
from relatent.progress import Progress
from relatent.training.freed_memory import keep_freed_memory
from relatent.training.gan_run import GanRun, TrainedGan
from relatent.training.gan_state import restore, save
from relatent.training.gan_watch import CollapseError, check_finite

CHECKPOINT_EVERY_S = 30.0
CHECKPOINT_COST = 20  # and no more often than this many times what writing one takes


def train_gan(
    run: GanRun, label: str, checkpoint: Path | None = None, fingerprint: str = "", keep_collapsed: bool = False
) -> TrainedGan:
    """Train to the end of the schedule, going on from `checkpoint` if it is there.

    Args:
        run: fresh, as constructed.
        label: for the progress display.
        checkpoint: where to keep resumable state; written now and then, never from a diverged state.
        fingerprint: of the run, kept in the checkpoint.
        keep_collapsed: a collapsed run ends there with its nets as they are, instead of failing; for an ablation, whose
            result it is.

    Raises:
        TrainingError: divergence, collapse, or a foreign checkpoint.
    """
    keep_freed_memory()
    if checkpoint is not None and checkpoint.exists():
        restore(run, checkpoint, fingerprint)
    schedule, replicas = run.schedule, run.replicas
    saved = time.monotonic()
    cost = 0.0
    with Progress(label, run.total_steps, "steps", run.step) as progress:
        while run.step < run.total_steps:
            _within_memory(run)
            shown = None
            if run.step % schedule.history_every == 0 or run.step == run.total_steps:
                shown = run.close_row()
                try:
                    run.watch.look(shown, run.data_diversity)
                except CollapseError as error:
                    if not keep_collapsed:
                        raise
                    print(f"{label}: stopped. {error}", file=sys.stderr)
                    if not run.snapshots:
                        run.take_snapshot(run.step // run.steps_per_epoch)
                    break
            epoch, place = divmod(run.step, run.steps_per_epoch)
            if place == 0 and epoch in schedule.snapshot_epochs:
                run.take_snapshot(epoch)
            now = time.monotonic()
            if (
                checkpoint is not None
                and replicas.rank == 0
                and now - saved >= max(CHECKPOINT_EVERY_S, CHECKPOINT_COST * cost)
            ):
                check_finite({"step": run.step, **run.sums})
                save(run, checkpoint, fingerprint)
                saved, cost = time.monotonic(), time.monotonic() - now
            progress.advance(1, shown and {name: shown[name] for name in ("d_loss", "g_loss", "diversity")})
    return run.finish()


def _within_memory(run: GanRun) -> None:
    """One minibatch; running out of memory becomes a sentence.

    Raises:
        TrainingError: the minibatch does not fit.
    """
    try:
        run.minibatch()
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and "allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"out of memory at step {run.step + 1} with batch_size {run.schedule.batch_size} of net {run.name}; the "
            "last checkpoint is kept. Lower batch_size or the net's width, or share the batch among processes, and run "
            "again."
        ) from None
