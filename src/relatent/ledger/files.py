"""Files: hashing, and writing under a temporary name that is renamed once whole."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relatent.errors import DataIntegrityError, MissingDataError
from relatent.ledger.remedies import of_damaged


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes; no memo, because bytes can change behind an unchanged size and mtime.

    Raises:
        MissingDataError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file. Make it again by running `snakemake {path}`.") from None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    The temporary name keeps the suffix, since savers such as `numpy.save` add one where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # a rename may reach the disk before the bytes do
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and a final newline: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as canonical JSON."""
    write_text(path, canonical_json(value))


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        MissingDataError: there is no such file.
        DataIntegrityError: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file. Make it again by running `snakemake {path}`.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataIntegrityError(f"{path}: not readable as JSON ({error}). {of_damaged(path)}") from None


def digest_of(value: Any) -> str:
    """Hex sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
