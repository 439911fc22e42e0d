"""Training of one density model with one seed: Burda et al. 2016, sec. 5. Several seeds are several calls.

Everything random in a step is keyed by (seed, purpose, step), so the state of a run is its parameters, Adam's moments
and the number of steps done; a run resumed at any step ends in the bits of an unbroken one.
"""

import math
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relatent.data.batches import Batches
from relatent.data.binarisation import dynamic
from relatent.data.streams import stream
from relatent.models.density import DensityModel, pixel_means
from relatent.models.density_gradient import weighted_gradient
from relatent.objectives.bounds import BOUNDS
from relatent.objectives.estimators import SURROGATES, pick_by_weight
from relatent.progress import Progress
from relatent.training.adam import Adam, FlatParameters
from relatent.training.density_state import Epoch, Run, State, read_states, write_states
from relatent.training.density_watch import (
    refuse_a_dead_layer,
    refuse_divergence,
    refuse_k_beyond_memory,
    refuse_non_finite,
    refuse_non_finite_state,
)
from relatent.training.freed_memory import keep_freed_memory
from relatent.training.schedule import PRESETS, total_epochs

CHECKPOINT_EVERY_S = 30.0


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
        TrainingError: the bound or a parameter is no longer finite, the bound diverges, z1 is dead at a stage's end,
            or `checkpoint` or `start` is not of this run's model.
    """
    refuse_k_beyond_memory(run, pixels=math.prod(images.shape[1:]))
    keep_freed_memory()
    trainer = Trainer(images, run, seed, start)
    if checkpoint is not None and checkpoint.exists():
        trainer.take(read_states(checkpoint, run)[seed])
    trainer.refuse_unfit()
    last_kept = time.monotonic()
    steps = trainer.steps_per_epoch * total_epochs(run.stages)
    done = trainer.step - trainer.first_step
    with Progress(label, steps * run.batch_size, "images", done * run.batch_size) as progress:
        while trainer.step < trainer.first_step + steps:
            bound = trainer.advance()
            progress.advance(run.batch_size, {"bound": bound})
            if trainer.step in trainer.ends or time.monotonic() - last_kept >= checkpoint_every_s:
                trainer.refuse_unfit()  # before it is kept, or a second run would start past the stop
                if checkpoint is not None:
                    write_states(checkpoint, run, {seed: trainer.state()})
                last_kept = time.monotonic()
    return trainer.state()


def initial_model(images: NDArray[np.uint8], run: Run, seed: int) -> DensityModel:
    """The model a run starts with."""
    # One purpose for all names ties layers of equal shape, as in the released code.
    tied = PRESETS[run.preset].tied_layers
    model = run.model(math.prod(images.shape[1:]))
    model.initialise(
        lambda name: stream(seed, "initialisation" if tied else f"initialisation of {name}"), pixel_means(images)
    )
    return model


class Trainer:
    """One run under way: `advance` does a step."""

    def __init__(self, images: NDArray[np.uint8], run: Run, seed: int, start: State | None = None) -> None:
        self.run, self.seed = run, seed
        preset = PRESETS[run.preset]
        flat_images = images.reshape(len(images), -1)
        self.batches = Batches(flat_images, run.batch_size, seed, preset.order)
        self.steps_per_epoch = self.batches.steps_per_epoch
        self.model = initial_model(images, run, seed)
        self.flat = FlatParameters.of(self.model)
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
        """Go on from `state`.

        Raises:
            TrainingError: it is of another model.
        """
        state.refuse_another_model(self.flat.views)
        for name, value in state.parameters.items():
            self.flat.views[name].copy_(value)
        self.adam.first_moment.copy_(state.first_moment)
        self.adam.second_moment.copy_(state.second_moment)
        self.adam.count.fill_(state.step)
        self.step = state.step
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

    def refuse_unfit(self) -> None:
        """Stop where the run stands at a number that is not finite or, at the end of a stage, at a dead z1.

        Raises:
            TrainingError: it does.
        """
        epoch = self.step // self.steps_per_epoch
        refuse_non_finite_state(self.adam, self.step, epoch)
        if self.step in self.ends:
            refuse_a_dead_layer(self.model, self.some_images(), epoch)

    def some_images(self) -> Tensor:
        """The first 500 training images, (images, pixels) in {0, 1}: as many as the released code looks at."""
        return torch.from_numpy(dynamic(self.batches.images[:500], self.seed, self.step)).float()

    def advance(self) -> float:
        """One step; returns the mean bound of its images, nats."""
        stage = bisect_right(self.ends, self.step)
        rate = self.run.stages[stage].learning_rate
        binary = dynamic(self.batches.at(self.step), self.seed, self.step)
        x = torch.from_numpy(binary.astype(np.float32))  # beside numpy's calls, half the cost of torch's float()
        noise = posterior_noise(self.seed, self.step, self.run.k, len(x), self.model.latents)
        total = self.bound(self._gradient(x, noise)).sum().item()
        refuse_non_finite(total, self.step, self.step // self.steps_per_epoch, rate)
        self.adam.step(rate)
        self.step += 1
        self.bound_sum += total
        if self.step % self.steps_per_epoch == 0:
            epoch = self.step // self.steps_per_epoch
            mean = self.bound_sum / (self.steps_per_epoch * self.run.batch_size)
            self.history.append(Epoch(self.stages_before + stage, epoch, rate, mean))
            self.bound_sum = 0.0
            refuse_divergence(self.history)
        return total / self.run.batch_size


def posterior_noise(seed: int, step: int, k: int, images: int, latents: Sequence[int]) -> tuple[Tensor, ...]:
    """Standard normals of one training step, from z1 up, each (k, images, latent_i)."""
    rng = stream(seed, "posterior noise", step)
    return tuple(torch.from_numpy(rng.standard_normal((k, images, size), dtype=np.float32)) for size in latents)
