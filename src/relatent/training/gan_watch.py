"""Watching a GAN for the paper's open problem: instability, and filters that collapse (Radford et al. 2016, sec. 7).

A collapsed run is stopped and says so; it does not burn hours.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from relatent.errors import TrainingError
from relatent.models.dcgan import Generator

COLLAPSED_SHARE = 0.01  # ours: a map whose answers vary this little with z, relative to all its variance, ignores z


def diversity(images: Tensor) -> float:
    """Root mean square distance between two different images of a batch, per pixel.

    Args:
        images: (batch, channel, height, width).

    Returns:
        sqrt(2 var): computed from the per-pixel variance over the batch, which needs no pairs.
    """
    return math.sqrt(2 * images.flatten(1).var(0, unbiased=True).mean().item())


@torch.no_grad()
def collapsed_filters(generator: Generator, z: Tensor, labels: Tensor | None = None) -> float:
    """Share of the generator's hidden convolutional maps that show one pattern whatever z is.

    A map's variance over images and places is split: what z changes at a fixed place, over all there is. A filter
    that has collapsed to one oscillating mode keeps its variance over places and loses that over z.
    """
    total = collapsed = 0
    for maps in generator.hidden_maps(z, labels)[1:] or generator.hidden_maps(z, labels):
        maps = maps.float()
        over_z = maps.var(0, unbiased=False).mean((1, 2))
        overall = maps.var((0, 2, 3), unbiased=False)
        collapsed += int((over_z <= COLLAPSED_SHARE * overall).sum())
        total += len(overall)
    return collapsed / total


class CollapseError(TrainingError):
    """A run that goes on but has nothing more to gain."""


@dataclass
class Watch:
    """Stops a run that cannot recover. Looks at the history's rows, one after another.

    Args:
        patience: rows in a row that must look lost before the run is stopped.
        diversity_floor: samples less diverse than this share of the data's are a collapse.
        won_d_loss: a discriminator with a mean loss below this has won, and gives the generator no gradient to use.
        grace_images: images seen before which nothing is judged, since all runs begin with equal samples.
    """

    patience: int
    diversity_floor: float
    won_d_loss: float
    grace_images: int
    collapsed_rows: int = 0
    won_rows: int = 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep."""
        return {name: value for name, value in asdict(self).items() if name.endswith("_rows")}

    def look(self, row: Mapping[str, float], data_diversity: float) -> None:
        """Judge the newest row of the history.

        Raises:
            TrainingError: a value is not finite.
            CollapseError: the generator has collapsed, or the discriminator has won.
        """
        check_finite(row)
        where = f"step {row['step']:.0f} ({row['images_seen']:.0f} images)"
        if row["images_seen"] < self.grace_images:
            return
        self.collapsed_rows = self.collapsed_rows + 1 if row["diversity"] < self.diversity_floor * data_diversity else 0
        self.won_rows = self.won_rows + 1 if row["d_loss"] < self.won_d_loss else 0
        if self.collapsed_rows >= self.patience:
            raise CollapseError(
                f"the generator has collapsed at {where}: samples differ by {row['diversity']:.4f} per pixel where the "
                f"data differ by {data_diversity:.4f}, {self.collapsed_rows} looks in a row. Try another seed, or a "
                "lower learning_rate; gan.watch.diversity_floor decides when a run counts as collapsed."
            )
        if self.won_rows >= self.patience:
            raise CollapseError(
                f"the discriminator has won at {where}: its loss stayed below {self.won_d_loss:g} for {self.won_rows} "
                "looks in a row, so the generator learns nothing more. Try another seed, or a lower learning_rate; "
                "gan.watch.won_d_loss decides."
            )


def check_finite(row: Mapping[str, float]) -> None:
    """Refuse a row with a NaN or infinite value.

    Raises:
        TrainingError: naming the value and the step.
    """
    for name, value in row.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"{name} is {value} at step {row['step']:.0f}: the run diverged. The last checkpoint, from before, is "
                "kept; lower learning_rate, or use precision fp32, and run again."
            )
