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
from relatent.report.statistics import PairedDifference, holm, paired_difference

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
    """The claims of data/reference/iwae_orderings.csv."""
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
    per_image_nll: Mapping[str, "np.ndarray"],
    receipts: Mapping[str, str],
    reference: Reference,
    settings: PageSettings,
) -> list[TableCell]:
    """One cell per ordering: the mean paired difference in nats, negative where the paper's ordering holds.

    Verdicts use Holm's adjustment over the orderings that could be tested: *reproduced* is a difference below zero at
    5 %, *worse* one above zero, *inconclusive* neither.

    Args:
        per_image_nll: source → (seed, image), nats.
    """
    by_place = {(slot.row, slot.column): slot for slot in slots}
    pairs = [(by_place[ordering.lower], by_place[ordering.higher]) for ordering in orderings]
    differences = [
        paired_difference(per_image_nll[lower.source], per_image_nll[higher.source])
        if lower.source in per_image_nll and higher.source in per_image_nll
        else None
        for lower, higher in pairs
    ]
    adjusted = iter(holm([difference.p_value for difference in differences if difference]))
    cells = []
    for ordering, (lower, higher), difference in zip(orderings, pairs, differences, strict=True):
        paper = _paper_difference(lower, higher, reference)
        common = {
            "row": ordering.name,
            "column": COLUMN,
            "paper": paper,
            "paper_spread": None,
            "paper_sureness": "derived" if paper is not None else "",
            "n_draws": None,
            "unit": "nats",
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
                ours_low=difference.interval.low,
                ours_high=difference.interval.high,
                interval=difference.interval.over,
                n_seeds=difference.n_seeds,
                effort=settings.effort,
                preset=settings.presets.get(lower.source, ""),
                data=lower.source.split("/")[1],
                verdict=_verdict(difference, next(adjusted)),
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


def _verdict(difference: PairedDifference, adjusted_p: float) -> Verdict:
    if adjusted_p >= 0.05:
        return "inconclusive"
    return "reproduced" if difference.mean < 0 else "worse"
