"""Minibatches of a resident set: which images a training step sees (specs/iwae.md, section 3, "minibatch order").

The set stays in memory as uint8 (MNIST: 47 MB) and a step is a pure function of its number: nothing is shuffled in
place and no iterator has to be saved, so a run resumed at any step sees the batches it would have seen.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relatent.data.streams import permutation

Order = Literal["reshuffled", "fixed"]


def epoch_order(n_images: int, seed: int, epoch: int, order: Order = "reshuffled") -> NDArray[np.int64]:
    """Indices of the images in the order they are visited in one epoch.

    Args:
        n_images: size of the training set.
        seed: the run's seed.
        epoch: number of the pass, from 0.
        order: "reshuffled" at each epoch, by the stream (seed, "order", epoch); or "fixed", the file order of the
            authors' released code.

    Returns:
        (n_images,), a permutation.
    """
    if order == "fixed":
        return np.arange(n_images, dtype=np.int64)
    return permutation(n_images, seed, "order", epoch)


@dataclass
class Batches:
    """The minibatches of one training run.

    A remainder of fewer than `batch_size` images at the end of an epoch is left out, as in the authors' released code;
    reshuffling leaves out other images each time.

    Args:
        images: (n, ...) uint8, the training split, resident.
        batch_size: images per step.
        seed: the run's seed.
        order: as for `epoch_order`.

    Raises:
        ValueError: a batch larger than the set, or empty.
    """

    images: NDArray[np.uint8]
    batch_size: int
    seed: int
    order: Order = "reshuffled"
    _epoch: int = field(default=-1, init=False, repr=False)
    _indices: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.batch_size <= len(self.images):
            raise ValueError(f"batch_size is {self.batch_size}, the set has {len(self.images)} images; it must fit")

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass."""
        return len(self.images) // self.batch_size

    def indices(self, step: int) -> NDArray[np.int64]:
        """(batch,): which images step `step` sees, counted from 0 since the start of training."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._indices = epoch_order(len(self.images), self.seed, epoch, self.order)
            self._epoch = epoch
        return self._indices[place * self.batch_size : (place + 1) * self.batch_size]

    def at(self, step: int) -> NDArray[np.uint8]:
        """(batch, ...) uint8: the images of step `step`, a copy."""
        return self.images[self.indices(step)]
