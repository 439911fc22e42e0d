"""Tars that go from machine to machine: equal contents give equal bytes, and what arrives is read as hostile.

Plain files only, under plain names, bounded in number and bytes, unpacked into a folder aside and looked at there
before anything is put into place.
"""

import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from relatent.errors import DataIntegrityError, MissingDataError
from relatent.ledger.files import atomic_path

MAX_FILES = 20_000
MAX_BYTES = 50 * 10**9
MAX_SMALL_BYTES = 50 * 10**6  # of a JSON file, which is read whole
PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # of a path: nothing hidden, no space, no "..", nothing that a shell reads
INCOMING = Path(".relatent/incoming")


def write_tar(tar: Path, contents: Mapping[str, Path | BinaryIO | bytes]) -> None:
    """Write a tar of plain files in the order of their names, without times or owners.

    Args:
        contents: by name: a path, a file open at its start, or bytes.
    """
    with atomic_path(tar) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(contents):
            content = contents[name]
            if isinstance(content, Path):
                with content.open("rb") as file:
                    _add(archive, name, file)
            else:
                _add(archive, name, io.BytesIO(content) if isinstance(content, bytes) else content)


def _add(archive: tarfile.TarFile, name: str, file: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size = file.seek(0, io.SEEK_END)
    member.mode = 0o644
    file.seek(0)
    archive.addfile(member, file)


@contextmanager
def opened_tar(tar: Path, names: re.Pattern[str], below: str) -> Iterator[tuple[Path, list[str]]]:
    """A tar from outside, unpacked into a folder that is gone afterwards: the folder, and the names of the files in it.

    Args:
        tar: the file.
        names: what the whole name of each of its files must match; made of PART.
        below: that place in words.

    Raises:
        MissingDataError: no such tar.
        DataIntegrityError: a name, a kind or a size that no tar of ours has.
    """
    if tar.is_dir():
        raise MissingDataError(f"{tar}: a folder; give the tar that `relatent pack` wrote")
    if not tar.is_file():
        raise MissingDataError(f"{tar}: no such file")
    INCOMING.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=INCOMING) as folder:
        yield Path(folder), _unpacked(tar, Path(folder), names, below)


def _unpacked(tar: Path, folder: Path, allowed: re.Pattern[str], below: str) -> list[str]:
    names: list[str] = []
    total = 0
    try:
        with tarfile.open(tar, "r:") as archive:  # not "r": a compressed one could be a bomb
            for member in archive:
                if member.isdir():
                    continue
                problem = _problem(member, set(names), total)
                if not problem and not allowed.fullmatch(member.name):
                    problem = f"does not lie below {below}"
                if problem:
                    raise refused(tar, repr(member.name), problem)
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
    return names


def _problem(member: tarfile.TarInfo, seen: set[str], total: int) -> str:
    """What is wrong with a member's kind or size, "" if nothing."""
    if not member.isreg() or member.issparse():
        return "is not a plain file"
    if member.name in seen:
        return "is there twice"
    if len(seen) >= MAX_FILES:
        return f"is one too many: more than {MAX_FILES:,} files"
    if member.size < 0 or total + member.size > MAX_BYTES:
        return f"is too large: more than {MAX_BYTES / 1e9:.0f} GB in all"
    if member.name.endswith(".json") and member.size > MAX_SMALL_BYTES:
        return f"is too large for JSON: more than {MAX_SMALL_BYTES / 1e6:.0f} MB"
    return ""


def first_name(tar: Path) -> str:
    """Name of a tar's first file, to tell what kind of tar it is; "" if it cannot be read."""
    try:
        with tarfile.open(tar, "r:") as archive:
            member = archive.next()
    except (OSError, tarfile.TarError, EOFError, UnicodeError):
        return ""
    return member.name if member is not None else ""


def place_file(source: Path, place: Path) -> None:
    """Move an unpacked file to its place, whole or not at all."""
    with atomic_path(place) as temporary:
        shutil.move(source, temporary)


def refused(tar: Path, name: str, message: str) -> DataIntegrityError:
    """The error for a file of a tar that is not in order."""
    return DataIntegrityError(f"{tar}: {name} {message}. Nothing was taken from it.")
