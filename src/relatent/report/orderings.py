"""What the paper argues about which cell is below which, tested as paired differences on the same images.

Orderings are what papers argue, and they survive a small scale better than values do (DESIGN 4.8).
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relatent.config.report import PageSettings
from relatent.report.build import Reference
from relatent.report.cells import TableCell, Verdict, cell_id
from relatent.report.spec import Slot
from relatent.report.statistics import holm, paired_difference

if TYPE_CHECKING:
    import numpy as np

COLUMN = "paired difference"


@dataclass(frozen=True)
class Ordering:
    """A claim that one cell lies below another; cells are (row, column) of the table."""

    name: str
    claim: str
    lower: tuple[str, str]
    higher: tuple[str, str]
    source: str


def read_orderings(path: Path) -> list[Ordering]:
    """The claims of a file of data/reference/."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Ordering(
                row["id"],
                row["claim"],
                (row["lower_row"], row["lower_column"]),
                (row["higher_row"], row["higher_column"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        ]


def ordering_cells(
    orderings: Sequence[Ordering],
    slots: Sequence[Slot],
    values: Mapping[tuple[str, str], "np.ndarray"],
    receipts: Mapping[str, str],
    reference: Reference,
    settings: PageSettings,
) -> list[TableCell]:
    """One cell per ordering: the mean paired difference, negative where the paper's ordering holds.

    Verdicts use Holm's adjustment over the orderings that could be tested: *reproduced* is a difference below zero at
    5 %, *worse* one above zero, *inconclusive* neither, or a difference that one seed is too few to test.

    Args:
        values: (source, metric) → (seed, image) or (seed, 1), in the unit of the metric.
    """
    by_place = {(slot.row, slot.column): slot for slot in slots}
    pairs = [(by_place[ordering.lower], by_place[ordering.higher]) for ordering in orderings]
    differences = [
        paired_difference(
            values[lower.source, lower.metric],
            values[higher.source, higher.metric],
            step=1.0 if lower.unit == "units" else 0.0,
        )
        if (lower.source, lower.metric) in values and (higher.source, higher.metric) in values
        else None
        for lower, higher in pairs
    ]
    p_values = {
        number: found.p_value for number, found in enumerate(differences) if found and found.p_value is not None
    }
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    cells = []
    for number, (ordering, (lower, higher), difference) in enumerate(zip(orderings, pairs, differences, strict=True)):
        paper = _paper_difference(lower, higher, reference)
        common = {
            "row": ordering.name,
            "column": COLUMN,
            "paper": paper,
            "paper_spread": None,
            "paper_sureness": "derived" if paper is not None else "",
            "n_draws": None,
            "unit": lower.unit,
            "cell_id": cell_id(settings.name, ordering.name, COLUMN),
        }
        if difference is None:
            rest = dict.fromkeys(("ours", "ours_low", "ours_high", "n_seeds"))
            blank = dict.fromkeys(("interval", "effort", "preset", "data", "receipt"), "")
            cells.append(TableCell(**common, **rest, **blank, verdict="not run"))  # type: ignore[arg-type]
            continue
        cells.append(
            TableCell(
                **common,  # type: ignore[arg-type]
                ours=difference.mean,
                ours_low=difference.interval.low if difference.interval else None,
                ours_high=difference.interval.high if difference.interval else None,
                interval=difference.interval.over if difference.interval else "",
                n_seeds=difference.n_seeds,
                effort=settings.effort,
                preset=settings.presets.get(lower.source, ""),
                data=lower.source.split("/")[1],
                verdict=_verdict(difference.mean, adjusted.get(number, 1.0)),
                receipt=f"{receipts[lower.source]} {receipts[higher.source]}",
            )
        )
    return cells


def _paper_difference(lower: Slot, higher: Slot, reference: Reference) -> float | None:
    values = []
    for slot in (lower, higher):
        number = reference[slot.reference[0]].get(slot.reference[1:]) if slot.reference else None
        if number is None:
            return None
        values.append(number.value)
    return round(values[0] - values[1], 2)


def _verdict(difference: float, adjusted_p: float) -> Verdict:
    if adjusted_p >= 0.05:
        return "inconclusive"
    return "reproduced" if difference < 0 else "worse"
