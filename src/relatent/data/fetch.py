"""Fetching files whose bytes are pinned: from what a dependency bundles, a mirror, or the publishers' URLs in turn.

A file gets its final name only when its checksum holds; until then it is a partial download in the scratch store,
which keeps finished downloads too, by checksum, because Snakemake and DVC delete outputs before they run a job.
"""

import errno
import hashlib
import importlib.resources
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from relatent.data.archives import check_members
from relatent.data.transfer import Patience, SourceError, download
from relatent.errors import DataIntegrityError, MissingDataError, RelatentError
from relatent.ledger.files import atomic_path
from relatent.ledger.work import work_root

CHUNK_BYTES = 1 << 20
MOST_BYTES_UNANNOUNCED = 4 << 30  # of a file whose size nobody published


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

    @property
    def repackable(self) -> bool:
        """Whether the members alone prove it."""
        return bool(self.members or self.members_sha256)

    @property
    def checksum(self) -> str:
        """Its strongest checksum, in words."""
        return f"sha256 {self.sha256}" if self.sha256 else f"md5 {self.md5}"


@dataclass(frozen=True)
class Sums:
    """Checksums and size of a file's bytes, and what proved them: "sha256", "md5" or "members"."""

    sha256: str
    md5: str
    size_bytes: int
    proven_by: str = ""


@dataclass
class Fetcher:
    """Where to look besides the publishers, and how hard to try.

    Attributes:
        mirror: a folder or a URL that holds <dataset>/<file name>; tried before the publishers.
        store: folder of partial and finished downloads.
        patience: with each URL.
        arrived: told the change in bytes, for a progress bar.
        say: told what is being done.
    """

    mirror: str | None = field(default_factory=lambda: os.environ.get("RELATENT_MIRROR"))
    store: Path = field(default_factory=lambda: work_root() / "downloads")
    patience: Patience = field(default_factory=Patience)
    arrived: Callable[[int], None] = lambda count: None
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)

    def fetch(self, wanted: Wanted, path: Path) -> Sums:
        """Put the published bytes at `path`, from the first source that has them.

        Raises:
            MissingDataError: no source has it.
            DataIntegrityError: an installed package brings other bytes than it should.
            RelatentError: the disk is full.
        """
        if path.is_file() and (found := judge(wanted, path)[0]):
            self.arrived(found.size_bytes)
            return found
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if wanted.bundled is not None:
                return self._from_bundle(wanted, path)
            return self._from_elsewhere(wanted, path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise RelatentError(f"{path}: the disk is full. Make room and run it again.") from None
            raise

    def kept(self, wanted: Wanted) -> Path:
        """Where the store keeps a finished download; a partial one has .part behind the name."""
        return self.store / (wanted.sha256 or f"md5-{wanted.md5}")

    def _from_bundle(self, wanted: Wanted, path: Path) -> Sums:
        assert wanted.bundled is not None
        source = bundled_path(wanted.bundled)
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
            found = sums_of(temporary)
            problem = mismatch(wanted, found)
            if problem:
                raise DataIntegrityError(f"{source}: {problem}. Install the version of the package in constraints.txt.")
        self.arrived(found.size_bytes)
        return Sums(found.sha256, found.md5, found.size_bytes, "sha256" if wanted.sha256 else "md5")

    def _from_elsewhere(self, wanted: Wanted, path: Path) -> Sums:
        self.store.mkdir(parents=True, exist_ok=True)
        kept = self.kept(wanted)
        # A second process that wants the same file waits here, and then finds it.
        with FileLock(kept.with_name(f"{kept.name}.lock")):
            if kept.is_file():
                if found := judge(wanted, kept)[0]:
                    self.arrived(found.size_bytes)
                    _link(kept, path)
                    return found
                kept.unlink()
            tried: list[str] = []
            if (found := self._from_mirror_folder(wanted, path, tried)) is not None:
                return found
            for url in self.urls(wanted):
                if (found := self._from_url(url, wanted, kept, tried)) is not None:
                    _link(kept, path)
                    return found
        raise MissingDataError(missing_message(wanted, path, tried))

    def _from_mirror_folder(self, wanted: Wanted, path: Path, tried: list[str]) -> Sums | None:
        if self.mirror is None or _is_url(self.mirror):
            return None
        source = Path(self.mirror, wanted.mirror)
        if not source.is_file():
            tried.append(f"{source}: no such file")
            return None
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            shutil.copyfile(source, temporary)
            found, problem = judge(wanted, temporary)
            if found is None:
                tried.append(f"{source}: {problem}")
            else:
                temporary.replace(path)
                self.say(f"{path}: from the mirror {source}, proven by {found.proven_by}")
                self.arrived(found.size_bytes)
        finally:
            temporary.unlink(missing_ok=True)
        return found

    def urls(self, wanted: Wanted) -> list[str]:
        """Where it is asked for, in this order."""
        ours = [f"{self.mirror.rstrip('/')}/{quote(wanted.mirror)}"] if self.mirror and _is_url(self.mirror) else []
        return [*ours, *wanted.urls]

    def _from_url(self, url: str, wanted: Wanted, kept: Path, tried: list[str]) -> Sums | None:
        """Download to the store and prove it; None, and a line in `tried`, if this source does not have it."""
        partial = kept.with_name(f"{kept.name}.part")
        have = partial.stat().st_size if partial.is_file() else 0
        repacked = wanted.repackable and self.mirror is not None and url.startswith(self.mirror)
        size = None if repacked else wanted.size_bytes
        self._check_room(wanted, have)
        self.say(f"{wanted.name}: {f'going on behind {have:,} bytes' if have else 'starting'} from {url}")
        self.arrived(have)
        try:
            download(url, partial, size, size or MOST_BYTES_UNANNOUNCED, self.patience, self.arrived)
        except SourceError as error:
            tried.append(f"{url}: {error}")
            self.arrived(-partial.stat().st_size if partial.is_file() else 0)
            return None
        found, problem = judge(wanted, partial)
        if found is not None:
            partial.replace(kept)
            return found
        self.arrived(-partial.stat().st_size)
        partial.unlink()
        if have:  # the wrong bytes may be those of an earlier source
            return self._from_url(url, wanted, kept, tried)
        tried.append(f"{url}: {problem}")
        return None

    def _check_room(self, wanted: Wanted, have: int) -> None:
        free = shutil.disk_usage(self.store).free
        if wanted.size_bytes is not None and wanted.size_bytes - have > free:
            raise RelatentError(
                f"{wanted.name}: needs {wanted.size_bytes - have:,} more bytes, {self.store} has {free:,} free. Make "
                "room, or name another folder in RELATENT_WORK."
            )


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


def judge(wanted: Wanted, path: Path) -> tuple[Sums | None, str]:
    """The checksums of a file if it is the published one or a repacked archive of its members; or None, and why."""
    sums = sums_of(path)
    problem = mismatch(wanted, sums)
    if problem is None:
        return Sums(sums.sha256, sums.md5, sums.size_bytes, "sha256" if wanted.sha256 else "md5"), ""
    if wanted.repackable:
        try:
            difference = check_members(path, wanted.members, wanted.members_sha256)
        except DataIntegrityError as error:
            difference = str(error)
        if difference is None:
            return Sums(sums.sha256, sums.md5, sums.size_bytes, "members"), ""
        problem = f"{problem}; {difference}"
    return None, problem


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
        top = package.partition(".")[0]
        raise MissingDataError(f"{reference}: not installed; run `make env`, or install {top} with pip")
    return path


def missing_message(wanted: Wanted, path: Path, tried: Sequence[str]) -> str:
    """What is missing, what was tried, and how to help."""
    size = f"{wanted.size_bytes:,} bytes" if wanted.size_bytes else "size not published"
    lines = [f"{path}: could not be fetched ({size}, {wanted.checksum})."]
    lines += [f"  tried {line}" for line in tried]
    lines += [f"  published at {url}" for url in wanted.urls if not any(url in line for line in tried)]
    lines.append(
        f"  Get it by other means, put it at FOLDER/{wanted.mirror} in a folder of yours, set RELATENT_MIRROR=FOLDER "
        "and run this again."
    )
    return "\n".join(lines)


def _link(kept: Path, path: Path) -> None:
    """A second name for a finished download; a copy where the two are on different disks."""
    path.unlink(missing_ok=True)
    try:
        path.hardlink_to(kept)
    except OSError:
        with atomic_path(path) as temporary:
            shutil.copyfile(kept, temporary)


def _is_url(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))
