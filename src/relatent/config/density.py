"""Settings of `train_density`: the section of a study, and what one cell depends on.

A cell's name says what it is: `<dataset>/<objective>-L<layers>-k<k>`, then a suffix for each departure from the
study's defaults: `code` or `paper` (preset), `stl`, `dreg`, `single` (estimator), `kl` (analytic KL), `2d` (two latent
dimensions), and last `to-<objective>-k<k>`, the switch of objective of the paper's table 2.
"""

import re
from typing import Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings

Objective = Literal["vae", "iwae"]
PresetName = Literal["paper", "code"]
EstimatorName = Literal["plain", "stl", "dreg", "single", "kl"]

NAME = re.compile(
    r"(?P<dataset>[a-z0-9_]+)/(?P<objective>vae|iwae)-L(?P<layers>[12])-k(?P<k>0|[1-9][0-9]*)(?P<suffixes>(-[a-z0-9]+)*?)"
    r"(-to-(?P<to_objective>vae|iwae)-k(?P<to_k>0|[1-9][0-9]*))?"
)
PRESETS: tuple[PresetName, ...] = ("paper", "code")
ESTIMATORS: tuple[EstimatorName, ...] = ("stl", "dreg", "single", "kl")
MISMATCHES: dict[tuple[Objective, EstimatorName], str] = {
    ("vae", "dreg"): "DReG of the VAE's bound is STL; use stl",
    ("iwae", "kl"): "the analytic KL belongs to the VAE's bound; the IWAE's has no such form",
}


class DensityCell(Settings):
    """What one cell's training depends on, its data aside."""

    objective: Objective
    layers: Literal[1, 2]
    k: int = Field(ge=1, description="importance samples per image")
    latents: list[int] | None = Field(None, description="units per stochastic layer from z1 up; the paper's if null")
    stages: int | None = Field(None, ge=1, le=8, description="the schedule's first stages")
    epochs: int | None = Field(None, ge=1, le=3280, description="or its first epochs")
    batch_size: int = Field(20, ge=1)
    preset: PresetName = "paper"
    estimator: EstimatorName = "plain"
    seeds: list[int] = Field(min_length=1)
    threads: int = Field(1, ge=1)
    device: Literal["cpu", "cuda"] = "cpu"
    with_validation: bool = Field(False, description="the validation split is trained on too")
    switched: bool = Field(False, description="goes on from another cell, for the length of the last stage")

    @model_validator(mode="after")
    def _estimator_of_the_objective(self) -> "DensityCell":
        if (self.objective, self.estimator) in MISMATCHES:
            raise ValueError(MISMATCHES[self.objective, self.estimator])
        return self


class DensityCellName(Settings):
    """A cell's name, taken apart."""

    dataset: str
    objective: Objective
    layers: Literal[1, 2]
    k: int
    preset: PresetName | None
    estimator: EstimatorName
    two_d: bool
    switch: tuple[Objective, int] | None

    @classmethod
    def parse(cls, cell: str) -> "DensityCellName":
        """Take `cell` apart.

        Raises:
            ValueError: it is not a cell's name, or names something that does not exist.
        """
        found = NAME.fullmatch(cell)
        if found is None:
            raise ValueError(
                f"{cell!r} is not the name of a density cell; write <dataset>/<objective>-L<layers>-k<k>, such as "
                "digits/iwae-L2-k50, with suffixes code, stl, dreg, single, kl, 2d, to-<objective>-k<k>"
            )
        suffixes = [suffix for suffix in found["suffixes"].split("-") if suffix]
        unknown = [name for name in suffixes if name not in (*PRESETS, *ESTIMATORS, "2d")]
        if unknown or len(set(suffixes)) < len(suffixes):
            raise ValueError(f"{cell}: suffix {(unknown or suffixes)[0]!r} is unknown or given twice")
        presets = [name for name in PRESETS if name in suffixes]
        estimators = [name for name in ESTIMATORS if name in suffixes]
        if len(presets) > 1 or len(estimators) > 1:
            raise ValueError(f"{cell}: names two presets or two estimators; a cell has one of each")
        switch = (found["to_objective"], int(found["to_k"])) if found["to_k"] else None
        name = cls.model_validate(
            {
                "dataset": found["dataset"],
                "objective": found["objective"],
                "layers": int(found["layers"]),
                "k": int(found["k"]),
                "preset": presets[0] if presets else None,
                "estimator": estimators[0] if estimators else "plain",
                "two_d": "2d" in suffixes,
                "switch": switch,
            }
        )
        name._check(cell)
        return name

    def _check(self, cell: str) -> None:
        for objective, k in [(self.objective, self.k), *([self.switch] if self.switch else [])]:
            if k == 0:
                raise ValueError(f"{cell}: k is 0; a bound needs at least one sample per image")
            if objective == "iwae" and k == 1:
                raise ValueError(f"{cell}: IWAE with k=1 is the VAE; name the cell vae-…-k1, tables show it under both")
            if (objective, self.estimator) in MISMATCHES:
                raise ValueError(f"{cell}: {MISMATCHES[objective, self.estimator]}")
        if self.two_d and self.layers == 2:
            raise ValueError(f"{cell}: two latent dimensions (2d) are of one-layer models, as in the paper's figure 2")


class DensitySection(Settings):
    """Section `density` of a study: its cells, and the settings they share."""

    run: list[str] = Field([], description="cells in the graph")
    adopted: list[str] = Field(
        [], description="cells made elsewhere and taken in with their receipts; not in the graph"
    )
    seeds: list[int] = Field([0], min_length=1, description="one model per seed; a seed's bits depend on no other")
    stages: int | None = Field(None, ge=1, le=8, description="stages 0 … n-1 of the paper's schedule, 3^i epochs each")
    epochs: int | None = Field(None, ge=1, le=3280, description="or the schedule's first so many epochs")
    batch_size: int = Field(20, ge=1, description="images per step")
    preset: PresetName = Field("paper", description="paper or code: specs of optimiser, order and initialisation")
    threads: int = Field(1, ge=1, description="torch's threads; bits depend on it")
    device: Literal["cpu", "cuda"] = Field("cpu", description="cuda trains all seeds of a cell at once")
    with_validation: bool = Field(
        False, description="train on the validation split too: MNIST's 60,000 of the paper's text; its code has 59,600"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "DensitySection":
        if len(set(self.seeds)) < len(self.seeds):
            twice = sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1})
            raise ValueError(f"seeds: {twice[0]} is given twice; name each once")
        if any(seed < 0 for seed in self.seeds):
            raise ValueError("seeds: one is negative; seeds are whole numbers from 0")
        listed = [*self.run, *self.adopted]
        twice_named = sorted({cell for cell in listed if listed.count(cell) > 1})
        if twice_named:
            raise ValueError(f"{twice_named[0]} is listed twice; name each cell once, under run or under adopted")
        if listed and (self.stages is None) == (self.epochs is None):
            raise ValueError("give either stages or epochs, the part of the paper's schedule that is run")
        trained: dict[str, str] = {}
        for cell in listed:
            work = f"{cell.partition('/')[0]} {self.starts_from(cell)} {self.settings_of(cell).model_dump_json()}"
            if work in trained:
                raise ValueError(f"{cell} is {trained[work]} by another name: the same settings; name it once")
            trained[work] = cell
        for cell in listed:
            estimator = DensityCellName.parse(cell).estimator
            if cell in self.run and self.device == "cuda" and estimator != "plain":
                raise ValueError(
                    f"{cell}: the estimator {estimator} trains on the CPU only, and device is cuda; list the cell in a "
                    "study with device: cpu, or under adopted once it was trained there"
                )
            first = self.starts_from(cell)
            if cell in self.run and first is not None and first not in listed:
                raise ValueError(f"{cell} goes on from {first}, which is listed neither under run nor under adopted")
        return self

    def cells(self) -> list[str]:
        """The `run:` list, as written."""
        return list(self.run)

    def starts_from(self, cell: str) -> str | None:
        """The cell whose trained model `cell` goes on from, or None."""
        return cell.partition("-to-")[0] if "-to-" in cell else None

    def settings_of(self, cell: str) -> DensityCell:
        """The settings of one cell."""
        name = DensityCellName.parse(cell)
        objective, k = name.switch or (name.objective, name.k)
        return DensityCell(
            objective=objective,
            layers=name.layers,
            k=k,
            latents=[2] if name.two_d else None,
            stages=self.stages,
            epochs=self.epochs,
            batch_size=self.batch_size,
            preset=name.preset or self.preset,
            estimator=name.estimator,
            seeds=list(self.seeds),
            threads=self.threads,
            device=self.device,
            with_validation=self.with_validation,
            switched=name.switch is not None,
        )
