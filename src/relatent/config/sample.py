"""Settings of the sample phase: images from trained models, and how good a GAN's are."""

from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings
from relatent.config.gan import CONDITIONAL_NETS, NET_NAMES, GanSection


class SampleSettings(Settings):
    """One cell's settings."""

    n_samples: int = Field(default=64, ge=64, description="images kept in samples.npy")
    judged_samples: int = Field(default=2000, ge=64, description="GAN samples behind the measures of quality")
    paths: int = Field(default=8, ge=2, description="pairs of z joined by a path")
    path_steps: int = Field(default=10, ge=3, description="images along a path, ends included")
    seed: int = Field(default=0, ge=0, description="keys z")
    threads: int = Field(default=1, ge=1, description="torch's threads")


class SampleSection(SampleSettings):
    """The sample section of a study: trained cells to sample from, and the settings they share."""

    run: list[str] = Field(default=[], description="cells of density or gan, as written there")
    nearest_neighbour: list[str] = Field(default=[], description="conditional gan cells that train a 1-NN classifier")
    nn_samples: list[int] = Field(default=[50_000], description="samples the classifier is trained on")

    @model_validator(mode="after")
    def _cells_make_sense(self) -> "SampleSection":
        for key, cells in (("run", self.run), ("nearest_neighbour", self.nearest_neighbour)):
            twice = [cell for cell, count in Counter(cells).items() if count > 1]
            if twice:
                raise ValueError(f"{key} lists {', '.join(twice)} twice; name each cell once")
        if not self.nn_samples or min(self.nn_samples) < 1 or len(set(self.nn_samples)) < len(self.nn_samples):
            raise ValueError("nn_samples must hold different numbers, 1 at least")
        for cell in self.nearest_neighbour:
            if not cell.partition("/")[2].startswith(CONDITIONAL_NETS):
                raise ValueError(
                    f"{cell}: only a conditional net ({', '.join(CONDITIONAL_NETS)}) can train a classifier"
                )
        for cell in self.run:
            if cell.count("/") != 1:
                raise ValueError(f"{cell}: a cell is <dataset>/<name>, such as digits32/svhn32-w16")
        return self

    def cells(self) -> list[str]:
        """All cells, as written."""
        return list(self.run)

    def gan_cells(self) -> list[str]:
        """Those whose name begins with a GAN's net."""
        return [cell for cell in self.run if cell.partition("/")[2].startswith(NET_NAMES)]

    def density_cells(self) -> list[str]:
        """The others: density models."""
        return [cell for cell in self.run if cell not in self.gan_cells()]

    def settings_of(self, cell: str) -> SampleSettings:
        """The resolved settings of one cell."""
        if cell not in self.run:
            raise ValueError(f"{cell}: not listed in sample.run")
        return SampleSettings.model_validate({name: getattr(self, name) for name in SampleSettings.model_fields})


class GanSampleSettings(SampleSettings):
    """One GAN cell's settings, with what its net must be told to be built again, and what it was trained on."""

    net: str
    validation: int
    z_prior: Literal["uniform", "normal"]
    batch_norm_eps: float


class NearestNeighbourSettings(Settings):
    """One cell's settings of the 1-NN classifier trained on samples."""

    nn_samples: list[int]
    seed: int
    threads: int
    net: str
    validation: int
    z_prior: Literal["uniform", "normal"]
    batch_norm_eps: float


def nearest_neighbour_settings(sample: SampleSection, gan: GanSection, cell: str) -> NearestNeighbourSettings:
    """The resolved settings of one cell of `nearest_neighbour`."""
    trained = gan.settings_of(cell)
    return NearestNeighbourSettings(
        nn_samples=sorted(sample.nn_samples),
        seed=sample.seed,
        threads=sample.threads,
        net=trained.net,
        validation=trained.validation,
        z_prior=trained.z_prior,
        batch_norm_eps=trained.batch_norm_eps,
    )


def gan_sample_settings(sample: SampleSection, gan: GanSection, cell: str) -> GanSampleSettings:
    """The resolved settings of sampling from one GAN cell."""
    trained = gan.settings_of(cell)
    values = sample.settings_of(cell).model_dump()
    return GanSampleSettings(
        **values,
        net=trained.net,
        validation=trained.validation,
        z_prior=trained.z_prior,
        batch_norm_eps=trained.batch_norm_eps,
    )
