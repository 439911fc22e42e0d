"""Fetching files whose bytes are pinned: from what a dependency bundles, from a mirror, or from the publishers' URLs.

A file gets its final name only when its checksum holds; until then it is a partial download that goes on where it
stopped. Nothing here decides which checksum is right: the registry does.
"""

import hashlib
import importlib.resources
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relatent.errors import DataIntegrityError, MissingDataError

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """One file to fetch.

    Attributes:
        name: its file name, as published.
        size_bytes: its size, where published.
        sha256, md5: of its bytes; at least one.
        urls: where it is published, in the order to try.
        mirror: path of a copy below a mirror.
        bundled: "package:path" of a copy that a dependency brings.
        members: of an archive, sha256 by member; a repacked archive with these members is as good.
        members_sha256: of an archive, one digest over all its members.
    """

    name: str
    size_bytes: int | None
    sha256: str | None
    md5: str | None
    urls: Sequence[str]
    mirror: str
    bundled: str | None = None
    members: Mapping[str, str] | None = None
    members_sha256: str | None = None


@dataclass(frozen=True)
class Sums:
    """Checksums and size of bytes that were read."""

    sha256: str
    md5: str
    size_bytes: int


def sums_of(path: Path) -> Sums:
    """Checksums of a file, in one pass."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return Sums(sha256.hexdigest(), md5.hexdigest(), size)


def mismatch(wanted: Wanted, sums: Sums) -> str | None:
    """What differs from the registry, in words; None if the bytes are the published ones."""
    for kind, expected, found in (
        ("size", wanted.size_bytes, sums.size_bytes),
        ("sha256", wanted.sha256, sums.sha256),
        ("md5", wanted.md5, sums.md5),
    ):
        if expected is not None and found != expected:
            return f"{kind} is {found}, the registry says {expected}"
    return None


def bundled_path(reference: str) -> Path:
    """The file that a dependency brings, from "package:path".

    Raises:
        MissingDataError: the package or the file is not installed.
    """
    package, _, name = reference.partition(":")
    try:
        path = Path(str(importlib.resources.files(package).joinpath(name)))
    except ModuleNotFoundError:
        path = Path(reference)
    if not path.is_file():
        raise MissingDataError(
            f"{reference}: not installed; run `make env`, or pip install {package.partition('.')[0]}"
        )
    return path


def fetch_bundled(wanted: Wanted, path: Path) -> Sums:
    """Copy a file that a dependency bundles.

    Raises:
        MissingDataError: it is not installed.
        DataIntegrityError: the installed version brings other bytes.
    """
    assert wanted.bundled is not None
    source = bundled_path(wanted.bundled)
    content = source.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        sums = sums_of(temporary)
        problem = mismatch(wanted, sums)
        if problem:
            raise DataIntegrityError(
                f"{source}: {problem}. Another version of the package is installed; see constraints.txt"
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return sums
