"""A table as data: one `TableCell` per printed number, one CSV per table (DESIGN section 5, "Tables")."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from relatent.errors import DataIntegrityError
from relatent.ledger.files import write_text

Verdict = Literal["reproduced", "better", "worse", "inconclusive", "not comparable", "not run", "quoted"]
ADOPTED = "adopted"  # ends the preset of a cell that came in with its receipts
VERDICTS: tuple[str, ...] = get_args(Verdict)


@dataclass(frozen=True)
class TableCell:
    """One number of ours, one of the paper, or both. `None` is an empty field of the CSV.

    `ours_low` and `ours_high` are the ends of a 95 % interval; `interval` says over what: seeds, draws, monte carlo,
    test sampling, regression, images scored twice. `unit` fraction is a fraction here and a percentage in print; points
    are a difference of fractions, in print percentage points.
    """

    row: str
    column: str
    paper: float | None
    paper_spread: float | None
    paper_sureness: str
    ours: float | None
    ours_low: float | None
    ours_high: float | None
    interval: str
    n_seeds: int | None
    n_draws: int | None
    unit: str
    effort: str
    preset: str
    data: str
    verdict: Verdict
    cell_id: str
    receipt: str

    @property
    def difference(self) -> float | None:
        """Ours less the paper's; None where there are not both."""
        return None if self.ours is None or self.paper is None else self.ours - self.paper


COLUMNS = tuple(field.name for field in fields(TableCell))
NUMBERS = ("paper", "paper_spread", "ours", "ours_low", "ours_high")
COUNTS = ("n_seeds", "n_draws")


def cell_id(table: str, row: str, column: str) -> str:
    """Name of a cell, fit for a link: `iwae_table1_digits.l1-k-50.iwae-nll`."""
    return ".".join((table, *(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in (row, column))))


def csv_text(cells: Iterable[TableCell]) -> str:
    """The table as CSV; floats as the shortest text that gives them back."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in cells:
        writer.writerow("" if value is None else value for value in asdict(cell).values())
    return text.getvalue()


def write_cells(path: Path, cells: Iterable[TableCell]) -> None:
    """Write a table's CSV."""
    write_text(path, csv_text(cells))


def read_cells(path: Path) -> list[TableCell]:
    """Read a table's CSV.

    Raises:
        DataIntegrityError: other columns, a number that is none, an unknown verdict.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise DataIntegrityError(f"{path}: not a table of relatent: its first line must be {','.join(COLUMNS)}")
    return [_cell(row, f"{path}, line {number}") for number, row in enumerate(rows[1:], start=2)]


def _cell(row: Sequence[str], where: str) -> TableCell:
    if len(row) != len(COLUMNS):
        raise DataIntegrityError(f"{where}: {len(row)} fields, must be {len(COLUMNS)}. Make the table again.")
    values = dict(zip(COLUMNS, row, strict=True))
    if values["verdict"] not in VERDICTS:
        raise DataIntegrityError(f"{where}: verdict {values['verdict']!r} is none of {', '.join(VERDICTS)}")
    try:
        numbers = {name: float(values[name]) if values[name] else None for name in NUMBERS}
        counts = {name: int(values[name]) if values[name] else None for name in COUNTS}
    except ValueError as error:
        raise DataIntegrityError(f"{where}: {error}. Make the table again.") from None
    return TableCell(**{**values, **numbers, **counts})  # type: ignore[arg-type]
