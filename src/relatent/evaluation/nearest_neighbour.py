"""Test error of 1-NN trained on samples and tested on real images (Radford et al. 2016, supplement, Table 3).

A conditional generator is judged by what a classifier learns from it alone. Samples are made and forgotten in blocks,
so ten million need no more memory than ten thousand; the best of what was seen is the whole state, and can be kept.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor

from relatent.data.streams import stream
from relatent.evaluation.gan_samples import generated
from relatent.ledger.files import write_bytes
from relatent.models.dcgan import Generator
from relatent.progress import Progress
from relatent.training.gan_data import draw_labels, draw_z

BLOCK = 2000  # training images at a time: 80 MB of distances to 10,000 test images


@dataclass
class Nearest:
    """The nearest training image seen so far, for each test image.

    Squared distances are by matrix product in float32 on pixels in [0, 1]: right to about 1e-5, far below the
    difference of two images' distances.
    """

    tests: Tensor
    distance: Tensor
    label: Tensor
    seen: int = 0

    @classmethod
    def of(cls, tests: NDArray[np.uint8]) -> "Nearest":
        """Nothing seen yet, for test images (n, ...)."""
        flat = torch.from_numpy(np.array(tests)).flatten(1).float() / 255
        return cls(flat, torch.full((len(flat),), math.inf), torch.full((len(flat),), -1, dtype=torch.int64))

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Show training images, (m, ...) uint8, and their labels, (m,). Of equal distances the first seen stays."""
        flat = images.flatten(1).float() / 255
        # |a - b|^2 without |a|^2, which is the same for every b.
        squared = torch.addmm(flat.square().sum(1), self.tests, flat.T, alpha=-2)
        best, place = squared.min(1)
        nearer = best < self.distance
        self.distance = torch.where(nearer, best, self.distance)
        self.label = torch.where(nearer, labels[place], self.label)
        self.seen += len(images)

    def error(self, labels: Tensor) -> float:
        """Share of test images whose nearest training image has another label."""
        return (self.label != labels).double().mean().item()


def errors_by_samples(
    generator: Generator,
    tests: NDArray[np.uint8],
    labels: NDArray[np.int64],
    counts: list[int],
    seed: int,
    z_prior: str,
    checkpoint: Path | None = None,
) -> dict[int, float]:
    """Error of 1-NN on the first `count` samples, for each of counts.

    Args:
        generator: conditional, in eval mode; labels of the samples are uniform over the classes.
        tests, labels: (n, channel, height, width) and (n,).
        counts: numbers of samples.
        seed, z_prior: of the samples; block b is keyed by (seed, b), so that the counts are nested.
        checkpoint: kept now and then, gone on from.
    """
    nearest, errors, truth = Nearest.of(tests), dict[int, float](), torch.from_numpy(np.array(labels))
    if checkpoint is not None and checkpoint.exists():
        kept = load_file(checkpoint)
        nearest.distance, nearest.label, nearest.seen = kept["distance"], kept["label"], int(kept["seen"])
        errors = {int(name.removeprefix("error")): float(t) for name, t in kept.items() if name.startswith("error")}
    with Progress("nearest neighbour of samples", max(counts), "samples", nearest.seen) as progress:
        while nearest.seen < max(counts):
            size = min(BLOCK, *(count - nearest.seen for count in counts if count > nearest.seen))
            z = draw_z(seed, "nearest neighbour z", size, generator.net, z_prior, nearest.seen)
            classes = draw_labels(seed, "nearest neighbour z", size, generator.net, nearest.seen)
            assert classes is not None
            nearest.add(generated(generator, z, classes), classes)
            if nearest.seen in counts:
                errors[nearest.seen] = nearest.error(truth)
            if checkpoint is not None and nearest.seen % (50 * BLOCK) == 0:
                state = {"distance": nearest.distance, "label": nearest.label, "seen": torch.tensor(nearest.seen)}
                found = {f"error{count}": torch.tensor(e, dtype=torch.float64) for count, e in errors.items()}
                write_bytes(checkpoint, save(state | found))
            progress.advance(size)
    return errors


def error_of_real(
    images: NDArray[np.uint8],
    image_labels: NDArray[np.int64],
    tests: NDArray[np.uint8],
    labels: NDArray[np.int64],
    count: int,
    seed: int,
) -> float:
    """Error of 1-NN on `count` real images drawn by chance: what perfect samples would get at equal n.

    Raises:
        ValueError: fewer images than that.
    """
    if len(images) < count:
        raise ValueError(f"there are {len(images)} real training images, not {count}; lower nn_samples")
    chosen = np.sort(stream(seed, "nearest neighbour real").permutation(len(images))[:count])
    nearest = Nearest.of(tests)
    for part in _parts(chosen):
        nearest.add(torch.from_numpy(images[part]), torch.from_numpy(image_labels[part]))
    return nearest.error(torch.from_numpy(np.array(labels)))


def _parts(places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for first in range(0, len(places), BLOCK):
        yield places[first : first + BLOCK]
