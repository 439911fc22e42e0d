"""Files of the commands that evaluate a density cell: its models, and results kept while the work goes on."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatent.errors import DataIntegrityError, TrainingError
from relatent.ledger.files import atomic_path
from relatent.ledger.remedies import of_damaged

if TYPE_CHECKING:
    import numpy as np

    from relatent.models.density import DensityModel

SAVE_EVERY_S = 20.0


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
            f"{path}: {error}. The checkpoint is of another setting or damaged. {of_damaged(path)}"
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
