"""Which cell the paper has below which, tested as paired differences on the same images.

Orderings are what papers argue, and they survive a small scale better than values do (DESIGN 4.8).
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relatent.config.report import PageSettings
from relatent.errors import DataIntegrityError
from relatent.report.build import PairedValues, Reference
from relatent.report.cells import TableCell, Verdict, cell_id
from relatent.report.spec import Slot
from relatent.report.statistics import PairedDifference, holm, paired_difference

# Column of an ordering in the table's CSV: the paper argues it in words, or its table only shows it.
ARGUED, SHOWN = "paired difference", "paired difference, not argued"
COLUMNS = (ARGUED, SHOWN)
_COLUMN_OF = {"argued": ARGUED, "shown": SHOWN}

# How the verdict on an ordering reads wherever it is shown: what is compared with the paper is a direction, and if that
# holds, no number is reproduced. The CSV keeps the verdicts that all its rows share.
ORDERING_WORDS: Mapping[str, str] = {"reproduced": "holds", "inconclusive": "undecided", "worse": "reversed"}


@dataclass(frozen=True)
class Ordering:
    """A claim that one cell lies below another; cells are (row, column) of the table.

    Attributes:
        column: ARGUED or SHOWN.
        lower: one cell, or two whose halfway point is meant: *nearer to the first than to the second* is a claim that
            this point lies below `higher`.
    """

    name: str
    claim: str
    column: str
    lower: tuple[tuple[str, str], ...]
    higher: tuple[str, str]
    source: str


def read_orderings(path: Path, tables: Collection[str]) -> list[Ordering]:
    """The claims of a file of data/reference/ that are made of one of the paper's tables.

    Args:
        tables: file stems of the paper's numbers; a claim that names no table is made of all.

    Raises:
        DataIntegrityError: a basis that is neither `argued` nor `shown`.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["tables"] or set(tables) & set(row["tables"].split())]
    for row in rows:
        if row["basis"] not in _COLUMN_OF:
            raise DataIntegrityError(f"{path}: {row['id']}: basis {row['basis']!r} is none of {', '.join(_COLUMN_OF)}")
    return [
        Ordering(
            row["id"],
            row["claim"],
            _COLUMN_OF[row["basis"]],
            tuple((row[f"{end}_row"], row[f"{end}_column"]) for end in ("lower", "halfway_to") if row[f"{end}_row"]),
            (row["higher_row"], row["higher_column"]),
            row["source"],
        )
        for row in rows
    ]


def refuse_other_images(documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Paired differences are of the same binarised images.

    Args:
        documents: source → its metrics, of one table.

    Raises:
        DataIntegrityError: cells were scored on several binarisations of the test images.
    """
    nlls = {source: document.get("nll_nats") or {} for source, document in documents.items()}
    found = {nll["binarisation"]: source for source, nll in nlls.items() if "binarisation" in nll}
    if len(found) > 1:
        (first, one), (other, another), *_ = found.items()
        raise DataIntegrityError(
            f"{one} and {another} were scored on other binarisations of the test images (sha256 {first[:12]} and "
            f"{other[:12]}): their difference is not of models alone. Evaluate one of them again."
        )


def ordering_cells(
    orderings: Sequence[Ordering],
    slots: Sequence[Slot],
    values: PairedValues,
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
    pairs = [([by_place[place] for place in ordering.lower], by_place[ordering.higher]) for ordering in orderings]
    differences = [_difference(lower, higher, values) for lower, higher in pairs]
    p_values = {
        number: found.p_value for number, found in enumerate(differences) if found and found.p_value is not None
    }
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    cells = []
    for number, (ordering, (lower, higher), difference) in enumerate(zip(orderings, pairs, differences, strict=True)):
        paper = _paper_difference(lower, higher, reference)
        common = {
            "row": ordering.name,
            "column": ordering.column,
            "paper": paper,
            "paper_spread": None,
            "paper_sureness": "derived" if paper is not None else "",
            "n_draws": None,
            "unit": higher.unit,
            "cell_id": cell_id(settings.name, ordering.name, ordering.column),
        }
        if difference is None:
            rest = dict.fromkeys(("ours", "ours_low", "ours_high", "n_seeds"))
            blank = dict.fromkeys(("interval", "effort", "preset", "data", "receipt"), "")
            cells.append(TableCell(**common, **rest, **blank, verdict="not run"))  # type: ignore[arg-type]
            continue
        compared = dict.fromkeys(slot.source for slot in (*lower, higher))
        cells.append(
            TableCell(
                **common,  # type: ignore[arg-type]
                ours=difference.mean,
                ours_low=difference.interval.low if difference.interval else None,
                ours_high=difference.interval.high if difference.interval else None,
                interval=difference.interval.over if difference.interval else "",
                n_seeds=difference.n_seeds,
                effort=settings.effort,
                preset=settings.presets.get(higher.source, ""),
                data=higher.source.split("/")[1],
                verdict=_verdict(difference.mean, adjusted.get(number, 1.0)),
                receipt=" ".join(receipts[source] for source in compared),
            )
        )
    return cells


def verdict_words(column: str, verdict: str, tested: bool = True) -> str:
    """A verdict of the CSV as a page says it.

    Args:
        tested: whether the cell has an interval; a difference of one seed has none.
    """
    if column not in COLUMNS or verdict not in ORDERING_WORDS:
        return verdict
    return ORDERING_WORDS[verdict] if tested else "untested"


def _difference(lower: Sequence[Slot], higher: Slot, values: PairedValues) -> PairedDifference | None:
    """Ours; None where a cell was not run."""
    compared = [values.get((slot.source, slot.metric)) for slot in (*lower, higher)]
    found = [value for value in compared if value is not None]
    if len(found) < len(compared):
        return None
    seeds = min(len(value) for value in found)
    *low, high = (value[:seeds] for value in found)
    halfway = (low[0] + low[-1]) / 2  # of one cell, itself
    return paired_difference(halfway, high, step=1.0 if higher.unit == "units" else 0.0)


def _paper_difference(lower: Sequence[Slot], higher: Slot, reference: Reference) -> float | None:
    """That of its printed values; None where one of them is not printed."""
    numbers = [
        reference[slot.reference[0]].get(slot.reference[1:]) if slot.reference else None for slot in (*lower, higher)
    ]
    values = [number.value for number in numbers if number is not None]
    if len(values) < len(numbers):
        return None
    *low, high = values
    return round((low[0] + low[-1]) / 2 - high, 3)  # a halfway point has one decimal more than its ends


def _verdict(difference: float, adjusted_p: float) -> Verdict:
    if adjusted_p >= 0.05:
        return "inconclusive"
    return "reproduced" if difference < 0 else "worse"
