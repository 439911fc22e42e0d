"""The paper's learning-rate schedule, and the two presets: what the paper says and what its released code does.

The presets differ in seven places that change results (specs/iwae.md, section 3), the fields of `Preset`: Adam's betas;
its second moment at the start, the place of its epsilon and the step whose moments it moves by (`adam`); the rounding
of rates; the order of images; the initialisation. `paper` is the default because it is what a reader of the paper would
build, and every table says which one made its numbers. Where else paper and code disagree no preset decides:
config/README.md says what does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

# Burda et al. 2016, sec. 5: stage i = 0..7 passes 3^i times over the data at learning rate 0.001 * 10^(-i/7).
STAGES = 8


@dataclass(frozen=True)
class Preset:
    """One reading of the training procedure.

    Args:
        betas: of Adam.
        adam: "corrected" divides by sqrt(v / (1 - beta2^t)) + eps with v from 0 (torch's form); "released" divides by
            sqrt(v) + eps with v from 1, moves by the moments of the step before, and has both corrections in its rate.
        rounded_rates: learning rates rounded to one decimal of 1e-4.
        order: of the images in an epoch.
        tied_layers: all layers drawn from one and the same stream, so that equal shapes start equal.
    """

    betas: tuple[float, float]
    adam: Literal["corrected", "released"]
    rounded_rates: bool
    order: Literal["reshuffled", "fixed"]
    tied_layers: bool


PRESETS = {
    "paper": Preset((0.9, 0.999), "corrected", rounded_rates=False, order="reshuffled", tied_layers=False),
    # yburda/iwae @ 78a6075: optimizers.py (a beta1 of 0.99, second moment at one), experiment.py (rates, fixed order).
    "code": Preset((0.99, 0.999), "released", rounded_rates=True, order="fixed", tied_layers=True),
}


class Stage(NamedTuple):
    """So many epochs at one learning rate."""

    epochs: int
    learning_rate: float


def learning_rate(stage: int, preset: str) -> float:
    """Rate of stage i: 0.001 * 10^(-i/7); in `code` rounded to 10, 7.2, 5.2, 3.7, 2.7, 1.9, 1.4, 1.0 times 1e-4."""
    rate = 10 ** (1 - stage / (STAGES - 1))  # in units of 1e-4
    return (round(rate, 1) if PRESETS[preset].rounded_rates else rate) * 1e-4


def schedule(preset: str, stages: int | None = None, epochs: int | None = None) -> list[Stage]:
    """The first `stages` stages of the paper's schedule, or as much of it as lasts `epochs` epochs.

    Raises:
        ValueError: neither or both are given, or there are no so many stages.
    """
    if (stages is None) == (epochs is None):
        raise ValueError("give either stages or epochs, not both")
    whole = [Stage(3**i, learning_rate(i, preset)) for i in range(STAGES)]
    if stages is not None:
        if not 1 <= stages <= STAGES:
            raise ValueError(f"stages is {stages}; the schedule has 1 to {STAGES}")
        return whole[:stages]
    assert epochs is not None
    cut = []
    for stage in whole:
        if epochs > 0:
            cut.append(Stage(min(stage.epochs, epochs), stage.learning_rate))
            epochs -= stage.epochs
    if epochs > 0:
        raise ValueError(f"the schedule ends {epochs} epochs earlier than the epochs asked for")
    return cut


def switch_schedule(before: Sequence[Stage]) -> list[Stage]:
    """Table 2: after the switch of objective, the last stage once more (there 2,187 epochs at 1e-4)."""
    return [before[-1]]


def total_epochs(stages: Sequence[Stage]) -> int:
    """Epochs of a schedule; 3,280 for the paper's."""
    return sum(stage.epochs for stage in stages)
