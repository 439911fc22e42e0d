"""What a density run is, where it stands, and how that is kept on disk."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors.torch import load, load_file, save
from torch import Tensor

from relatent.errors import TrainingError
from relatent.ledger.files import write_bytes
from relatent.models.density import DensityModel
from relatent.training.schedule import Stage

Estimator = Literal["plain", "stl", "dreg", "single", "kl"]


@dataclass(frozen=True)
class Run:
    """What is trained, seeds aside.

    Args:
        objective: "vae" or "iwae".
        k: samples per image.
        layers: stochastic layers.
        latents: units per stochastic layer, from z1 up; the paper's if None.
        stages: the schedule.
        batch_size: images per step.
        preset: of `schedule.PRESETS`.
        estimator: of the gradient.
    """

    objective: Literal["vae", "iwae"]
    k: int
    layers: int
    stages: Sequence[Stage]
    latents: Sequence[int] | None = None
    batch_size: int = 20
    preset: str = "paper"
    estimator: Estimator = "plain"

    def model(self, pixels: int) -> DensityModel:
        """The untrained model."""
        return DensityModel(pixels, self.layers, self.latents)


class Epoch(NamedTuple):
    """One row of the history; the bound is the mean over the epoch, L_k or the ELBO, never a surrogate."""

    stage: int
    epoch: int
    learning_rate: float
    train_bound_nats: float


@dataclass
class State:
    """Where one seed stands. `step` counts over all stages, those before a switch of objective included."""

    parameters: dict[str, Tensor]
    first_moment: Tensor
    second_moment: Tensor
    step: int
    stages_before: int = 0  # of the cell this run goes on from
    bound_sum: float = 0.0  # over the images of the epoch under way
    history: list[Epoch] = field(default_factory=list)
    origin: str = "the state to go on from"  # the file or files it was read from

    def refuse_another_model(self, parameters: Mapping[str, Tensor]) -> None:
        """Stop a run that would go on from a state its model does not fit.

        Args:
            parameters: of the run's model, by name.

        Raises:
            TrainingError: a tensor is missing, of another shape, or one too many.
        """
        count = sum(value.numel() for value in parameters.values())
        moments = {"first_moment": self.first_moment, "second_moment": self.second_moment}
        found = {name: tuple(value.shape) for name, value in (self.parameters | moments).items()}
        wanted = {name: tuple(value.shape) for name, value in parameters.items()} | dict.fromkeys(moments, (count,))
        for name in (*parameters, *self.parameters, *moments):
            if found.get(name) != wanted.get(name):
                raise TrainingError(
                    f"{self.origin}: tensor {name} is of shape {found.get(name, 'none')} there, "
                    f"{wanted.get(name, 'none')} in this run's model; go on from a model with the same layers, latents "
                    "and image size, or start afresh without it"
                )

    def optimiser(self) -> dict[str, Tensor]:
        """What a run that goes on from this one needs besides the parameters."""
        return {
            "first_moment": self.first_moment,
            "second_moment": self.second_moment,
            "step": torch.tensor(self.step, dtype=torch.int64),
        }


def write_states(path: Path, run: Run, states: Mapping[int, State]) -> None:
    """Keep the states of some seeds of a run in one file, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    notes = {}
    for seed, state in states.items():
        tensors |= {f"{seed}.parameter.{name}": value.contiguous() for name, value in state.parameters.items()}
        tensors |= {f"{seed}.first_moment": state.first_moment, f"{seed}.second_moment": state.second_moment}
        notes[seed] = {key: getattr(state, key) for key in ("step", "stages_before", "bound_sum", "history")}
    write_bytes(path, save(tensors, {"state": json.dumps({"run": asdict(run), "seeds": notes})}))


def read_states(path: Path, run: Run) -> dict[int, State]:
    """The states kept in `path`, by seed.

    Raises:
        TrainingError: they belong to a run with other settings, or the file is damaged.
    """
    remedy = "Remove it to start this run afresh."
    content = path.read_bytes()
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        notes = json.loads(header["__metadata__"]["state"])
    except Exception as error:
        raise TrainingError(f"{path}: not readable as a checkpoint ({error}). {remedy}") from None
    expected = json.loads(json.dumps(asdict(run)))
    if notes["run"] != expected:
        differing = [key for key in expected if notes["run"].get(key) != expected[key]]
        raise TrainingError(f"{path}: a checkpoint of another run; {', '.join(differing)} differ. {remedy}")
    states = {}
    for seed, kept in notes["seeds"].items():
        prefix = f"{seed}.parameter."
        parameters = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        kept["history"] = [Epoch(*row) for row in kept["history"]]
        moments = (tensors[f"{seed}.first_moment"], tensors[f"{seed}.second_moment"])
        states[int(seed)] = State(parameters, *moments, **kept, origin=str(path))
    return states


def finished_state(seed: int, stages: int, model: Path, optimiser: Path) -> State:
    """One seed's state out of the files of a finished cell, to go on from.

    Args:
        seed: which.
        stages: stages that lie behind it.
        model: its model.safetensors.
        optimiser: its optimiser.safetensors.

    Raises:
        TrainingError: the cell was not trained with this seed, or the files are not these two.
    """
    prefix = f"seed{seed}."
    parameters, adam = (
        {name.removeprefix(prefix): value for name, value in load_file(path).items() if name.startswith(prefix)}
        for path in (model, optimiser)
    )
    if not parameters:
        raise TrainingError(
            f"{model}: the cell to go on from was not trained with seed {seed}; train it with the same seeds"
        )
    if set(adam) != {"first_moment", "second_moment", "step"}:
        raise TrainingError(
            f"{optimiser}: does not hold Adam's moments and step of seed {seed}; give model.safetensors and "
            "optimiser.safetensors of one cell, in this order"
        )
    return State(
        parameters,
        adam["first_moment"],
        adam["second_moment"],
        step=int(adam["step"]),
        stages_before=stages,
        origin=f"{model} and {optimiser}",
    )
