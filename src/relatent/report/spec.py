"""What a table is made of: its cells, before they have numbers, and its shape on the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from relatent.report.statistics import Better

Unit = Literal["nats", "units", "fraction", "share", "points", "count", "bits", "similarity", "thousandths", "ratio"]


@dataclass(frozen=True)
class Slot:
    """One cell of a table.

    Attributes:
        source: folder of the metrics, `<phase>/<cell>`; empty where the paper's number is only quoted.
        metric: name in metrics.json.
        reference: (file stem, row, column) of the paper's number in data/reference/, if it prints one.
        margin: how far from the paper's value still counts as the same, in the unit.
        same_data: whether the paper's number was measured on this dataset with this protocol.
        any_effort: the number does not depend on how long anything was trained.
        error: (source, metric) of its standard error, where that was measured by itself.
        less: another source whose metric is taken off, image by image: the cell is their paired difference.
    """

    row: str
    column: str
    source: str
    metric: str
    unit: Unit
    better: Better = "lower"
    margin: float = 0.0
    reference: tuple[str, str, str] | None = None
    same_data: bool = False
    any_effort: bool = False
    error: tuple[str, str] | None = None
    less: str = ""


@dataclass(frozen=True)
class PrintedColumn:
    """A column as printed: one column of the CSV, or several joined, like `16+5` active units.

    `at_most`: the paper's number is a bound, and how far ours is from it says nothing. `within`: it is the middle of a
    range, half as wide as its spread says, or without one *about* a number.
    """

    heading: str
    columns: tuple[str, ...]
    group: str = ""
    interval: bool = True
    decimals: int | None = None
    at_most: bool = False
    within: bool = False


@dataclass(frozen=True)
class TableSpec:
    """A table: its words, its cells, its shape.

    Attributes:
        slots: from the sources of a study to the cells, in the order of the CSV.
        printed: columns as printed; empty: the CSV's own.
        row_groups: (heading, prefix of the rows); empty: rows as they are.
        orderings: file stem in data/reference/ of the orderings the paper argues here; empty: none.
        transposed: printed with the CSV's columns as rows, because there are more of them.
        notes_of: notes made from the sources' metrics.
    """

    title: str
    caption: str
    stub: str
    slots: Callable[[Sequence[str]], list[Slot]]
    printed: tuple[PrintedColumn, ...] = ()
    row_groups: tuple[tuple[str, str], ...] = ()
    orderings: str = ""
    transposed: bool = False
    notes: tuple[str, ...] = ()
    notes_of: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda documents: ()

    def is_paired(self, sources: Sequence[str]) -> bool:
        """Whether cells are compared image by image."""
        return bool(self.orderings) or any(slot.less for slot in self.slots(sources))

    def references(self, sources: Sequence[str]) -> list[Path]:
        """Files of data/reference/ that the table quotes."""
        stems = {slot.reference[0] for slot in self.slots(sources) if slot.reference}
        if self.orderings:
            stems.add(self.orderings)
        return [Path("data/reference") / f"{stem}.csv" for stem in sorted(stems)]
