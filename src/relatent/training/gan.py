"""Training a DCGAN: one minibatch at a time, resumable at any step to the same bytes (Radford et al. 2016, sec. 4).

Nothing is drawn from a running generator: z is keyed by the step, the order of the images by the epoch. So weights,
Adam's moments and the counters are the whole state of a run.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from relatent.data.batches import epoch_order
from relatent.data.streams import stream, stream_key
from relatent.errors import TrainingError
from relatent.ledger.files import atomic_path
from relatent.models.dcgan import (
    BatchNorm,
    Discriminator,
    Generator,
    build_discriminator,
    build_generator,
    estimate_statistics,
    initialise,
    scaled,
)
from relatent.objectives.gan import discriminator_loss, generator_loss
from relatent.progress import Progress
from relatent.training.freed_memory import keep_freed_memory
from relatent.training.gan_parallel import Replicas
from relatent.training.gan_watch import CollapseError, Watch, check_finite, collapsed_filters, diversity

REFERENCE_BATCH = 256  # z of the fixed batch whose moments sampling uses; ours: twice a training batch, less noise
STATISTICS_IMAGES = 10_000  # training images D's moments are averaged over; the probe estimates its own
CHECKPOINT_EVERY_S = 30.0
CHECKPOINT_COST = 20  # and no more often than this many times what writing one takes

Updates = Literal["both", "alternate"]
COLUMNS = (
    "step", "epoch", "images_seen", "learning_rate", "d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm",
    "g_grad_norm", "diversity", "data_diversity", "collapsed_filters",
)  # fmt: skip
_MEANS = ("d_loss", "d_real", "d_fake", "d_grad_norm", "g_loss", "g_grad_norm")


@dataclass(frozen=True)
class TrainingSet:
    """The images a GAN is trained on.

    Attributes:
        images: (n, channel, height, width) uint8, resident or memory-mapped.
        indices: (m,) int64, which of them to use (de-duplication's kept index).
        labels: (n,) int64, of a conditional net.
    """

    images: NDArray[np.uint8]
    indices: NDArray[np.int64]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def at(self, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        """Images and labels at places 0..m-1."""
        chosen = self.indices[places]
        return self.images[chosen], None if self.labels is None else self.labels[chosen]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        epochs: passes at the full learning rate.
        decay_epochs: further passes over which it falls linearly to zero (the MNIST supplement's script).
        batch_size, learning_rate, beta1, beta2, adam_eps: of Adam.
        l2: added to the gradient (coupled), as in the released code.
        updates: "both" nets each minibatch, or "alternate": G on even, D on odd ones (released code).
        z_prior: "uniform" in [-1, 1] or "normal".
        snapshot_epochs: after these the generator is kept as it is.
        history_every: steps between rows of the history.
    """

    epochs: int
    decay_epochs: int
    batch_size: int
    learning_rate: float
    beta1: float
    beta2: float
    adam_eps: float
    l2: float
    updates: Updates
    z_prior: str
    snapshot_epochs: tuple[int, ...]
    history_every: int

    def rate(self, epoch: int) -> float:
        """Learning rate of a pass, counted from 0."""
        if epoch < self.epochs:
            return self.learning_rate
        return self.learning_rate * (1 - (epoch - self.epochs + 1) / self.decay_epochs)


@dataclass
class TrainedGan:
    """A finished run. Batch-norm moments are set and the nets are in eval mode."""

    generator: Generator
    discriminator: Discriminator
    history: list[dict[str, float]]
    snapshots: dict[str, Tensor] = field(default_factory=dict)


def draw_z(seed: int, purpose: str, count: int, net: Any, z_prior: str, step: int = 0) -> Tensor:
    """(count, latent) float32 from the prior, keyed by (seed, purpose, step)."""
    rng = stream(seed, purpose, step)
    if z_prior == "uniform":
        return torch.from_numpy(rng.random((count, net.latent), dtype=np.float32) * 2 - 1)
    return torch.from_numpy(rng.standard_normal((count, net.latent), dtype=np.float32))


def draw_labels(seed: int, purpose: str, count: int, net: Any, step: int = 0) -> Tensor | None:
    """(count,) int64, uniform over the classes; None for a net without labels."""
    if not net.classes:
        return None
    return torch.from_numpy(stream(seed, purpose + " labels", step).integers(0, net.classes, count))


class GanRun:
    """One run's weights, optimisers and counters; `minibatch` is one step of it.

    Args:
        name: of the net, e.g. "svhn32-w16".
        data: what it is trained on.
        schedule: how long and how fast.
        seed: keys the initial weights, z and the order of the images.
        batch_norm_eps: of every batch norm.
        watch: when to give up.
        precision: "fp32", or "bf16" for autocast with fp32 weights, a mode of its own.
        device: "cpu" or "cuda".
        replicas: this process among others.
        batch_norm_groups: parts of a batch normalised apart.
        shared_moments: batch norm over all processes' parts; by default where they are several GPUs.

    Raises:
        ValueError: the images are not the net's, or too few for a batch.
    """

    def __init__(
        self,
        name: str,
        data: TrainingSet,
        schedule: Schedule,
        seed: int,
        batch_norm_eps: float,
        watch: Watch,
        precision: str = "fp32",
        device: str = "cpu",
        replicas: Replicas | None = None,
        batch_norm_groups: int = 1,
        shared_moments: bool | None = None,
    ) -> None:
        self.name, self.data, self.schedule, self.seed, self.watch = name, data, schedule, seed, watch
        self.precision, self.device, self.replicas = precision, device, replicas or Replicas()
        if shared_moments is None:
            shared_moments = device == "cuda" and self.replicas.world > 1
        channels = check_images(name, data, schedule.batch_size)
        rng = torch.Generator().manual_seed(stream_key(seed, "initial weights") % 2**63)
        self.generator = build_generator(name, channels, batch_norm_eps)
        self.discriminator = build_discriminator(name, channels, batch_norm_eps)
        initialise(self.generator, rng)
        initialise(self.discriminator, rng)
        for net in (self.generator, self.discriminator):
            net.to(device)
            for module in net.modules():
                if isinstance(module, BatchNorm):
                    module.groups = batch_norm_groups
                    module.average = self.replicas.average_with_gradient if shared_moments else None
        self.net = self.generator.net
        self.optimisers = {
            part: torch.optim.Adam(
                net.parameters(), schedule.learning_rate, (schedule.beta1, schedule.beta2), schedule.adam_eps,
                weight_decay=schedule.l2, fused=True,
            )
            for part, net in (("generator", self.generator), ("discriminator", self.discriminator))
        }  # fmt: skip
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.snapshots: dict[str, Tensor] = {}
        self.sums = dict.fromkeys(_MEANS, 0.0)
        self.counts = dict.fromkeys(_MEANS, 0)
        self._order_epoch, self._order = -1, np.empty(0, np.int64)
        self._part = self.replicas.part(schedule.batch_size)
        shown = np.linspace(0, len(data) - 1, min(REFERENCE_BATCH, len(data))).astype(np.int64)
        self.data_diversity = diversity(scaled(torch.from_numpy(data.at(shown)[0]), self.net.output))

    @property
    def steps_per_epoch(self) -> int:
        """Whole minibatches in a pass."""
        return len(self.data) // self.schedule.batch_size

    @property
    def total_steps(self) -> int:
        """Minibatches in the whole run."""
        return (self.schedule.epochs + self.schedule.decay_epochs) * self.steps_per_epoch

    def minibatch(self) -> None:
        """Train on the next minibatch."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        for optimiser in self.optimisers.values():
            optimiser.param_groups[0]["lr"] = self.schedule.rate(epoch)
        x, labels = self._real(epoch, place)
        z = draw_z(self.seed, "z", self.schedule.batch_size, self.net, self.schedule.z_prior, self.step)[self._part]
        z = z.to(self.device)
        updates_g, updates_d = True, True
        if self.schedule.updates == "alternate":
            updates_g, updates_d = self.step % 2 == 0, self.step % 2 == 1
        with torch.set_grad_enabled(updates_g):
            fake = self._forward(self.generator, z, labels)
        self._update(x, fake, labels, updates_g, updates_d)
        self.step += 1

    def _real(self, epoch: int, place: int) -> tuple[Tensor, Tensor | None]:
        if epoch != self._order_epoch:
            self._order_epoch, self._order = epoch, epoch_order(len(self.data), self.seed, epoch)
        size = self.schedule.batch_size
        images, labels = self.data.at(self._order[place * size : (place + 1) * size][self._part])
        x = scaled(torch.from_numpy(images).to(self.device), self.net.output)
        labels_on_device = None if labels is None or not self.net.classes else torch.from_numpy(labels).to(self.device)
        return x.contiguous(memory_format=torch.channels_last), labels_on_device

    def _forward(self, net: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        if self.precision == "fp32":
            return net(x, labels)
        with torch.autocast(self.device, torch.bfloat16):
            return net(x, labels)

    def _update(self, x: Tensor, fake: Tensor, labels: Tensor | None, updates_g: bool, updates_d: bool) -> None:
        """Adam steps of G, D or both, from one pass of D over the fakes.

        Both gradients are taken at the weights as they are: D's answer to the fakes serves G's loss and its own, and
        no gradient is computed to be thrown away. Real and fake pass D apart, so that batch norm never mixes them, as
        in the paper's code.
        """
        shown = fake.detach().requires_grad_(updates_g)
        if not updates_d:
            self.discriminator.requires_grad_(False)
        fake_logits = self._forward(self.discriminator, shown, labels).float()
        if updates_g:
            loss = generator_loss(fake_logits)
            (of_fake,) = torch.autograd.grad(loss, shown, retain_graph=updates_d)
            self.optimisers["generator"].zero_grad(set_to_none=True)
            fake.backward(of_fake)
            self._note({"g_loss": loss.item(), "g_grad_norm": self._descend("generator")})
        if updates_d:
            real_logits = self._forward(self.discriminator, x, labels).float()
            loss = discriminator_loss(real_logits, fake_logits)
            self.optimisers["discriminator"].zero_grad(set_to_none=True)
            loss.backward(inputs=list(self.discriminator.parameters()))
            means = {"d_real": _mean_probability(real_logits), "d_fake": _mean_probability(fake_logits)}
            self._note({"d_loss": loss.item(), "d_grad_norm": self._descend("discriminator"), **means})
        self.discriminator.requires_grad_(True)

    def _descend(self, part: str) -> float:
        """Average the gradients over the processes and take Adam's step; returns the gradient's norm."""
        optimiser = self.optimisers[part]
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        self.replicas.average(gradients)
        norm = torch.nn.utils.get_total_norm(gradients).item()
        optimiser.step()
        return norm

    def _note(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] += value
            self.counts[name] += 1

    @torch.no_grad()
    def close_row(self) -> dict[str, float]:
        """Means since the last row, with the look at samples and filters; goes to the history."""
        z, labels = self.reference()
        fake = self.generator(z, labels)  # in training mode: by the batch's own moments, nothing is changed
        epoch = (self.step - 1) // self.steps_per_epoch
        means = {name: self.sums[name] / max(1, self.counts[name]) for name in _MEANS}
        if self.replicas.world > 1:
            shared = torch.tensor(list(means.values()), dtype=torch.float64, device=self.device)
            self.replicas.average([shared])
            means = dict(zip(means, shared.tolist(), strict=True))
        values = {
            "step": self.step,
            "epoch": epoch + 1,
            "images_seen": self.step * self.schedule.batch_size,
            "learning_rate": self.schedule.rate(epoch),
            **means,
            "diversity": diversity(fake),
            "data_diversity": self.data_diversity,
            "collapsed_filters": collapsed_filters(self.generator, z, labels),
        }
        row = {name: values[name] for name in COLUMNS}
        self.history.append(row)
        self.sums, self.counts = dict.fromkeys(_MEANS, 0.0), dict.fromkeys(_MEANS, 0)
        return row

    def reference(self) -> tuple[Tensor, Tensor | None]:
        """The fixed z, and labels, whose moments batch norm uses when sampling."""
        z = draw_z(self.seed, "reference z", REFERENCE_BATCH, self.net, self.schedule.z_prior).to(self.device)
        labels = draw_labels(self.seed, "reference z", REFERENCE_BATCH, self.net)
        return z, None if labels is None else labels.to(self.device)

    def take_snapshot(self, epoch: int) -> None:
        """Keep the generator as it is after `epoch` passes, its moments set from the reference batch."""
        estimate_statistics(self.generator, [self.reference()])
        for name, tensor in self.generator.state_dict().items():
            self.snapshots[f"epoch{epoch}.generator.{name}"] = tensor.detach().cpu().clone().contiguous()
        self.generator.train()

    def finish(self) -> TrainedGan:
        """Set the batch-norm moments of both nets: G's from the reference batch, D's from training images."""
        estimate_statistics(self.generator, [self.reference()])
        count = min(len(self.data), STATISTICS_IMAGES)
        places = np.linspace(0, len(self.data) - 1, count).astype(np.int64)
        size = self.schedule.batch_size
        batches: list[tuple[Tensor | None, ...]] = []
        for first in range(0, count - size + 1, size):
            images, labels = self.data.at(places[first : first + size])
            x = scaled(torch.from_numpy(images).to(self.device), self.net.output)
            known = labels is not None and self.net.classes
            batches.append((x, torch.from_numpy(labels).to(self.device) if known else None))
        estimate_statistics(self.discriminator, batches)
        return TrainedGan(self.generator, self.discriminator, self.history, self.snapshots)

    def save(self, path: Path, run: str) -> None:
        """Write the whole state, atomically.

        Args:
            run: fingerprint of the run, checked by `restore`.
        """
        tensors = dict(self.snapshots)
        for part, net in (("generator", self.generator), ("discriminator", self.discriminator)):
            tensors |= {f"{part}.{name}": tensor.contiguous() for name, tensor in net.state_dict().items()}
            state = self.optimisers[part].state
            for name, parameter in net.named_parameters():
                for key, value in state.get(parameter, {}).items():
                    tensors[f"adam.{part}.{name}.{key}"] = value.contiguous()
        counters = {
            "run": run, "step": self.step, "history": self.history, "sums": self.sums, "counts": self.counts,
            "watch": self.watch.state(),
        }  # fmt: skip
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"counters": json.dumps(counters)})

    def restore(self, path: Path, run: str) -> None:
        """Go on from a checkpoint.

        Raises:
            TrainingError: it is not one, or of another run.
        """
        try:
            with safe_open(path, framework="pt") as file:
                counters = json.loads((file.metadata() or {})["counters"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as error:
            raise TrainingError(
                f"{path}: not a checkpoint of this program ({error}). Remove it to start anew."
            ) from None
        if counters["run"] != run:
            raise TrainingError(
                f"{path}: the checkpoint is of another run (net, data, settings or version of the code). Remove it to "
                "start anew, or give the settings it was made with."
            )
        for part, net in (("generator", self.generator), ("discriminator", self.discriminator)):
            with torch.no_grad():
                for name, tensor in net.state_dict().items():
                    tensor.copy_(tensors[f"{part}.{name}"])
            self._restore_adam(part, net, tensors)
        self.step, self.history = counters["step"], counters["history"]
        self.sums, self.counts = counters["sums"], counters["counts"]
        for name, value in counters["watch"].items():
            setattr(self.watch, name, value)
        self.snapshots = {name: tensor for name, tensor in tensors.items() if name.startswith("epoch")}

    def _restore_adam(self, part: str, net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        state = self.optimisers[part].state
        for name, parameter in net.named_parameters():
            prefix = f"adam.{part}.{name}."
            kept = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if not kept:
                continue
            # The moments take their parameter's memory format, so that Adam's loops run over them as before.
            moments = {key: torch.empty_like(parameter).copy_(kept[key]) for key in ("exp_avg", "exp_avg_sq")}
            state[parameter] = {"step": kept["step"].to(self.device), **{k: v.detach() for k, v in moments.items()}}


def _mean_probability(logits: Tensor) -> float:
    """What D answers on average."""
    return logits.detach().sigmoid().mean().item()


def check_images(name: str, data: TrainingSet, batch_size: int) -> int:
    """Refuse images that are not the net's, before anything is built; returns their channels.

    Raises:
        ValueError: wrong size, type or channels, too few for a batch, labels missing, an index out of range.
    """
    from relatent.models.dcgan_nets import net_named

    net = net_named(name)
    images = data.images
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images are {images.dtype} {images.shape}; a GAN is trained on uint8 (n, channel, height, width) with 1 "
            "or 3 channels"
        )
    if images.shape[2:] != (net.side, net.side):
        raise ValueError(
            f"net {name} makes {net.side}×{net.side} images, the data are {images.shape[2]}×{images.shape[3]}"
        )
    if len(data) < batch_size:
        raise ValueError(f"{len(data)} images are too few for one batch of {batch_size}; lower batch_size")
    if len(data) and not 0 <= data.indices.min() <= data.indices.max() < len(images):
        raise ValueError(f"the kept index goes to {data.indices.max()}, there are {len(images)} images")
    if net.classes and (data.labels is None or len(data.labels) != len(images)):
        raise ValueError(f"net {name} is conditional and needs the label of each of the {len(images)} images")
    return int(images.shape[1])


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
        run.restore(checkpoint, fingerprint)
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
                run.save(checkpoint, fingerprint)
                saved, cost = time.monotonic(), time.monotonic() - now
            progress.advance(1, shown and {name: shown[name] for name in ("d_loss", "g_loss", "diversity")})
    return run.finish()
