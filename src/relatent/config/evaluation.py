"""Settings of `evaluate_nll` and of `sample_density`: every trained density cell is evaluated and sampled."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from relatent.config.base import Settings

Precision = Literal["float32", "bfloat16"]

LEAST_SCORED = 3  # images of a regression: the scatter about a line needs a third point


def _unique(seeds: list[int]) -> list[int]:
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise ValueError(f"seed {twice[0]} is given twice")
    return seeds


class EvaluationValues(Settings):
    """How a density cell is evaluated."""

    k: int = Field(default=5000, ge=1, description="importance samples per image of L_k (Burda et al. 2016: 5000)")
    seed: int = Field(default=123, ge=0, description="of the noise of the evaluation (released code: 123)")
    test_images: int | None = Field(default=None, ge=1, description="the first so many test images; null: all")
    train_images: int | None = Field(
        default=0, ge=0, description="training images whose L_k is computed; 0: none, null: all"
    )
    activity_images: int | None = Field(
        default=None, ge=2, description="training images that the variance of an active unit is taken over; null: all"
    )
    activity_samples: int = Field(default=50, ge=2, description="draws of z1 per image for the active units of layer 2")
    precision: Precision = Field(
        default="float32", description="of the products; bfloat16 is faster, and named beside every number"
    )
    threads: int = Field(default=1, ge=1, le=256, description="images worked on side by side; no trace in the numbers")


class EvaluationCell(EvaluationValues):
    """What one cell's evaluation depends on."""

    seeds: list[int] = Field(min_length=1, description="of the trained models")

    @field_validator("seeds")
    @classmethod
    def _seeds_once(cls, seeds: list[int]) -> list[int]:
        return _unique(seeds)


class AnnealingValues(Settings):
    """How the gap of L_k is measured by annealed importance sampling."""

    images: int = Field(default=100, ge=LEAST_SCORED, description="so many test images, drawn")
    simulated: int = Field(
        default=100, ge=0, description="images drawn from the model, bounded from above too; 0: none"
    )
    temperatures: int = Field(
        default=1000, ge=1, description="steps of a chain (Wu et al. 2017: 10,000 from the prior)"
    )
    chains: int = Field(default=16, ge=1, description="per image (Wu et al. 2017: 16)")
    pilot_chains: int = Field(default=4, ge=1, description="chains that only tune the step sizes")
    start: Literal["prior", "q"] = Field(
        default="q", description="what chains start from; q needs a tenth of the steps"
    )
    schedule: Literal["linear", "sigmoid"] = Field(default="sigmoid", description="of the temperatures")
    seed: int = Field(default=123, ge=0, description="of all noise")
    threads: int = Field(default=1, ge=1, description="torch's threads; bits depend on it")


class AnnealingCell(AnnealingValues):
    """What one cell's annealing depends on: one of its models, and the k of the bound it is set beside."""

    model_seed: int = Field(ge=0, description="which of the cell's trained models")
    k: int = Field(ge=1, description="samples of the bound")


class TrainMinusTestValues(Settings):
    """How the gap between training and test likelihood is taken to all training images."""

    control_k: int = Field(default=50, ge=1, description="samples of the cheap bound of every training image")
    seed: int = Field(default=123, ge=0, description="of its noise")
    threads: int = Field(default=1, ge=1, description="torch's threads; bits depend on it")


class TrainMinusTestCell(TrainMinusTestValues):
    """What one cell's gap depends on: all its models, and the k of the bound."""

    seeds: list[int] = Field(min_length=1, description="of the trained models")
    k: int = Field(ge=1, description="samples of the bound")


class PosteriorGridCell(Settings):
    """What the true posteriors of a model of two latents depend on."""

    model_seed: int = Field(ge=0, description="which of the cell's trained models")
    images: int = Field(default=6, ge=1, le=100, description="training images (Burda et al. 2016, fig. 2: 6)")
    points: int = Field(default=141, ge=21, le=1001, description="along each axis of the first grid")
    reach: float = Field(default=7.0, gt=0, description="the grid goes from -reach to reach")
    q_samples: int = Field(default=5, ge=1, description="reconstructions of each image from draws of q")
    seed: int = Field(default=0, ge=0, description="of those draws")
    threads: int = Field(default=1, ge=1, description="torch's threads")


class DensitySampleCell(Settings):
    """What one cell's samples depend on: those of one of its seeds."""

    model_seed: int = Field(ge=0, description="which of the cell's trained models")
    n_samples: int = Field(default=64, ge=1, le=100_000, description="images drawn from the prior")
    paths: int = Field(default=8, ge=1, description="pairs of latents joined by a path")
    path_steps: int = Field(default=10, ge=2, description="images along a path, ends included")
    seed: int = Field(default=0, ge=0, description="of the noise")
    threads: int = Field(default=1, ge=1, description="torch's threads")


def sample_cell(shared: Mapping[str, Any], seeds: Sequence[int]) -> DensitySampleCell:
    """The settings of the samples of a cell trained with `seeds`: its first model, and what `sample` says of it."""
    own = {name: value for name, value in shared.items() if name in DensitySampleCell.model_fields}
    return DensitySampleCell(model_seed=seeds[0], **own)
