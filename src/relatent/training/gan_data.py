"""What a GAN is fed: images with their labels, and z; keyed, so that a step's are the same whenever it is taken."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relatent.data.streams import stream
from relatent.models.dcgan_nets import net_named


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


def trained_on(n_images: int, kept: NDArray[np.int64] | None, validation: int) -> NDArray[np.int64]:
    """Which of a split's images a GAN is trained on, (m,): those kept, but for the last `validation` of the split.

    Args:
        n_images: in the split.
        kept: by de-duplication; all if None.
        validation: images held out, on which a schedule can be chosen; as in the supplement, which holds out 10,000.
    """
    indices = np.arange(n_images) if kept is None else kept
    return indices[indices < n_images - validation]


def check_images(name: str, data: TrainingSet, batch_size: int) -> int:
    """Refuse images that are not the net's, before anything is built; returns their channels.

    Raises:
        ValueError: wrong size, type or channels, too few for a batch, labels missing, an index out of range.
    """
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
