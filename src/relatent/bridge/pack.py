"""Finished cells on the move: packed into one tar with their receipts, checked, and unpacked into place.

For cells made on another machine or in a long background run. A tar from outside is read as hostile (`tars`): below one
study's folder, each file accounted for by a receipt; nothing is put into place before all of it was checked.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from relatent.bridge.tars import PART, opened_tar, place_file, refused, write_tar
from relatent.errors import ConfigError, DataIntegrityError, MissingDataError, RelatentError
from relatent.ledger.environment import environments_folder
from relatent.ledger.files import digest_of, read_json, sha256_of
from relatent.ledger.jobs import is_receipt
from relatent.ledger.receipts import FileRecord, Receipt, known_sha256, read_receipt, receipt_text
from relatent.ledger.remedies import Remedies

NAMES = re.compile(rf"results(/{PART}){{3,7}}")


@dataclass(frozen=True)
class Arrival:
    """What a tar brought: its study, the receipts by their path, and how many files in all."""

    study: str
    receipts: dict[str, Receipt]
    n_files: int


# Out


def pack(study: str, cells: Sequence[str], tar: Path, remedies: Remedies | None = None) -> list[str]:
    """Write the finished cells into a tar; return their receipts' paths. Equal cells give an equal tar.

    Args:
        cells: `<phase>/<cell>`, e.g. "train_density/mnist/iwae-L1-k50", or `<cell>` for all phases that have it.

    Raises:
        MissingDataError: a cell has no receipt.
        DataIntegrityError: a file is not what its receipt says.
    """
    root = Path("results") / study
    receipts = list(dict.fromkeys(path for cell in cells for path in _receipts_of(root, cell)))
    names: set[str] = set()
    for receipt_path in receipts:
        receipt = _whole(Path(receipt_path), remedies or Remedies())
        names |= {receipt_path, *(record.path for record in receipt.outputs)}
        record = environments_folder(Path(receipt_path)) / f"{receipt.environment[:16]}.json"
        if record.is_file():
            names.add(record.as_posix())
    write_tar(tar, {name: Path(name) for name in names})
    return receipts


def _whole(path: Path, remedies: Remedies) -> Receipt:
    """A receipt whose files are all here and as it says."""
    try:
        receipt = read_receipt(path)
    except DataIntegrityError as error:
        said = str(error).partition(". ")[0]
        raise DataIntegrityError(f"{said}. {remedies.changed(path.as_posix())}") from None
    for record in receipt.outputs:
        if not Path(record.path).is_file():
            raise MissingDataError(f"{record.path}: not there, but {path} names it. {remedies.missing(record.path)}")
        found = sha256_of(Path(record.path))
        if found != record.sha256:
            raise DataIntegrityError(
                f"{record.path}: sha256 is {found[:12]}…, {path} says {record.sha256[:12]}…. It was changed or damaged "
                f"after it was made. {remedies.changed(record.path)}"
            )
    return receipt


def _receipts_of(root: Path, cell: str) -> list[str]:
    if not re.fullmatch(rf"{PART}(/{PART})*", cell):
        raise ConfigError(f"{cell!r}: not the name of a cell; give e.g. train_density/mnist/iwae-L1-k50")
    folders = [root / cell, *(phase / cell for phase in sorted(root.glob("*")) if phase.is_dir())]
    found = [path.as_posix() for folder in folders for path in sorted(folder.glob("*receipt.json"))]
    if not found:
        there = sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("receipt.json"))
        shown = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
        raise MissingDataError(f"{root / cell}: no finished cell with a receipt; there are {shown or 'none'}")
    return found


# In


def unpack(tar: Path, replace: bool = False, admit: Callable[[Arrival], object] = lambda arrival: None) -> Arrival:
    """Check a tar of cells and put them into place.

    Args:
        replace: also where a file of other bytes is there already.
        admit: called once all was checked; may refuse by raising, before anything is put into place.

    Raises:
        MissingDataError: no such tar.
        DataIntegrityError: it is not whole, not honest or not safe; then nothing was put into place.
    """
    with opened_tar(tar, NAMES, "results/<study>/") as (incoming, names):
        arrival = check_arrival(tar, incoming, names)
        admit(arrival)
        if not replace:
            _refuse_other_bytes(tar, incoming, names)
        for name in names:  # receipts last: a cell without one does not count as made
            if not is_receipt(name):
                place_file(incoming / name, Path(name))
        for name in arrival.receipts:
            place_file(incoming / name, Path(name))
    return arrival


def check_arrival(tar: Path, folder: Path, names: Sequence[str]) -> Arrival:
    """Check unpacked files against the receipts among them, and the receipts against what is known here.

    Raises:
        DataIntegrityError: the first thing that is not in order.
    """

    studies = {PurePosixPath(name).parts[1] for name in names}
    if len(studies) > 1:
        raise DataIntegrityError(f"{tar}: holds cells of {len(studies)} studies; pack one study at a time")
    receipts: dict[str, Receipt] = {}
    accounted: dict[str, FileRecord] = {}
    for name in names:
        if is_receipt(name):
            try:
                receipt = read_receipt(folder / name)
            except RelatentError as error:
                said = str(error).removeprefix(f"{folder / name}: ").partition(". ")[0]
                raise refused(tar, name, f"cannot be read as a receipt ({said})") from None
            if (folder / name).read_text(encoding="utf-8") != receipt_text(receipt):
                raise refused(tar, name, "is not in the form in which receipts are written")
            receipts[name] = receipt
            for record in receipt.outputs:
                if PurePosixPath(record.path).parent != PurePosixPath(name).parent:
                    raise refused(tar, name, f"speaks of {record.path}, which is not beside it")
                accounted[record.path] = record
    if not receipts:
        raise refused(tar, "it", "holds no receipt, so nothing in it can be checked")
    for name in names:
        if name in receipts or _is_environment(folder, name):
            continue
        if name not in accounted:
            raise refused(tar, name, "is in no receipt")
    for path, record in accounted.items():
        if path not in names:
            raise refused(tar, path, "is named in a receipt but not in the tar")
        if sha256_of(folder / path) != record.sha256:
            raise refused(tar, path, "is not what its receipt says")
    for name, receipt in receipts.items():
        digest = f"{receipt.environment[:16]}.json"
        here, brought = environments_folder(Path(name)) / digest, environments_folder(Path(name)).as_posix()
        if f"{brought}/{digest}" not in names and not here.is_file():
            raise refused(tar, name, f"was made in environment {digest}, whose record is neither in the tar nor here")
        for record in receipt.inputs:
            known = accounted[record.path].sha256 if record.path in accounted else known_sha256(Path(record.path))
            if known is None:
                raise refused(
                    tar, name, f"was made from {record.path}, of which no receipt is here; prepare the data first"
                )
            if known != record.sha256:
                raise refused(tar, name, f"was made from another {record.path} than the one here")
    return Arrival(PurePosixPath(names[0]).parts[1], receipts, len(names))


def _is_environment(folder: Path, name: str) -> bool:
    path = PurePosixPath(name)
    if path.parent.name != "environments" or len(path.parts) != 4 or path.suffix != ".json":
        return False
    return digest_of(read_json(folder / name))[:16] == path.stem


def _refuse_other_bytes(tar: Path, incoming: Path, names: Iterable[str]) -> None:
    for name in names:
        if Path(name).is_file() and sha256_of(Path(name)) != sha256_of(incoming / name):
            raise DataIntegrityError(
                f"{tar}: {name} is here already, with other bytes. Nothing was taken; --replace if the tar is right."
            )
