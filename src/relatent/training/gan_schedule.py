"""How long a GAN is trained, and how fast: the settings of a run that are not its net or its data. No torch here."""

from dataclasses import dataclass
from typing import Literal

Updates = Literal["both", "alternate"]


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
        """Learning rate of a pass, counted from 0; lowered after each decay pass, as in the released code."""
        if epoch < self.epochs:
            return self.learning_rate
        return self.learning_rate * (1 - (epoch - self.epochs) / self.decay_epochs)
