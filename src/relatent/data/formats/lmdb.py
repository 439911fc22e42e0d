"""An LMDB of encoded images, as LSUN is published: values are WebP (or JPEG, PNG), in the order of their keys."""

import shutil
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relatent.data.archives import BoundedReader
from relatent.data.decode import Encoded, as_it_is, decoded_blocks
from relatent.data.parts import BLOCK, Block
from relatent.errors import DataIntegrityError, MissingDataError, RelatentError
from relatent.ledger.files import atomic_path

LIMIT_BYTES = 100 << 30  # LSUN's bedrooms unpack to about 46 GB
LONGEST_KEY = 64


class LmdbPart:
    """The images of a database.

    Keys are listed as the images are read: to ask LMDB for a key alone reads the image too, and LSUN has 46 GB.

    Args:
        database: the file data.mdb.
        size: shorter side, then centre crop.
        workers: processes that decode.

    Raises:
        MissingDataError: lmdb is not installed, or there is no such file.
        DataIntegrityError: not a database; also while reading: keys that are no names.
    """

    labels: NDArray[np.int64] | None = None

    def __init__(self, database: Path, size: int, workers: int) -> None:
        self.database, self.size, self.workers = database, size, workers
        with _open(database) as environment:
            self.n_images = environment.stat()["entries"]
        self.keys = np.zeros(self.n_images, dtype=f"S{LONGEST_KEY}")
        self.n_listed = 0
        self.names = _Names(self)

    def blocks(self, start: int = 0) -> Iterator[Block]:
        self.list_keys(start)
        encoded = (Encoded(value) for first in range(start, self.n_images, BLOCK) for value in self._values(first))
        yield from decoded_blocks(encoded, as_it_is, start, self.size, self.workers)

    def list_keys(self, stop: int) -> None:
        """List the keys of the images before `stop`, which an earlier, killed run has decoded."""
        for first in range(self.n_listed, stop, BLOCK):
            deque(self._values(first), maxlen=0)

    def _values(self, first: int) -> Iterator[bytes]:
        """The images of the block that begins at `first`.

        The database is opened for each block anew, because what is read through its map stays in memory till then.
        """
        with _open(self.database) as environment, environment.begin() as transaction:
            cursor = transaction.cursor()
            if first:
                cursor.set_key(bytes(self.keys[first - 1]))
                cursor.next()
            for place, (key, value) in enumerate(islice(cursor.iternext(), BLOCK), first):
                if len(key) > LONGEST_KEY or not key.isascii() or b"\n" in key or key.endswith(b"\0"):
                    raise DataIntegrityError(
                        f"{self.database}: key {key!r} is no image name; not a database like LSUN's"
                    )
                self.keys[place] = key
                self.n_listed = max(self.n_listed, place + 1)
                yield value


class _Names:
    """Keys as text, converted one by one: three million in 190 MB."""

    def __init__(self, part: LmdbPart) -> None:
        self.part = part

    def __len__(self) -> int:
        return self.part.n_images

    def __getitem__(self, index: int) -> str:
        if index >= self.part.n_listed:
            self.part.list_keys(self.part.n_images)
        return bytes(self.part.keys[index]).decode("ascii")


def _open(database: Path) -> Any:
    try:
        import lmdb
    except ModuleNotFoundError:
        raise MissingDataError("lmdb is not installed; run: pip install -c constraints.txt 'relatent[lsun]'") from None
    if not database.is_file():
        raise MissingDataError(f"{database}: no such file; fetch the dataset again")
    if database.stat().st_size < 2 * 4096:
        raise DataIntegrityError(f"{database}: too short for an LMDB database. Remove it and fetch it again.")
    try:
        # With readahead, unlike most loaders, because we read from end to end: an image of LSUN's size from the disk
        # costs 50 microseconds, without it 700, whether the keys lie in order or not.
        return lmdb.open(str(database), subdir=False, readonly=True, lock=False, readahead=True, max_readers=1)
    except lmdb.Error as error:
        raise DataIntegrityError(f"{database}: not an LMDB database ({error}). Remove it and fetch it again.") from None


def unzipped(archive: Path, member: str, path: Path) -> Path:
    """Unpack the database from its zip to `path`, once; a database must lie on the disk to be read.

    Raises:
        DataIntegrityError: no such member, damaged, or larger than it announces.
        RelatentError: the disk has no room.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as packed:
            size = packed.getinfo(member).file_size
            free = shutil.disk_usage(path.parent).free
            if size > LIMIT_BYTES:
                raise DataIntegrityError(f"{archive}: {member} announces {size:,} bytes, more than {LIMIT_BYTES:,}")
            if size > free:
                raise RelatentError(f"{archive}: unpacks to {size:,} bytes, {path.parent} has {free:,} free; make room")
            with packed.open(member) as stream, atomic_path(path) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(BoundedReader(stream, size, str(archive)), file, 1 << 20)
    except FileNotFoundError:
        raise MissingDataError(f"{archive}: no such file; fetch the dataset again") from None
    except KeyError:
        raise DataIntegrityError(f"{archive}: has no member {member}; correct the registry entry") from None
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataIntegrityError(f"{archive}: damaged ({error}). Remove it and fetch it again.") from None
    return path
