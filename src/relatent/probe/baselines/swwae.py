"""A stacked what-where autoencoder with an L2 decoder (Zhao, Mathieu, Goroshin, LeCun 2015), semi-supervised.

The encoder's max-pooling passes on what was largest; where it was goes to the decoder, which unpools there. The loss is
the labelled images' cross-entropy, plus the reconstruction of the image and of every pooled layer, of all images.
The paper's nets are larger; widths, weights and schedule here are ours.
"""

import itertools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relatent.probe.baselines.minibatches import glorot, minibatches, torch_rng
from relatent.progress import Progress


class Swwae(nn.Module):
    """Three 3x3 convolutions, each pooled by 2, a linear classifier; and the mirror image of the convolutions.

    Args:
        channels, side: of an image; `side` is a multiple of 8.
        width: maps of the first convolution; the second and third have 2 and 4 times as many.
    """

    def __init__(self, channels: int, side: int, classes: int, width: int) -> None:
        super().__init__()
        maps = [channels, width, 2 * width, 4 * width]
        pairs = list(itertools.pairwise(maps))
        self.encoder = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.decoder = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in reversed(pairs))
        self.head = nn.Linear(maps[-1] * (side // 8) ** 2, classes)

    def encode(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The pooled layers (what), the image first, and the places of their maxima (where)."""
        what, where = [x], []
        for conv in self.encoder:
            x, places = F.max_pool2d(torch.relu(conv(x)), 2, return_indices=True)
            what.append(x)
            where.append(places)
        return what, where

    def logits(self, what: Tensor, dropout: float = 0.0, rng: torch.Generator | None = None) -> Tensor:
        """Class logits from the topmost layer."""
        h = what.flatten(1)
        if rng is not None and dropout > 0:
            h = h * (torch.rand(h.shape, generator=rng) >= dropout) / (1 - dropout)
        return self.head(h)

    def reconstruction_loss(self, what: list[Tensor], where: list[Tensor]) -> Tensor:
        """Mean squared error of the image, and of every lower layer at a tenth of the weight."""
        x, loss = what[-1], torch.zeros(())
        for depth, conv in enumerate(self.decoder):
            level = len(self.encoder) - 1 - depth
            x = conv(_unpool(x, where[level]))
            if level > 0:
                x = torch.relu(x)
            loss = loss + (1.0 if level == 0 else 0.1) * F.mse_loss(x, what[level])
        return loss


def _unpool(x: Tensor, places: Tensor) -> Tensor:
    """Each value of x at the place its maximum came from, in a map of twice the side, zero elsewhere.

    By `scatter`: pooling without overlap never names a place twice, and `max_unpool2d` is not deterministic everywhere.
    """
    batch, maps, height, width = x.shape
    flat = torch.zeros(batch, maps, 4 * height * width)
    return flat.scatter(2, places.flatten(2), x.flatten(2)).view(batch, maps, 2 * height, 2 * width)


def train_swwae(
    images: np.ndarray, rows: np.ndarray, labels: np.ndarray, width: int, dropout: float, reconstruction: float,
    epochs: int, learning_rate: float, batch_size: int, seed: int,
) -> tuple[Swwae, np.ndarray]:  # fmt: skip
    """Train on all images, of which `rows` have `labels`.

    Args:
        images: uint8 (image, channel, height, width).
        reconstruction: weight of the decoder's losses.

    Returns:
        the net, and the classes in the order of its outputs.
    """
    classes, targets = np.unique(labels, return_inverse=True)
    net = Swwae(images.shape[1], images.shape[-1], len(classes), width)
    glorot(net, torch_rng(seed, "SWWAE weights"))
    adam = torch.optim.Adam(net.parameters(), lr=learning_rate)
    known, answers = _pixels(images[rows]), torch.from_numpy(targets)
    with Progress("SWWAE", epochs, "passes") as progress:
        for epoch in range(epochs):
            rng = torch_rng(seed, "SWWAE", epoch)
            for batch in minibatches(len(images), batch_size, seed, "SWWAE", epoch):
                picked = torch.randperm(len(known), generator=rng)[:batch_size]
                # Labelled and unlabelled images go through the encoder together.
                what, where = net.encode(torch.cat([known[picked], _pixels(images[np.sort(batch)])]))
                logits = net.logits(what[-1][: len(picked)], dropout, rng)
                loss = F.cross_entropy(logits, answers[picked]) + reconstruction * net.reconstruction_loss(what, where)
                adam.zero_grad()
                loss.backward()
                adam.step()
            progress.advance(1, {"loss": loss.item()})
    return net, classes


@torch.no_grad()
def predict(net: Swwae, classes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The class with the largest logit, of uint8 images."""
    parts = [
        net.logits(net.encode(_pixels(images[start : start + 512]))[0][-1]) for start in range(0, len(images), 512)
    ]
    return classes[torch.cat(parts).argmax(dim=1).numpy()]


def _pixels(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(images)).float() / 127.5 - 1
