"""What stops a density run early: k beyond memory, a number that is not finite, divergence, a layer without use.

All but the first are decided by where a run stands, and before that is kept: the same run, started again, goes on from
the checkpoint before and stops at the same step.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from relatent.errors import TrainingError
from relatent.models.density import HIDDEN_BETWEEN_LATENTS, HIDDEN_NEXT_TO_X, LATENTS, DensityModel
from relatent.objectives.estimators import SURROGATES
from relatent.training.adam import Adam
from relatent.training.density_state import Epoch, Run

EPOCHS_TO_COME_ALIVE = 13  # the end of stage 2
ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, sec. 5.2
KEPT = "The last checkpoint stays, and the same run started again goes on from it and stops here too"
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def refuse_k_beyond_memory(
    run: Run, pixels: int, runs_at_once: int = 1, steps_drawn: int = 0, available_bytes: int | None = None
) -> None:
    """Stop before the first step where one step does not fit in memory, instead of being killed in the middle.

    Args:
        run: what is to be trained.
        pixels: of one image.
        runs_at_once: seeds stacked in one step.
        steps_drawn: steps whose images and noise are held at once.
        available_bytes: memory to be had; asked of the system (Linux) if None.

    Raises:
        TrainingError: it does not fit.
    """
    latents = sum(run.latents or LATENTS[run.layers])
    # Of one draw of one image at the widest point: logits, means, factors, derivative; eight hidden layers; latents.
    of_a_draw = 4 * pixels + 8 * HIDDEN_NEXT_TO_X + 16 * latents
    if run.estimator in SURROGATES:
        # Autograd keeps what a layer gave until its derivative is taken, between z1 and z2 too, and the blocks that it
        # frees are of many sizes, so that the process holds up to twice what is in use (`keep_freed_memory`).
        of_a_draw += pixels + 4 * HIDDEN_NEXT_TO_X + 20 * HIDDEN_BETWEEN_LATENTS * (run.layers - 1)
    # And of one image the noise and the pixels of each step that is drawn ahead.
    floats = run.k * of_a_draw + steps_drawn * (run.k * latents + pixels)
    needed = 4 * floats * run.batch_size * runs_at_once
    available = available_bytes or _available_bytes()
    if available is not None and needed > available:
        raise TrainingError(
            f"a step with k = {run.k} and {run.batch_size} images needs about {needed / 2**30:.1f} GiB, "
            f"{available / 2**30:.1f} are free; lower k or batch_size"
        )


def _available_bytes() -> int | None:
    """The less of what the machine and its container have left; None where neither says."""
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        lines = []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    return min([*found, *_left_in_container()], default=None)


def _left_in_container() -> list[int]:
    """Bytes that the limit of the control group (version 2 or 1) leaves; without one, none.

    The page cache counts as left, as it does in MemAvailable.
    """
    for folder, limit, used, prefix in (
        (CGROUP, "memory.max", "memory.current", ""),
        (CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        try:
            left = int((folder / limit).read_text()) - int((folder / used).read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
        except (OSError, ValueError):  # the other version; or "max", no limit
            continue
        cache = (f"{prefix}active_file ", f"{prefix}inactive_file ")
        return [left + sum(int(line.split()[1]) for line in lines if line.startswith(cache))]
    return []


def refuse_non_finite(bound: float, step: int, epoch: int, learning_rate: float) -> None:
    """Stop at the first step whose bound is NaN or infinite.

    Raises:
        TrainingError: it is.
    """
    if not math.isfinite(bound):
        raise TrainingError(
            f"the bound is {bound} at step {step} (epoch {epoch}, learning rate {learning_rate:g}); training cannot go "
            f"on. {KEPT}; lower the learning rate or look at the data."
        )


def refuse_non_finite_state(adam: Adam, step: int, epoch: int) -> None:
    """Stop where a parameter or a moment is NaN or infinite: the bound is that before the update, and does not tell.

    Raises:
        TrainingError: one is.
    """
    for name, numbers in (
        ("parameters", adam.values),
        ("first moments", adam.first_moment),
        ("second moments", adam.second_moment),
    ):
        bad = numbers.numel() - int(torch.isfinite(numbers).sum())
        if bad:
            raise TrainingError(
                f"after step {step} (epoch {epoch}) {bad} of the {numbers.numel()} {name} are not finite, though the "
                f"bound was; training cannot go on. {KEPT}; lower the learning rate or look at the data."
            )


def refuse_divergence(history: Sequence[Epoch]) -> None:
    """Stop after an epoch whose bound is twice as bad as that of the first.

    Raises:
        TrainingError: it is.
    """
    first, last = history[0].train_bound_nats, history[-1].train_bound_nats
    if last < first - abs(first):
        raise TrainingError(
            f"the run diverges: the bound of epoch {history[-1].epoch} is {last:.1f} nats, that of the first was "
            f"{first:.1f}. {KEPT}; lower the learning rate or look at the data."
        )


def refuse_a_dead_layer(model: DensityModel, x: Tensor, epoch: int) -> None:
    """Stop a run whose z1 carries nothing from epoch 13 on; say so, and go on, where only z2 does not.

    In the paper's runs z1 has 16 active units or more and z2 at least 4, all alive long before epoch 13.

    Args:
        model: as trained so far.
        x: (images, pixels) in {0, 1}, some training images.
        epoch: number of epochs done.

    Raises:
        TrainingError: no unit of z1 varies with x.
    """
    if epoch < EPOCHS_TO_COME_ALIVE:
        return
    with torch.inference_mode():
        means = [model.encode(x).mean]
        if model.layers == 2:
            means.append(model.encode_z2(means[0]).mean)
    active = [int((mean.var(0, unbiased=False) > ACTIVE_VARIANCE).sum()) for mean in means]
    if active[0] == 0:
        raise TrainingError(
            f"after epoch {epoch} no unit of z1 is active: its posterior means vary by less than {ACTIVE_VARIANCE} "
            f"over the training images, so the model ignores its latents. {KEPT}; look at the data (are all images "
            "alike, or empty?) and at the learning rate."
        )
    if active[-1] == 0:
        print(f"after epoch {epoch} no unit of z2 is active; the model works as one with one layer", file=sys.stderr)
