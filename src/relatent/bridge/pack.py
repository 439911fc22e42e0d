"""Cells on the move: packed into one tar with their receipts, checked, and unpacked into place.

For cells made on another machine or in a long background run. A tar from outside is read as hostile: plain files only,
below one study's folder, bounded in number and bytes, each one accounted for by a receipt; nothing is put into place
before all of it was checked.
"""

import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from relatent.errors import ConfigError, DataIntegrityError, MissingDataError
from relatent.ledger.environment import environments_folder
from relatent.ledger.files import atomic_path, digest_of, read_json, sha256_of
from relatent.ledger.jobs import is_receipt
from relatent.ledger.receipts import FileRecord, Receipt, check_outputs, read_receipt, receipt_text

MAX_FILES = 20_000
MAX_BYTES = 50 * 10**9
MAX_SMALL_BYTES = 50 * 10**6  # of a JSON file, which is read whole
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of a path: nothing hidden, no space, no "..", nothing a shell reads
INCOMING = Path(".relatent/incoming")


@dataclass(frozen=True)
class Arrival:
    """What a tar brought: its study, the receipts by their path, and how many files in all."""

    study: str
    receipts: dict[str, Receipt]
    n_files: int


# Out


def pack(study: str, cells: Sequence[str], tar: Path) -> list[str]:
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
        receipt = check_outputs(Path(receipt_path))
        names |= {receipt_path, *(record.path for record in receipt.outputs)}
        record = environments_folder(Path(receipt_path)) / f"{receipt.environment[:16]}.json"
        if record.is_file():
            names.add(record.as_posix())
    with atomic_path(tar) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(names):
            member = tarfile.TarInfo(name)
            member.size = Path(name).stat().st_size
            member.mode = 0o644
            with Path(name).open("rb") as file:
                archive.addfile(member, file)
    return receipts


def _receipts_of(root: Path, cell: str) -> list[str]:
    if not all(PART.fullmatch(part) for part in cell.split("/")):
        raise ConfigError(f"{cell!r}: not the name of a cell; give e.g. train_density/mnist/iwae-L1-k50")
    folders = [root / cell, *(phase / cell for phase in sorted(root.glob("*")) if phase.is_dir())]
    found = [path.as_posix() for folder in folders for path in sorted(folder.glob("*receipt.json"))]
    if not found:
        there = sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("receipt.json"))
        shown = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
        raise MissingDataError(f"{root / cell}: no finished cell with a receipt; there are {shown or 'none'}")
    return found


# In


def unpack(tar: Path, replace: bool = False) -> Arrival:
    """Check a tar of cells and put them into place.

    Args:
        replace: also where a file of other bytes is there already.

    Raises:
        MissingDataError: no such tar.
        DataIntegrityError: it is not whole, not honest or not safe; then nothing was put into place.
    """
    if not tar.is_file():
        raise MissingDataError(f"{tar}: no such file")
    INCOMING.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=INCOMING) as folder:
        incoming = Path(folder)
        names = read_tar(tar, incoming)
        arrival = check_arrival(tar, incoming, names)
        if not replace:
            _refuse_other_bytes(tar, incoming, names)
        for name in names:  # receipts last: a cell without one does not count as made
            if not is_receipt(name):
                _place(incoming / name, Path(name))
        for name in arrival.receipts:
            _place(incoming / name, Path(name))
    return arrival


def read_tar(tar: Path, folder: Path) -> list[str]:
    """Unpack a tar of plain files below `results/<study>/` into `folder`; return their names.

    Raises:
        DataIntegrityError: a name, a kind or a size that no tar of ours has.
    """
    names: list[str] = []
    total = 0
    try:
        with tarfile.open(tar, "r:") as archive:  # not "r": a compressed one could be a bomb
            for member in archive:
                if member.isdir():
                    continue
                problem = _problem(member, set(names), total)
                if problem:
                    raise DataIntegrityError(f"{tar}: {member.name!r} {problem}. Nothing was taken from it.")
                total += member.size
                names.append(member.name)
                source = archive.extractfile(member)
                assert source is not None
                place = folder / member.name
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("xb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                if place.stat().st_size != member.size:
                    raise DataIntegrityError(f"{tar}: {member.name!r} is cut short. Copy the tar again.")
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise DataIntegrityError(
            f"{tar}: not a whole, uncompressed tar ({error}). Make it with `relatent pack`."
        ) from None
    if not names:
        raise DataIntegrityError(f"{tar}: holds no files. Make it with `relatent pack`.")
    studies = {PurePosixPath(name).parts[1] for name in names}
    if len(studies) > 1:
        raise DataIntegrityError(f"{tar}: holds cells of {len(studies)} studies; pack one study at a time")
    return names


def _problem(member: tarfile.TarInfo, seen: set[str], total: int) -> str:
    """What is wrong with a member, "" if nothing."""
    parts = member.name.split("/")
    if not member.isreg() or member.issparse():
        return "is not a plain file"
    if parts[0] != "results" or not 4 <= len(parts) <= 8 or not all(PART.fullmatch(part) for part in parts):
        return "does not lie below results/<study>/"
    if member.name in seen:
        return "is there twice"
    if len(seen) >= MAX_FILES:
        return f"is one too many: more than {MAX_FILES:,} files"
    if member.size < 0 or total + member.size > MAX_BYTES:
        return f"is too large: more than {MAX_BYTES / 1e9:.0f} GB in all"
    if member.name.endswith(".json") and member.size > MAX_SMALL_BYTES:
        return f"is too large for JSON: more than {MAX_SMALL_BYTES / 1e6:.0f} MB"
    return ""


def check_arrival(tar: Path, folder: Path, names: Sequence[str]) -> Arrival:
    """Check unpacked files against the receipts among them, and the receipts against what is known here.

    Raises:
        DataIntegrityError: the first thing that is not in order.
    """

    def refuse(name: str, message: str) -> DataIntegrityError:
        return DataIntegrityError(f"{tar}: {name} {message}. Nothing was taken from it.")

    receipts: dict[str, Receipt] = {}
    accounted: dict[str, FileRecord] = {}
    for name in names:
        if is_receipt(name):
            receipt = read_receipt(folder / name)
            if (folder / name).read_text(encoding="utf-8") != receipt_text(receipt):
                raise refuse(name, "is not in the form in which receipts are written")
            receipts[name] = receipt
            for record in receipt.outputs:
                if PurePosixPath(record.path).parent != PurePosixPath(name).parent:
                    raise refuse(name, f"speaks of {record.path}, which is not beside it")
                accounted[record.path] = record
    if not receipts:
        raise refuse("it", "holds no receipt, so nothing in it can be checked")
    for name in names:
        if name in receipts or _is_environment(folder, name):
            continue
        if name not in accounted:
            raise refuse(name, "is in no receipt")
    for path, record in accounted.items():
        if path not in names:
            raise refuse(path, "is named in a receipt but not in the tar")
        if sha256_of(folder / path) != record.sha256:
            raise refuse(path, "is not what its receipt says")
    for name, receipt in receipts.items():
        digest = f"{receipt.environment[:16]}.json"
        here, brought = environments_folder(Path(name)) / digest, environments_folder(Path(name)).as_posix()
        if f"{brought}/{digest}" not in names and not here.is_file():
            raise refuse(name, f"was made in environment {digest}, whose record is neither in the tar nor here")
        for record in receipt.inputs:
            known = _known_here(record.path, accounted)
            if known is None:
                raise refuse(name, f"was made from {record.path}, of which no receipt is here; prepare the data first")
            if known != record.sha256:
                raise refuse(name, f"was made from another {record.path} than the one here")
    return Arrival(PurePosixPath(names[0]).parts[1], receipts, len(names))


def _is_environment(folder: Path, name: str) -> bool:
    path = PurePosixPath(name)
    if path.parent.name != "environments" or len(path.parts) != 4 or path.suffix != ".json":
        return False
    return digest_of(read_json(folder / name))[:16] == path.stem


def _known_here(path: str, accounted: dict[str, FileRecord]) -> str | None:
    """sha256 of an input: from the tar's receipts, a receipt beside it here, or the file itself if it is a source."""
    if path in accounted:
        return accounted[path].sha256
    for receipt_path in sorted(Path(path).parent.glob("*receipt.json")):
        record = read_receipt(receipt_path).output(Path(path))
        if record is not None:
            return record.sha256
    return sha256_of(Path(path)) if Path(path).is_file() else None


def _refuse_other_bytes(tar: Path, incoming: Path, names: Iterable[str]) -> None:
    for name in names:
        if Path(name).is_file() and sha256_of(Path(name)) != sha256_of(incoming / name):
            raise DataIntegrityError(
                f"{tar}: {name} is here already, with other bytes. Nothing was taken; --replace if the tar is right."
            )


def _place(source: Path, place: Path) -> None:
    with atomic_path(place) as temporary:
        shutil.move(source, temporary)
