"""Exemplar CNN, reduced (Dosovitskiy, Springenberg, Riedmiller, Brox 2014): learn to tell distorted images apart.

Each of a few seed images is a class; its members are random distortions of it: shift, scale, rotation, contrast and,
in colour, hue. A small CNN learns these classes; its maps, max-pooled over quadrants, are the features. The published
one uses patches of STL-10, thousands of classes and days on a GPU: this is a sanity row and is labelled so.
"""

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relatent.probe.baselines.minibatches import glorot, torch_rng
from relatent.progress import Progress


class ExemplarNet(nn.Module):
    """64c5-128c5-256c5-512f of the paper in the proportions 1 : 2 : 4 : 8, of base `width`."""

    def __init__(self, channels: int, side: int, exemplars: int, width: int) -> None:
        super().__init__()
        maps = [channels, width, 2 * width, 4 * width]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 5, padding=2) for a, b in itertools.pairwise(maps))
        self.dense = nn.Linear(maps[-1] * (side // 4) ** 2, 8 * width)
        self.head = nn.Linear(8 * width, exemplars)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Maps of each convolution, after ReLU; the first two are pooled by 2 before the next."""
        found = []
        for index, conv in enumerate(self.convs):
            x = torch.relu(conv(x))
            found.append(x)
            if index < 2:
                x = F.max_pool2d(x, 2)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the surrogate classes."""
        return self.head(torch.relu(self.dense(self.maps(x)[-1].flatten(1))))


def distorted(images: Tensor, rng: torch.Generator) -> Tensor:
    """Each image, (batch, channel, height, width), under a random distortion of its own.

    Shift to 20 % of the side, scale 0.7 to 1.4, rotation to 20 degrees, contrast 0.5 to 2 (Dosovitskiy et al., sec.
    2.1, where they are for patches), and for colour a shift of each channel to 0.2.
    """
    batch, channels = images.shape[:2]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=rng)

    angle, scale = uniform(-math.pi / 9, math.pi / 9, batch), torch.exp(uniform(math.log(0.7), math.log(1.4), batch))
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    shift = uniform(-0.4, 0.4, batch, 2)  # of coordinates that run from -1 to 1
    matrix = torch.stack(
        [torch.stack([cosine, -sine, shift[:, 0]], dim=1), torch.stack([sine, cosine, shift[:, 1]], dim=1)], dim=1
    )
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    x = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + (x - mean) * torch.exp(uniform(-math.log(2), math.log(2), batch, 1, 1, 1))
    if channels > 1:
        x = x + uniform(-0.2, 0.2, batch, channels, 1, 1)
    return x.clamp(-1, 1)


def train_exemplar(
    images: np.ndarray, exemplars: int, width: int, steps: int, batch_size: int, learning_rate: float, seed: int
) -> ExemplarNet:
    """Learn to tell `exemplars` random images apart under distortion; labels are not used."""
    from relatent.data.streams import stream

    chosen = np.sort(stream(seed, "exemplars").choice(len(images), exemplars, replace=False))
    seeds = torch.from_numpy(np.array(images[chosen])).float() / 127.5 - 1
    net = ExemplarNet(images.shape[1], images.shape[-1], exemplars, width)
    glorot(net, torch_rng(seed, "exemplar weights"))
    adam = torch.optim.Adam(net.parameters(), lr=learning_rate)
    with Progress("Exemplar CNN", steps, "steps") as progress:
        for step in range(steps):
            rng = torch_rng(seed, "exemplar", step)
            rows = torch.randint(exemplars, (batch_size,), generator=rng)
            loss = F.cross_entropy(net(distorted(seeds[rows], rng)), rows)
            adam.zero_grad()
            loss.backward()
            adam.step()
            progress.advance(1, {"loss": loss.item()})
    return net


@torch.no_grad()
def exemplar_features(net: ExemplarNet, images: np.ndarray) -> np.ndarray:
    """Every convolution's maps, max-pooled over quadrants, side by side: (image, 4 x maps), float32."""
    found = []
    for start in range(0, len(images), 256):
        x = torch.from_numpy(np.array(images[start : start + 256])).float() / 127.5 - 1
        found.append(torch.cat([F.max_pool2d(m, m.shape[-1] // 2).flatten(1) for m in net.maps(x)], dim=1))
    return torch.cat(found).numpy()
