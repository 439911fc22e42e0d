"""Training of one density model with one seed: Burda et al. 2016, sec. 5. Several seeds are several calls.

Everything random in a step is keyed by (seed, purpose, step), so the state of a run is its parameters, Adam's moments
and the number of steps done; a run resumed at any step ends in the bits of an unbroken one.
"""

import json
import math
import sys
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from relatent.data.batches import Batches
from relatent.data.binarisation import dynamic
from relatent.data.streams import stream
from relatent.errors import TrainingError
from relatent.ledger.files import write_bytes
from relatent.models.density import DensityModel, pixel_means
from relatent.models.density_gradient import weighted_gradient
from relatent.objectives.bounds import BOUNDS
from relatent.objectives.estimators import SURROGATES, pick_by_weight
from relatent.progress import Progress
from relatent.training.adam import Adam, FlatParameters
from relatent.training.schedule import PRESETS, Stage, total_epochs

CHECKPOINT_EVERY_S = 30.0
EPOCHS_TO_COME_ALIVE = 13  # the end of stage 2
ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, sec. 5.2

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
    """Where a run stands. `step` counts over all stages, those before a switch of objective included."""

    parameters: dict[str, Tensor]
    first_moment: Tensor
    second_moment: Tensor
    step: int
    stages_before: int = 0  # of the cell this run goes on from
    bound_sum: float = 0.0  # over the images of the epoch under way
    history: list[Epoch] = field(default_factory=list)

    def optimiser(self) -> dict[str, Tensor]:
        """What a run that goes on from this one needs besides the parameters."""
        return {
            "first_moment": self.first_moment,
            "second_moment": self.second_moment,
            "step": torch.tensor(self.step, dtype=torch.int64),
        }

    def write(self, path: Path, run: Run) -> None:
        """Keep the state, whole or not at all."""
        tensors = {f"parameter.{name}": value.contiguous() for name, value in self.parameters.items()}
        tensors |= {"first_moment": self.first_moment, "second_moment": self.second_moment}
        notes = {key: getattr(self, key) for key in ("step", "stages_before", "bound_sum", "history")}
        notes["run"] = asdict(run)
        write_bytes(path, save(tensors, {"state": json.dumps(notes)}))

    @classmethod
    def read(cls, path: Path, run: Run) -> "State":
        """The state kept in `path`.

        Raises:
            TrainingError: it belongs to a run with other settings, or is damaged.
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
        first, second = tensors.pop("first_moment"), tensors.pop("second_moment")
        parameters = {name.removeprefix("parameter."): value for name, value in tensors.items()}
        history = [Epoch(*row) for row in notes["history"]]
        return cls(parameters, first, second, notes["step"], notes["stages_before"], notes["bound_sum"], history)


def finished_state(seed: int, stages: int, models: Mapping[str, Tensor], optimisers: Mapping[str, Tensor]) -> State:
    """One seed's state out of the files of a finished cell, to go on from.

    Args:
        seed: which.
        stages: stages that lie behind it.
        models: tensors of model.safetensors.
        optimisers: tensors of optimiser.safetensors.

    Raises:
        TrainingError: the cell was not trained with this seed.
    """
    prefix = f"seed{seed}."
    parameters = {name.removeprefix(prefix): value for name, value in models.items() if name.startswith(prefix)}
    if not parameters:
        raise TrainingError(f"the cell to go on from was not trained with seed {seed}; train it with the same seeds")
    moments = (optimisers[f"{prefix}first_moment"], optimisers[f"{prefix}second_moment"])
    return State(parameters, *moments, step=int(optimisers[f"{prefix}step"]), stages_before=stages)


def train(
    images: NDArray[np.uint8],
    run: Run,
    seed: int,
    checkpoint: Path | None = None,
    start: State | None = None,
    label: str = "",
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> State:
    """Train one model with one seed to the end of its schedule.

    Args:
        images: (n, channel, height, width) grey levels of the training split; binarised afresh at every visit.
        run: what to train.
        seed: of initialisation, order, binarisation and posterior noise, each a stream of its own.
        checkpoint: where the state is kept now and then; if there is one, the run goes on from it.
        start: state of another run to go on from, with Adam's moments and step (Table 2).
        label: for progress.
        checkpoint_every_s: seconds between checkpoints; one more is kept after each stage.

    Raises:
        TrainingError: the bound is no longer finite, or the checkpoint is not of this run.
    """
    trainer = Trainer(images, run, seed, start)
    if checkpoint is not None and checkpoint.exists():
        trainer.take(State.read(checkpoint, run))
    last_kept = time.monotonic()
    steps = trainer.steps_per_epoch * total_epochs(run.stages)
    done = trainer.step - trainer.first_step
    with Progress(label, steps * run.batch_size, "images", done * run.batch_size) as progress:
        while trainer.step < trainer.first_step + steps:
            bound = trainer.advance()
            progress.advance(run.batch_size, {"bound": bound})
            stage_ended = trainer.step in trainer.ends
            if checkpoint is not None and (time.monotonic() - last_kept >= checkpoint_every_s or stage_ended):
                trainer.state().write(checkpoint, run)
                last_kept = time.monotonic()
            if stage_ended:
                trainer.refuse_a_dead_layer()
    return trainer.state()


class Trainer:
    """One run under way: `advance` does a step."""

    def __init__(self, images: NDArray[np.uint8], run: Run, seed: int, start: State | None = None) -> None:
        self.run, self.seed = run, seed
        preset = PRESETS[run.preset]
        flat_images = images.reshape(len(images), -1)
        self.batches = Batches(flat_images, run.batch_size, seed, preset.order)
        self.steps_per_epoch = self.batches.steps_per_epoch
        self.model = run.model(flat_images.shape[1])
        if start is None:
            # One purpose for all names ties layers of equal shape, as in the released code.
            self.model.initialise(
                lambda name: stream(seed, "initialisation" if preset.tied_layers else f"initialisation of {name}"),
                pixel_means(images),
            )
        self.flat = FlatParameters(self.model)
        self.adam = Adam(self.flat.values, self.flat.gradients, preset.betas, preset.adam)
        self.bound, self.coefficients_of = BOUNDS[run.objective]
        self.step = self.stages_before = 0
        self.bound_sum = 0.0
        self.history: list[Epoch] = []
        if start is not None:
            self.take(start)
        self.first_step = self.step
        epochs = accumulate(stage.epochs for stage in run.stages)
        self.ends = [self.first_step + count * self.steps_per_epoch for count in epochs]

    def _gradient(self, x: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        """Fill the flat gradient by the run's estimator; return log_w, (k, batch)."""
        if self.run.estimator in SURROGATES:
            self.flat.gradients.zero_()
            surrogate = SURROGATES[self.run.estimator](self.model, x, noise, self.coefficients_of)
            surrogate.value.backward()
            return surrogate.log_w
        with torch.inference_mode():
            if self.run.estimator == "plain":
                return weighted_gradient(
                    self.flat.views, x, noise, self.coefficients_of, self.flat.gradient_views
                ).log_w
            log_w = self.model.log_importance_weights(x, noise)
            uniform = torch.from_numpy(stream(self.seed, "picked draw", self.step).random(len(x), dtype=np.float32))
            picked = pick_by_weight(noise, self.coefficients_of(log_w), uniform)
            weighted_gradient(self.flat.views, x, picked, torch.ones_like, self.flat.gradient_views)
            return log_w

    def take(self, state: State) -> None:
        """Go on from `state`."""
        for name, value in state.parameters.items():
            self.flat.views[name].copy_(value)
        self.adam.first_moment.copy_(state.first_moment)
        self.adam.second_moment.copy_(state.second_moment)
        self.adam.steps = self.step = state.step
        self.stages_before = state.stages_before
        self.bound_sum, self.history = state.bound_sum, list(state.history)

    def state(self) -> State:
        """A copy of where the run stands."""
        return State(
            {name: value.clone() for name, value in self.flat.views.items()},
            self.adam.first_moment.clone(),
            self.adam.second_moment.clone(),
            self.step,
            self.stages_before,
            self.bound_sum,
            list(self.history),
        )

    def refuse_a_dead_layer(self) -> None:
        """Stop a run whose z1 carries nothing after stage 2; say so, and go on, where only z2 does not.

        In the paper's runs z1 has 19 active units or more and z2 at least 4, all alive long before epoch 13.

        Raises:
            TrainingError: no unit of z1 varies with x.
        """
        epoch = self.step // self.steps_per_epoch
        if epoch < EPOCHS_TO_COME_ALIVE:
            return
        count = min(500, len(self.batches.images))  # as many as the released code takes
        x = torch.from_numpy(dynamic(self.batches.images[:count], self.seed, self.step)).float()
        with torch.inference_mode():
            means = [self.model.encode(x).mean]
            if self.model.layers == 2:
                means.append(self.model.encode_z2(means[0]).mean)
        active = [int((mean.var(0, unbiased=False) > ACTIVE_VARIANCE).sum()) for mean in means]
        if active[0] == 0:
            raise TrainingError(
                f"after epoch {epoch} no unit of z1 is active: its posterior means vary by less than {ACTIVE_VARIANCE} "
                "over the training images, so the model ignores its latents. Look at the data (are all images alike "
                "or empty?) and at the learning rate; what was kept before stays."
            )
        if active[-1] == 0:
            print(
                f"after epoch {epoch} no unit of z2 is active; the model works as one with one layer", file=sys.stderr
            )

    def _refuse_divergence(self, mean: float) -> None:
        first = self.history[0].train_bound_nats
        if mean < first - abs(first):
            raise TrainingError(
                f"the run diverges: the bound of epoch {self.step // self.steps_per_epoch} is {mean:.1f} nats, that of "
                f"the first was {first:.1f}. What was kept before stays; lower the learning rate or look at the data."
            )

    def advance(self) -> float:
        """One step; returns the mean bound of its images, nats."""
        stage = bisect_right(self.ends, self.step)
        rate = self.run.stages[stage].learning_rate
        x = torch.from_numpy(dynamic(self.batches.at(self.step), self.seed, self.step)).float()
        noise = posterior_noise(self.seed, self.step, self.run.k, len(x), self.model.latents)
        total = self.bound(self._gradient(x, noise)).sum().item()
        if not math.isfinite(total):
            raise TrainingError(
                f"the bound is {total} at step {self.step} (epoch {self.step // self.steps_per_epoch}, learning rate "
                f"{rate:g}); training cannot go on. What was kept before stays; lower the learning rate or look at the "
                "data."
            )
        self.adam.step(rate)
        self.step += 1
        self.bound_sum += total
        if self.step % self.steps_per_epoch == 0:
            epoch = self.step // self.steps_per_epoch
            mean = self.bound_sum / (self.steps_per_epoch * self.run.batch_size)
            self.history.append(Epoch(self.stages_before + stage, epoch, rate, mean))
            self.bound_sum = 0.0
            self._refuse_divergence(mean)
        return total / self.run.batch_size


def posterior_noise(seed: int, step: int, k: int, images: int, latents: Sequence[int]) -> tuple[Tensor, ...]:
    """Standard normals of one training step, from z1 up, each (k, images, latent_i)."""
    rng = stream(seed, "posterior noise", step)
    return tuple(torch.from_numpy(rng.standard_normal((k, images, size), dtype=np.float32)) for size in latents)
