"""Receipts: one canonical JSON beside a job's outputs, saying what was made from what, with what (DESIGN 4.6).

Equal work gives equal bytes on one machine: a receipt holds no time, no host, no commit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from relatent.errors import DataIntegrityError
from relatent.ledger.files import canonical_json, read_json, sha256_of, write_text
from relatent.ledger.remedies import of_damaged

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """One file as it was: path relative to the repository's root, sha256 of its bytes, size."""

    path: str
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The record of a file as it is now."""
        return cls(path=path.as_posix(), sha256=sha256_of(path), size_bytes=path.stat().st_size)


@dataclass(frozen=True)
class Receipt:
    """What one job did. `cell` is the job's name within its rule, e.g. "digits/iwae-L1-k50"."""

    rule: str
    command: str
    cell: str
    settings: Mapping[str, Any]
    code: str
    environment: str
    inputs: Sequence[FileRecord]
    outputs: Sequence[FileRecord]
    seeds: Sequence[int] = ()
    torch_threads: int | None = None
    device: str = "cpu"
    determinism: Mapping[str, Any] = field(default_factory=dict)
    work: Mapping[str, Any] | None = None  # of long work: `Work.described`
    schema_version: int = SCHEMA_VERSION

    def output(self, path: Path) -> FileRecord | None:
        """The record of one output, or None if the job did not make it."""
        return next((record for record in self.outputs if record.path == path.as_posix()), None)


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write a receipt as canonical JSON."""
    write_text(path, receipt_text(receipt))


def receipt_text(receipt: Receipt) -> str:
    """A receipt as canonical JSON: equal work gives equal text."""
    body = asdict(receipt)
    for key in ("inputs", "outputs"):
        body[key] = sorted(body[key], key=lambda record: record["path"])
    return canonical_json(body)


def read_receipt(path: Path) -> Receipt:
    """Read a receipt.

    Raises:
        MissingDataError: there is none.
        DataIntegrityError: not a receipt, or of a schema this version does not know.
    """
    body = read_json(path)
    remedy = of_damaged(path)
    if not isinstance(body, dict) or body.get("schema_version") != SCHEMA_VERSION:
        raise DataIntegrityError(f"{path}: not a receipt of schema {SCHEMA_VERSION}. {remedy}")
    try:
        records = {key: tuple(FileRecord(**record) for record in body[key]) for key in ("inputs", "outputs")}
        return Receipt(**{**body, **records})
    except (KeyError, TypeError) as error:
        raise DataIntegrityError(f"{path}: not a whole receipt ({error}). {remedy}") from None


def check_outputs(receipt_path: Path) -> Receipt:
    """Read a receipt and hash every output it names; return it if all are as it says.

    Raises:
        MissingDataError, DataIntegrityError: a file is gone or has other bytes.
    """
    receipt = read_receipt(receipt_path)
    for record in receipt.outputs:
        check_file(record, receipt_path)
    return receipt


def check_file(record: FileRecord, receipt_path: Path) -> None:
    """Hash one file against its record.

    Raises:
        MissingDataError, DataIntegrityError: it is gone or has other bytes.
    """
    found = sha256_of(Path(record.path))
    if found != record.sha256:
        raise DataIntegrityError(
            f"{record.path}: sha256 is {found[:12]}…, its receipt {receipt_path} says {record.sha256[:12]}…. The file "
            f"was damaged or changed after it was made. {of_damaged(Path(record.path))}"
        )


def known_sha256(path: Path) -> str | None:
    """sha256 of a file as the receipt beside it has it, or of the file itself if none does; None if it is not here."""
    for receipt_path in sorted(path.parent.glob("*receipt.json")):
        record = read_receipt(receipt_path).output(path)
        if record is not None:
            return record.sha256
    return sha256_of(path) if path.is_file() else None


def check_inputs(paths: Iterable[Path], receipts: Iterable[Path]) -> tuple[FileRecord, ...]:
    """Prove each input by the receipt of the job that made it; return the inputs' records.

    Snakemake hashes no outputs, so this is what keeps a forged or damaged file out of a table (DESIGN 4.6).

    Raises:
        DataIntegrityError: an input has other bytes than its receipt says, or no receipt names it.
        MissingDataError: a file is not there.
    """
    known = {}
    for receipt_path in receipts:
        for record in read_receipt(receipt_path).outputs:
            known[record.path] = record, receipt_path
    checked = []
    for path in paths:
        if path.as_posix() not in known:
            raise DataIntegrityError(
                f"{path}: none of the receipts given names this file as an output. Give the receipt of the job that "
                "made it."
            )
        record, receipt_path = known[path.as_posix()]
        check_file(record, receipt_path)
        checked.append(record)
    return tuple(checked)
