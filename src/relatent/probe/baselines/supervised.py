"""The discriminator's architecture trained end to end on the labelled images alone, by random search.

Radford et al. 2016, sec. 5.2: "a purely supervised CNN with the same architecture on the same data", best of 64 trials.
They print its validation error; it was chosen by that number, so the test error is reported beside it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relatent.data.streams import stream
from relatent.models.dcgan import Discriminator, build_discriminator, estimate_statistics, initialise, scaled
from relatent.probe.baselines.minibatches import minibatches, torch_rng


@dataclass(frozen=True)
class Trial:
    """What the search varies, each on a logarithmic or even scale of its own."""

    learning_rate: float
    weight_decay: float
    beta1: float
    dropout: float


def draw_trial(seed: int, index: int) -> Trial:
    """Trial `index` of the search."""
    rng = stream(seed, "random search", index)
    return Trial(
        learning_rate=float(10 ** rng.uniform(-4, -2)),
        weight_decay=float(10 ** rng.uniform(-6, -2)),
        beta1=float(rng.choice([0.5, 0.9])),
        dropout=float(rng.choice([0.0, 0.25, 0.5])),
    )


class Classifier(nn.Module):
    """The convolutions of a discriminator, their last maps flattened into class logits."""

    def __init__(self, name: str, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.body: Discriminator = build_discriminator(name, channels)
        net = self.body.net
        self.dropout = dropout
        self.head = nn.Linear(net.discriminator[-1][0] * net.width * net.feature_sides[-1] ** 2, classes)

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Class logits; with `rng`, dropout by it."""
        h = self.body.feature_maps(x)[-1].flatten(1)
        if rng is not None and self.dropout > 0:
            keep = torch.rand(h.shape, generator=rng) >= self.dropout
            h = h * keep / (1 - self.dropout)
        return self.head(h)


def train_classifier(
    name: str, images: np.ndarray, labels: np.ndarray, trial: Trial, epochs: int, batch_size: int, seed: int
) -> tuple[Classifier, np.ndarray]:
    """Train one trial; returns the net, in eval mode with its batch-norm statistics set, and the classes."""
    classes, targets = np.unique(labels, return_inverse=True)
    net = Classifier(name, images.shape[1], len(classes), trial.dropout)
    initialise(net, torch_rng(seed, "supervised weights"))
    adam = torch.optim.AdamW(
        net.parameters(), lr=trial.learning_rate, betas=(trial.beta1, 0.999), weight_decay=trial.weight_decay
    )
    x = scaled(torch.from_numpy(np.ascontiguousarray(images)), net.body.net.output)
    answers = torch.from_numpy(targets)
    net.train()
    for epoch in range(epochs):
        rng = torch_rng(seed, "supervised dropout", epoch)
        for rows in minibatches(len(x), batch_size, seed, "supervised", epoch):
            loss = F.cross_entropy(net(x[rows], rng), answers[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
    batches = list(minibatches(len(x), 4 * batch_size, seed, "supervised statistics", 0))
    estimate_statistics(net.body, ((x[rows],) for rows in batches))
    net.eval()
    return net, classes


@torch.no_grad()
def predict(net: Classifier, classes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The class with the largest logit, of uint8 images."""
    found = []
    for start in range(0, len(images), 512):
        x = scaled(torch.from_numpy(np.array(images[start : start + 512])), net.body.net.output)
        found.append(net(x).argmax(dim=1))
    return classes[torch.cat(found).numpy()]
