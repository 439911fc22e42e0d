"""All seeds of a cell at once, on a GPU: the single-run gradient lifted over the seeds by torch.func (DESIGN 4.9).

There launches and not arithmetic are the cost, so the seeds are stacked, a step of fixed shape is captured once in a
CUDA graph, and data, binarisation and noise stay on the device. Draws are made for BLOCK steps at a time and keyed by
(seed, purpose, block): a run resumed at any step draws its block again. They are the device's own, so the bits differ
from a CPU's; the arithmetic is that of `density.Trainer` to float tolerance.
"""

import math
import os
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relatent.data.batches import Batches
from relatent.data.streams import stream_key
from relatent.errors import TrainingError
from relatent.models.density_gradient import weighted_gradient
from relatent.objectives.bounds import BOUNDS
from relatent.progress import Progress
from relatent.training.adam import Adam, FlatParameters
from relatent.training.density import CHECKPOINT_EVERY_S, initial_model
from relatent.training.density_state import Epoch, Run, State, read_states, write_states
from relatent.training.density_watch import (
    refuse_a_dead_layer,
    refuse_divergence,
    refuse_k_beyond_memory,
    refuse_non_finite,
    refuse_non_finite_state,
)
from relatent.training.schedule import PRESETS

BLOCK = 64  # steps whose draws are made at once; 40 MB a seed at k = 50


def train_lifted(
    images: NDArray[np.uint8],
    run: Run,
    seeds: Sequence[int],
    device: str = "cuda",
    checkpoint: Path | None = None,
    starts: Mapping[int, State] | None = None,
    label: str = "",
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> dict[int, State]:
    """Train one model per seed, all in step, to the end of the schedule.

    Args and errors as for `density.train`, but for all seeds; states come back on the CPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS has no deterministic products
    free = torch.cuda.mem_get_info()[0] if device == "cuda" and torch.cuda.is_available() else None
    refuse_k_beyond_memory(run, math.prod(images.shape[1:]), len(seeds), BLOCK, free)
    trainer = LiftedTrainer(images, run, seeds, torch.device(device), starts)
    if checkpoint is not None and checkpoint.exists():
        trainer.take(read_states(checkpoint, run))
    trainer.refuse_unfit()
    last_kept = time.monotonic()
    first, last = trainer.first_step, trainer.ends[-1]
    per_step = run.batch_size * len(seeds)
    with Progress(label, (last - first) * per_step, "images", (trainer.step - first) * per_step) as progress:
        while trainer.step < last:
            before = trainer.step
            bound = trainer.advance()
            progress.advance((trainer.step - before) * per_step, {"bound": bound})
            if trainer.step in trainer.ends or time.monotonic() - last_kept >= checkpoint_every_s:
                trainer.refuse_unfit()  # before it is kept, or a second run would start past the stop
                if checkpoint is not None:
                    write_states(checkpoint, run, trainer.states())
                last_kept = time.monotonic()
    return trainer.states()


class LiftedTrainer:
    """All seeds of a run under way: `advance` goes on to the end of a block, an epoch or the run."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        run: Run,
        seeds: Sequence[int],
        device: torch.device,
        starts: Mapping[int, State] | None = None,
    ) -> None:
        if run.estimator != "plain":
            raise TrainingError(f"the estimator {run.estimator!r} trains on the CPU only; set device: cpu")
        if device.type == "cuda" and not torch.cuda.is_available():
            raise TrainingError("no CUDA device is to be found; set device: cpu, or train on a machine with a GPU")
        self.run, self.seeds, self.device = run, list(seeds), device
        preset = PRESETS[run.preset]
        flat_images = images.reshape(len(images), -1)
        self.batches = [Batches(flat_images, run.batch_size, seed, preset.order) for seed in seeds]
        self.steps_per_epoch = self.batches[0].steps_per_epoch
        self.images = torch.from_numpy(flat_images).to(device)
        self.models = [initial_model(images, run, seed) for seed in seeds]
        parameters, _ = torch.func.stack_module_state(list[torch.nn.Module](self.models))
        self.flat = FlatParameters({name: value.to(device) for name, value in parameters.items()}, stacked=True)
        self.adam = Adam(self.flat.values, self.flat.gradients, preset.betas, preset.adam)
        self.step = self.stages_before = 0
        self.bound_sums = [0.0] * len(seeds)
        self.histories: list[list[Epoch]] = [[] for _ in seeds]
        if starts is not None:
            self.take(starts)
        self.first_step = self.step
        epochs = accumulate(stage.epochs for stage in run.stages)
        self.ends = [self.first_step + count * self.steps_per_epoch for count in epochs]

        # What a captured step reads and writes: always the same memory.
        latents, shape = self.models[0].latents, (BLOCK, len(seeds), run.batch_size)
        self.x = torch.empty(*shape, flat_images.shape[1], device=device)
        self.noise = [torch.empty(BLOCK, len(seeds), run.k, run.batch_size, size, device=device) for size in latents]
        self.bounds = torch.empty(BLOCK, len(seeds), dtype=torch.float64, device=device)
        self.places = torch.arange(BLOCK, device=device).unsqueeze(1)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)  # of the step in its block
        self.rate = torch.zeros((), device=device)
        self.block = -1
        self.graph: torch.cuda.CUDAGraph | None = None
        bound, coefficients_of = BOUNDS[run.objective]

        def one_seed(views: Mapping[str, Tensor], x: Tensor, *noise: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
            log_w, gradient = weighted_gradient(views, x, noise, coefficients_of)
            return bound(log_w).double().sum(), gradient

        self.all_seeds = torch.vmap(one_seed)

    def take(self, states: Mapping[int, State]) -> None:
        """Go on from the states of all seeds, which stand at the same step.

        Raises:
            TrainingError: one is of another model.
        """
        for index, seed in enumerate(self.seeds):
            state = states[seed]
            state.refuse_another_model({name: view[index] for name, view in self.flat.views.items()})
            for name, value in state.parameters.items():
                self.flat.views[name][index].copy_(value)
            self.adam.first_moment[index].copy_(state.first_moment)
            self.adam.second_moment[index].copy_(state.second_moment)
            self.step, self.stages_before = state.step, state.stages_before
            self.bound_sums[index], self.histories[index] = state.bound_sum, list(state.history)
        self.adam.count.fill_(self.step)

    def states(self) -> dict[int, State]:
        """Copies of where the seeds stand, on the CPU."""
        return {
            seed: State(
                {name: view[index].cpu().clone() for name, view in self.flat.views.items()},
                self.adam.first_moment[index].cpu().clone(),
                self.adam.second_moment[index].cpu().clone(),
                self.step,
                self.stages_before,
                self.bound_sums[index],
                list(self.histories[index]),
            )
            for index, seed in enumerate(self.seeds)
        }

    @torch.no_grad()
    def advance(self) -> float:
        """Some steps, up to the end of the block or the epoch; returns the mean bound of the last one, nats."""
        stage = bisect_right(self.ends, self.step)
        self.rate.fill_(self.run.stages[stage].learning_rate)
        block, place = divmod(self.step, BLOCK)
        if block != self.block:
            self.draw(block)
            self.block = block
        self.place.fill_(place)
        if self.graph is None and self.device.type == "cuda":
            self._capture()
        steps = min(BLOCK - place, self.steps_per_epoch - self.step % self.steps_per_epoch)
        for _ in range(steps):
            if self.graph is None:
                self._step()
            else:
                self.graph.replay()
        bounds = self.bounds[place : place + steps].tolist()
        self._record(bounds, stage)
        return sum(bounds[-1]) / (len(self.seeds) * self.run.batch_size)

    def draw(self, block: int) -> None:
        """Fill x and noise with the draws of a block of steps."""
        for index, (seed, batches) in enumerate(zip(self.seeds, self.batches, strict=True)):
            rng = torch.Generator(self.device)
            rng.manual_seed(stream_key(seed, f"draws on {self.device.type}", block) % 2**63)
            rows = np.stack([batches.indices(block * BLOCK + place) for place in range(BLOCK)])
            grey = self.images[torch.from_numpy(rows).to(self.device)]
            uniform = torch.rand(grey.shape, generator=rng, device=self.device)  # 24 bits
            self.x[:, index] = uniform < grey / 255
            for noise in self.noise:
                noise[:, index] = torch.randn(noise[:, index].shape, generator=rng, device=self.device)

    def _step(self) -> None:
        """One step of all seeds, reading its place in the block from the device; what the graph captures."""
        x = self.x.index_select(0, self.place)[0]
        noise = [part.index_select(0, self.place)[0] for part in self.noise]
        totals, gradient = self.all_seeds(self.flat.views, x, *noise)
        for name, view in self.flat.gradient_views.items():
            view.copy_(gradient[name])
        self.adam.step(self.rate)
        self.bounds.copy_(torch.where(self.places == self.place, totals, self.bounds))
        self.place.add_(1)

    def _capture(self) -> None:
        """Capture `_step`; the steps taken to warm up are undone."""
        changed = [self.flat.values, self.adam.first_moment, self.adam.second_moment, self.adam.count, self.place]
        kept = [tensor.clone() for tensor in changed]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.place.copy_(kept[-1])
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._step()
        for tensor, value in zip(changed, kept, strict=True):
            tensor.copy_(value)

    def _record(self, bounds: Sequence[Sequence[float]], stage: int) -> None:
        rate = self.run.stages[stage].learning_rate
        for totals in bounds:
            for index, total in enumerate(totals):
                refuse_non_finite(total, self.step, self.step // self.steps_per_epoch, rate)
                self.bound_sums[index] += total
            self.step += 1
        if self.step % self.steps_per_epoch == 0:
            epoch = self.step // self.steps_per_epoch
            for index, history in enumerate(self.histories):
                mean = self.bound_sums[index] / (self.steps_per_epoch * self.run.batch_size)
                history.append(Epoch(self.stages_before + stage, epoch, rate, mean))
                self.bound_sums[index] = 0.0
                refuse_divergence(history)

    def refuse_unfit(self) -> None:
        """As `density.Trainer.refuse_unfit`, for all seeds."""
        epoch = self.step // self.steps_per_epoch
        refuse_non_finite_state(self.adam, self.step, epoch)
        if self.step not in self.ends:
            return
        x = (self.images[:500].cpu() > 127).float()
        for index, model in enumerate(self.models):
            model.load_state_dict({name: view[index].cpu() for name, view in self.flat.views.items()})
            refuse_a_dead_layer(model, x, epoch)
