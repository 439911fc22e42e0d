"""What the papers print, from `data/reference/*.csv`."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relatent.errors import DataIntegrityError, MissingDataError

COLUMNS = ("row", "column", "printed", "value", "spread", "unit", "decimals", "sureness", "source", "note")
SPREAD_UNCONFIRMED = "quoted elsewhere, spread unconfirmed"
SURENESS = ("paper", "released code", "quoted elsewhere", "unconfirmed", "derived", SPREAD_UNCONFIRMED)


@dataclass(frozen=True)
class PaperNumber:
    """One number of a paper. `rounding` is half a unit of its last printed decimal."""

    row: str
    column: str
    printed: str
    value: float
    spread: float | None
    unit: str
    decimals: int
    sureness: str
    source: str
    note: str

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed decimal: the true value lies within this of the printed one."""
        return 0.5 * 10.0**-self.decimals


def read_reference(path: Path) -> Mapping[tuple[str, str], PaperNumber]:
    """Numbers of one table of a paper, by (row, column).

    Raises:
        MissingDataError, DataIntegrityError: no such file, or not as data/reference/README.md says.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; it is kept in Git: `git checkout {path}`") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        raise DataIntegrityError(f"{path}: its first line must be {','.join(COLUMNS)}")
    numbers: dict[tuple[str, str], PaperNumber] = {}
    for line, row in enumerate(rows[1:], start=2):
        where = f"{path}, line {line}"
        if len(row) != len(COLUMNS):
            raise DataIntegrityError(f"{where}: {len(row)} fields, must be {len(COLUMNS)}")
        values = dict(zip(COLUMNS, row, strict=True))
        if values["sureness"] not in SURENESS:
            raise DataIntegrityError(f"{where}: sureness {values['sureness']!r} is none of {', '.join(SURENESS)}")
        key = (values["row"], values["column"])
        if key in numbers:
            raise DataIntegrityError(f"{where}: {key[0]} / {key[1]} is there twice")
        try:
            number = PaperNumber(
                **{
                    **values,
                    "value": float(values["value"]),
                    "spread": float(values["spread"]) if values["spread"] else None,
                    "decimals": int(values["decimals"]),
                }  # type: ignore[arg-type]
            )
        except ValueError as error:
            raise DataIntegrityError(f"{where}: {error}") from None
        numbers[key] = number
    return numbers
