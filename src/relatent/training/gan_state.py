"""A GAN's checkpoint: weights, Adam's moments and counters in one safetensors file, from which a run goes on."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from relatent.errors import TrainingError
from relatent.ledger.files import atomic_path
from relatent.training.gan_run import GanRun


def save(run: GanRun, path: Path, fingerprint: str) -> None:
    """Write the whole state, atomically.

    Args:
        run: at any step.
        path: of the checkpoint.
        fingerprint: of the run, checked by `restore`.
    """
    tensors = dict(run.snapshots)
    for part, net in (("generator", run.generator), ("discriminator", run.discriminator)):
        tensors |= {f"{part}.{name}": tensor.contiguous() for name, tensor in net.state_dict().items()}
        state = run.optimisers[part].state
        for name, parameter in net.named_parameters():
            for key, value in state.get(parameter, {}).items():
                tensors[f"adam.{part}.{name}.{key}"] = value.contiguous()
    counters = {
        "run": fingerprint, "step": run.step, "history": run.history, "sums": run.sums, "counts": run.counts,
        "watch": run.watch.state(),
    }  # fmt: skip
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"counters": json.dumps(counters)})


def restore(run: GanRun, path: Path, fingerprint: str) -> None:
    """Go on from a checkpoint.

    Raises:
        TrainingError: it is not one, or of another run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            counters = json.loads((file.metadata() or {})["counters"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise TrainingError(f"{path}: not a checkpoint of this program ({error}). Remove it to start anew.") from None
    if counters["run"] != fingerprint:
        raise TrainingError(
            f"{path}: the checkpoint is of another run (net, data, settings or version of the code). Remove it to "
            "start anew, or give the settings it was made with."
        )
    for part, net in (("generator", run.generator), ("discriminator", run.discriminator)):
        with torch.no_grad():
            for name, tensor in net.state_dict().items():
                tensor.copy_(tensors[f"{part}.{name}"])
        _restore_adam(run, part, net, tensors)
    run.step, run.history = counters["step"], counters["history"]
    run.sums, run.counts = counters["sums"], counters["counts"]
    for name, value in counters["watch"].items():
        setattr(run.watch, name, value)
    run.snapshots = {name: tensor for name, tensor in tensors.items() if name.startswith("epoch")}


def _restore_adam(run: GanRun, part: str, net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    state = run.optimisers[part].state
    for name, parameter in net.named_parameters():
        prefix = f"adam.{part}.{name}."
        kept = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if not kept:
            continue
        # The moments take their parameter's memory format, so that Adam's loops run over them as before.
        moments = {key: torch.empty_like(parameter).copy_(kept[key]) for key in ("exp_avg", "exp_avg_sq")}
        state[parameter] = {"step": kept["step"].to(run.device), **{k: v.detach() for k, v in moments.items()}}
