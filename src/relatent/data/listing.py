"""The listing of a folder of images: path, size and sha256 of each, so that a folder of the user's is pinned too."""

import hashlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from relatent.errors import DataIntegrityError, MissingDataError

CHUNK_BYTES = 1 << 24
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Listed:
    """One file of a listing: path below the folder, with /, and what its bytes were."""

    path: str
    size_bytes: int
    sha256: str


def write_listing(folder: Path, file: IO[bytes]) -> int:
    """List every image below `folder`, sorted by path: one line each of path, size and sha256, with tabs between.

    Links are not followed and other files are left alone.

    Returns:
        How many images.

    Raises:
        MissingDataError: no such folder, or no image in it.
        DataIntegrityError: a name with a tab, a line break or undecodable bytes; a sub-folder without images.
    """
    if not folder.is_dir():
        raise MissingDataError(f"{folder}: no such folder; correct `folder` in the dataset's registry entry")
    names = sorted(_image_names(folder))
    if not names:
        raise MissingDataError(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))})")
    for name in names:
        path = folder / os.fsdecode(name)
        with path.open("rb") as image:
            digest = hashlib.file_digest(image, "sha256").hexdigest()
        file.write(b"%s\t%d\t%s\n" % (name, path.stat().st_size, digest.encode()))
    return len(names)


def _image_names(folder: Path) -> Iterator[bytes]:
    for place, folders, files in os.walk(folder):
        below = Path(place).relative_to(folder)
        images = [
            name for name in files if Path(name).suffix.lower() in SUFFIXES and not Path(place, name).is_symlink()
        ]
        if not images and not folders and Path(place) != folder:
            raise DataIntegrityError(f"{folder}: {below} holds no image; an empty class. Fill it or remove it.")
        for image in images:
            name = (below / image).as_posix()
            if any(character in name for character in "\t\n\r"):
                raise DataIntegrityError(f"{folder}: a file name holds a tab or a line break: {name!r}; rename it")
            try:
                yield name.encode()
            except UnicodeEncodeError:
                raise DataIntegrityError(f"{folder}: a file name is not UTF-8: {name!r}; rename it") from None


class Listing:
    """A listing that stays on the disk: three million lines cost 24 MB of memory.

    Raises:
        DataIntegrityError: not a listing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file() or path.stat().st_size == 0:
            raise DataIntegrityError(f"{path}: lists no image; remove it and fetch the dataset again")
        with path.open("rb") as file:
            self.text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        characters = np.frombuffer(self.text, np.uint8)
        chunks = range(0, len(characters), CHUNK_BYTES)
        breaks = [np.flatnonzero(characters[at : at + CHUNK_BYTES] == ord("\n")) + at for at in chunks]
        self.starts = np.concatenate([[0], *(found + 1 for found in breaks)])
        if self.starts[-1] != len(self.text):
            raise DataIntegrityError(f"{path}: its last line is cut off; remove it and fetch the dataset again")

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> Listed:
        fields = self.text[self.starts[index] : self.starts[index + 1] - 1].split(b"\t")
        try:
            path, size, sha256 = (field.decode() for field in fields)
            return Listed(path, int(size), sha256)
        except ValueError:
            raise DataIntegrityError(
                f"{self.path}: line {index + 1} is not path, size, sha256; remove it and fetch the dataset again"
            ) from None


class ListedNames:
    """The paths of a listing."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> str:
        return self.listing[index].path
