"""The chain behind a number: from a table's cell through the receipts to the raw files.

A receipt names what it read by path and sha256; the receipt that names the same path as its output is the step before.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relatent.errors import ConfigError, DataIntegrityError, MissingDataError
from relatent.ledger.files import read_json, sha256_of
from relatent.ledger.jobs import is_receipt
from relatent.ledger.receipts import FileRecord, Receipt, read_receipt
from relatent.ledger.remedies import Remedies


@dataclass(frozen=True)
class Cell:
    """One cell of a table's CSV; `values` has all its fields, as text."""

    table: str
    values: Mapping[str, str]

    @property
    def receipts(self) -> list[str]:
        """Receipts behind the cell; none where the number is only quoted or the cell was not run."""
        return self.values.get("receipt", "").split()


@dataclass(frozen=True)
class Step:
    """One job in a chain, with the steps that made what it read. `sources` are inputs kept in Git."""

    path: str
    receipt: Receipt
    before: tuple["Step", ...] = ()
    sources: tuple[FileRecord, ...] = ()


@dataclass
class ReceiptBook:
    """All receipts of a study and of the shared data, and which of them made a file."""

    receipts: dict[str, Receipt] = field(default_factory=dict)
    makers: dict[str, str] = field(default_factory=dict)
    remedies: Remedies = field(default_factory=Remedies)

    @classmethod
    def of_study(cls, study: str, remedies: Remedies | None = None) -> "ReceiptBook":
        """Read every receipt below results/<study>/, data/raw/ and data/prepared/.

        Raises:
            DataIntegrityError: one is damaged.
        """
        book = cls(remedies=remedies or Remedies())
        for path in receipt_paths(study):
            book.add(path.as_posix(), book.read(path))
        return book

    def read(self, path: Path) -> Receipt:
        """A receipt; if it is damaged, the error has the study's remedy."""
        try:
            return read_receipt(path)
        except DataIntegrityError as error:
            raise DataIntegrityError(
                f"{str(error).partition('. ')[0]}. {self.remedies.changed(path.as_posix())}"
            ) from None

    def add(self, path: str, receipt: Receipt) -> None:
        """Take in one receipt."""
        self.receipts[path] = receipt
        self.makers.update({record.path: path for record in receipt.outputs})

    def chain(self, path: str) -> Step:
        """The step of a receipt, and all before it.

        Raises:
            DataIntegrityError: a step read other bytes than the step before says it made, or reads its own output.
        """
        return self._step(path, ())

    def _step(self, path: str, below: tuple[str, ...]) -> Step:
        if path in below:
            raise DataIntegrityError(f"{path}: its receipt is made from itself. {self.remedies.changed(path)}")
        receipt = self.receipts.get(path) or self.read(Path(path))
        before: dict[str, None] = {}
        sources = []
        for record in receipt.inputs:
            maker = self.makers.get(record.path)
            if maker is None:
                sources.append(record)
                continue
            made = self.receipts[maker].output(Path(record.path))
            if made is None or made.sha256 != record.sha256:
                raise DataIntegrityError(
                    f"{path}: was made from a {record.path} of sha256 {record.sha256[:12]}…, but {maker} made one of "
                    f"{made.sha256[:12] if made else '?'}…. {self.remedies.stale(path)}"
                )
            before[maker] = None
        steps = tuple(self._step(maker, (*below, path)) for maker in before)
        return Step(path, receipt, steps, tuple(sources))


def receipt_paths(study: str) -> Iterator[Path]:
    """Every receipt of a study and of the shared data, in order."""
    for root in (Path("results") / study, Path("data/raw"), Path("data/prepared")):
        yield from sorted(path for path in root.rglob("*receipt.json") if is_receipt(path.as_posix()))


def table_path(study: str, table: str) -> Path:
    """A table's CSV.

    Raises:
        MissingDataError: no such table.
    """
    path = Path("results") / study / "tables" / f"{table}.csv"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.csv"))) or "none yet"
        raise MissingDataError(f"{path}: no such table; {study} has {there}")
    return path


def read_table(path: Path, remedies: Remedies | None = None) -> list[Cell]:
    """All cells of a table's CSV.

    Raises:
        DataIntegrityError: not a tidy table.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"row", "column", "ours", "receipt"} <= set(rows[0]):
        remedy = (remedies or Remedies()).changed(path.as_posix())
        raise DataIntegrityError(f"{path}: not a tidy table of relatent. {remedy}")
    return [Cell(path.stem, {key: value or "" for key, value in row.items() if key}) for row in rows]


def plain(text: str) -> str:
    """A name as it is compared: whatever the case of letters, the spaces and the strokes between a page's columns."""
    return " ".join(text.lower().replace("|", " ").split())


def find_cell(cells: Sequence[Cell], row: str, column: str) -> Cell:
    """The cell in a row and column, by their names in the CSV.

    Raises:
        ConfigError: there is none; the message has those there are.
    """
    found = [cell for cell in cells if plain(cell.values["row"]) == plain(row)]
    if not found:
        rows = dict.fromkeys(cell.values["row"] for cell in cells)
        raise ConfigError(f"no row {row!r}; the table has {_quoted(rows)}")
    for cell in found:
        if plain(cell.values["column"]) == plain(column):
            return cell
    columns = dict.fromkeys(cell.values["column"] for cell in found)
    raise ConfigError(f"no column {column!r} in row {row!r}; it has {_quoted(columns)}")


def _quoted(names: Mapping[str, None]) -> str:
    return ", ".join(repr(name) for name in names)


def metrics_behind(cell: Cell, receipt: Receipt) -> list[tuple[str, str]]:
    """(file, metric) pairs among a receipt's outputs whose value is the cell's number."""
    try:
        number = float(cell.values["ours"])
    except ValueError:
        return []
    found = []
    for record in receipt.outputs:
        if record.path.endswith(".json") and Path(record.path).is_file():
            metrics = read_json(Path(record.path))
            for name, metric in metrics.items() if isinstance(metrics, dict) else ():
                value = metric.get("value") if isinstance(metric, dict) else metric
                if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value - number) <= 5e-5:
                    found.append((record.path, name, abs(value - number)))
    nearest = min((distance for *_, distance in found), default=0.0)
    return [(path, name) for path, name, distance in found if distance == nearest]


def state_of(record: FileRecord) -> str:
    """Whether a file is as a receipt recorded it: "as recorded", "CHANGED" or "not here"."""
    path = Path(record.path)
    if not path.is_file():
        return "not here"
    return "as recorded" if sha256_of(path) == record.sha256 else "CHANGED"
