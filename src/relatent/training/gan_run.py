"""One run of a DCGAN and a step of it (Radford et al. 2016, sec. 4).

Nothing is drawn from a running generator: z is keyed by the step, the order of the images by the epoch. So weights,
Adam's moments and the counters are the whole state of a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from relatent.data.batches import epoch_order
from relatent.data.streams import stream_key
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
from relatent.training.gan_data import TrainingSet, check_images, draw_labels, draw_z
from relatent.training.gan_parallel import Replicas
from relatent.training.gan_schedule import Schedule
from relatent.training.gan_watch import Watch, collapsed_filters, diversity

REFERENCE_BATCH = 256  # z of the fixed batch whose moments sampling uses; ours: twice a training batch, less noise
STATISTICS_IMAGES = 10_000  # training images D's moments are averaged over; the probe estimates its own

COLUMNS = (
    "step", "epoch", "images_seen", "learning_rate", "d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm",
    "g_grad_norm", "diversity", "data_diversity", "collapsed_filters",
)  # fmt: skip
_MEANS = ("d_loss", "d_real", "d_fake", "d_grad_norm", "g_loss", "g_grad_norm")


@dataclass
class TrainedGan:
    """A finished run. Batch-norm moments are set and the nets are in eval mode."""

    generator: Generator
    discriminator: Discriminator
    history: list[dict[str, float]]
    snapshots: dict[str, Tensor] = field(default_factory=dict)


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


def _mean_probability(logits: Tensor) -> float:
    """What D answers on average."""
    return logits.detach().sigmoid().mean().item()
