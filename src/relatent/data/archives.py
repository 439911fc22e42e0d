"""Archives that others packed: zip, tar, gz, xz, read inside bounds and never unpacked by name.

Nothing is written where an archive says. A member is refused if its name leaves the archive's folder, if it is a link
or a device, if an archive holds too many members or too many bytes, or if it unpacks to more than it announces. An
archive inside an archive is bytes like any other.
"""

import gzip
import hashlib
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from relatent.errors import DataIntegrityError, MissingDataError

CHUNK_BYTES = 1 << 20
GZIP_MAGIC, XZ_MAGIC = b"\x1f\x8b", b"\xfd7zXZ\x00"


@dataclass(frozen=True)
class Bounds:
    """How much an archive may hold. The defaults fit the registry's sets, LSUN's database apart."""

    members: int = 200_000
    member_bytes: int = 1 << 30
    total_bytes: int = 4 << 30


DEFAULT_BOUNDS = Bounds()


class BoundedReader(io.RawIOBase):
    """A stream that fails once more than `limit` bytes came out of it: what stops a bomb."""

    def __init__(self, stream: IO[bytes], limit: int, where: str) -> None:
        self.stream, self.left, self.limit, self.where = stream, limit, limit, where

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.stream.close()
        super().close()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self.stream.read(min(len(buffer), self.left + 1))
        self.left -= len(chunk)
        if self.left < 0:
            raise DataIntegrityError(
                f"{self.where}: unpacks to more than {self.limit:,} bytes; a damaged file, or one made to fill a disk. "
                "Remove it and fetch it again."
            )
        buffer[: len(chunk)] = chunk
        return len(chunk)


def open_unpacked(path: Path, limit: int) -> io.BufferedReader:
    """A file, unpacked if its first bytes are those of gzip or xz, of at most `limit` bytes.

    Raises:
        MissingDataError: no such file.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(6)
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; fetch it again") from None
    stream: IO[bytes]
    if magic.startswith(GZIP_MAGIC):
        stream = gzip.GzipFile(path)  # type: ignore[assignment]
    elif magic == XZ_MAGIC:
        stream = lzma.LZMAFile(path)  # noqa: SIM115  # closed with the reader around it
    else:
        stream = path.open("rb")
    return io.BufferedReader(BoundedReader(stream, limit, str(path)), CHUNK_BYTES)


def members(
    path: Path, chosen: Callable[[str], bool] = lambda name: True, bounds: Bounds = DEFAULT_BOUNDS
) -> Iterator[tuple[str, bytes]]:
    """Name and content of the chosen regular files of a zip or tar archive, in the archive's order.

    Raises:
        MissingDataError: no such file.
        DataIntegrityError: not such an archive, damaged, or outside the bounds.
    """
    try:
        reader = _zip_members if zipfile.is_zipfile(path) else _tar_members
        yield from reader(path, chosen, bounds)
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; fetch it again") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataIntegrityError(f"{path}: not a whole archive ({error}). Remove it and fetch it again.") from None
    except (NotImplementedError, RuntimeError, UnicodeDecodeError) as error:  # encryption, unknown methods, names
        raise DataIntegrityError(
            f"{path}: an archive of a kind not read here ({error}). Pack it as a plain zip."
        ) from None


def _zip_members(path: Path, chosen: Callable[[str], bool], bounds: Bounds) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
        _check_listing(path, [(item.filename, item.file_size) for item in listed], bounds)
        for item in listed:
            if stat.S_ISLNK(item.external_attr >> 16):
                raise DataIntegrityError(
                    f"{path}: {item.filename} is a link; an archive of data holds plain files only"
                )
            if not item.is_dir() and chosen(item.filename):
                with archive.open(item) as stream:
                    yield item.filename, _read_announced(stream, item.file_size, f"{path}: {item.filename}")


def _tar_members(path: Path, chosen: Callable[[str], bool], bounds: Bounds) -> Iterator[tuple[str, bytes]]:
    with open_unpacked(path, bounds.total_bytes) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        count = 0
        for item in archive:
            count += 1
            _check_listing(path, [(item.name, item.size)], bounds)
            if count > bounds.members:
                raise DataIntegrityError(f"{path}: more than {bounds.members:,} members; not the archive it should be")
            if item.isdir():
                continue
            if not item.isreg():
                raise DataIntegrityError(f"{path}: {item.name} is a link or a device; data are plain files only")
            if chosen(item.name):
                content = archive.extractfile(item)
                assert content is not None
                yield item.name, _read_announced(content, item.size, f"{path}: {item.name}")


def _check_listing(path: Path, listed: list[tuple[str, int]], bounds: Bounds) -> None:
    if len(listed) > bounds.members:
        raise DataIntegrityError(f"{path}: {len(listed):,} members; at most {bounds.members:,} are read")
    for name, size in listed:
        pure = PurePosixPath(name.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts or ":" in name.partition("/")[0] or "\0" in name:
            raise DataIntegrityError(f"{path}: member {name!r} would lie outside the archive's folder; do not trust it")
        if size > bounds.member_bytes:
            raise DataIntegrityError(
                f"{path}: member {name} announces {size:,} bytes, more than {bounds.member_bytes:,}"
            )
    if sum(size for _, size in listed) > bounds.total_bytes:
        raise DataIntegrityError(f"{path}: announces more than {bounds.total_bytes:,} bytes in all")


def _read_announced(stream: IO[bytes], size: int, where: str) -> bytes:
    """The whole stream, if it is as long as it announced; read in chunks, so a lie costs no memory."""
    chunks, left = [], size + 1
    while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
        chunks.append(chunk)
        left -= len(chunk)
    if left != 1:
        raise DataIntegrityError(f"{where}: is {'longer' if not left else 'shorter'} than the {size:,} bytes announced")
    return b"".join(chunks)


def check_members(path: Path, sha256: Mapping[str, str] | None, all_sha256: str | None) -> str | None:
    """What differs between an archive's members and the published ones, in words; None if they are the same.

    Args:
        path: the archive, in any packing.
        sha256: of the members that matter, by name; others are ignored.
        all_sha256: `members_digest` over all members.
    """
    found = {name: hashlib.sha256(content).hexdigest() for name, content in members(path)}
    for name, expected in (sha256 or {}).items():
        if found.get(name) != expected:
            return f"member {name} is {'missing' if name not in found else 'of other bytes'}"
    if all_sha256 is not None and members_digest(found) != all_sha256:
        return f"the {len(found)} members together are not the published ones"
    return None


def members_digest(sha256: Mapping[str, str]) -> str:
    """One digest over all members: sha256 of the lines "name sha256", sorted."""
    return hashlib.sha256("".join(sorted(f"{name} {digest}\n" for name, digest in sha256.items())).encode()).hexdigest()
