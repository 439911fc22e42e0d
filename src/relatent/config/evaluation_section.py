"""Section `evaluate_nll` of a study. No job reads it, so that a key more makes none of them stale."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from relatent.config.evaluation import (
    AnnealingCell,
    AnnealingValues,
    EvaluationCell,
    EvaluationValues,
    TrainMinusTestCell,
    TrainMinusTestValues,
)
from relatent.config.removed import RemovedCell, RemovedValues
from relatent.config.repeated import RepeatedCell, RepeatedValues

Cells = list[str] | Literal["all"]


class AnnealingSection(AnnealingValues):
    """`evaluate_nll.annealing` of a study."""

    run: list[str] = Field(default=[], description="density cells whose gap is measured")


class TrainMinusTestSection(TrainMinusTestValues):
    """`evaluate_nll.train_minus_test` of a study."""

    run: Cells = Field(default=[], description="density cells whose gap is measured, or `all`")


class RepeatedSection(RepeatedValues):
    """`evaluate_nll.repeated` of a study."""

    run: Cells = Field(default=[], description="density cells whose Monte Carlo error is measured, or `all`")


class RemovedSection(RemovedValues):
    """`evaluate_nll.removed` of a study."""

    run: Cells = Field(default=[], description="density cells that are scored without inactive units, or `all`")


class EvaluationSection(EvaluationValues):
    """Section `evaluate_nll` of a study: every cell of `density.run` is evaluated this way."""

    annealing: AnnealingSection = AnnealingSection()
    train_minus_test: TrainMinusTestSection = TrainMinusTestSection()
    repeated: RepeatedSection = RepeatedSection()
    removed: RemovedSection = RemovedSection()

    def settings_of(self, seeds: list[int]) -> EvaluationCell:
        """The settings of a cell trained with `seeds`."""
        return EvaluationCell(seeds=list(seeds), **self.model_dump(include=set(EvaluationValues.model_fields)))

    def annealing_of(self, cell: str, seeds: Sequence[int]) -> AnnealingCell:
        """The settings of the annealing of a cell trained with `seeds`: its first model."""
        if cell not in self.annealing.run:
            raise ValueError(f"{cell}: not listed in evaluate_nll.annealing.run")
        return AnnealingCell(model_seed=seeds[0], k=self.k, **self.annealing.model_dump(exclude={"run"}))

    def train_minus_test_of(self, seeds: Sequence[int]) -> TrainMinusTestCell:
        """The settings of the gap of a cell trained with `seeds`."""
        return TrainMinusTestCell(seeds=list(seeds), k=self.k, **self.train_minus_test.model_dump(exclude={"run"}))

    def repeated_of(self, seeds: Sequence[int]) -> RepeatedCell:
        """The settings of the repetition of a cell trained with `seeds`."""
        own = self.repeated.model_dump(exclude={"run"})
        return RepeatedCell(seeds=list(seeds), k=self.k, precision=self.precision, **own)

    def removed_of(self, seeds: Sequence[int]) -> RemovedCell:
        """The settings of the removal of a cell's units, trained with `seeds`."""
        own = self.removed.model_dump(exclude={"run"})
        return RemovedCell(seeds=list(seeds), k=self.k, seed=self.seed, precision=self.precision, **own)
