"""The prepared store: uint8 arrays by split as .npy files, written block by block, resumable (DESIGN section 2).

A set of three million images is never in memory: blocks are scattered to their rows by positioned writes. What is
done is noted after each block, once its bytes are on the disk, so a killed run goes on with the next block.
"""

import hashlib
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relatent.data.parts import BLOCK, Block, Names, Part
from relatent.errors import DataIntegrityError, MissingDataError
from relatent.ledger.files import atomic_path, read_json, write_json
from relatent.progress import Progress

COPY_BYTES = 1 << 24
STATE = "progress.json"
# Of an image collection, a few files that cannot be read are counted and left out; more means a wrong recipe.
MOST_UNREADABLE = 0.01


@dataclass(frozen=True)
class SplitRows:
    """A split: its name, the part it is taken from, and which images, in order."""

    name: str
    part: str
    rows: NDArray[np.int64]


def write_splits(
    parts: Mapping[str, Part],
    splits: Sequence[SplitRows],
    shape: tuple[int, int, int],
    scratch: Path,
    label: str,
    with_labels: bool,
) -> dict[str, dict[str, Any]]:
    """Write the arrays of every split into `scratch`; begun work in there is gone on with.

    Args:
        parts: readers of the parts, by name.
        splits: what goes where.
        shape: channel, height, width that every image must have.
        scratch: a folder; files are named as in `data/prepared/<dataset>/`.
        label: dataset, for progress and messages.
        with_labels: whether labels are kept.

    Returns:
        For each split its entry of the manifest: n, sha256 of images and labels (over the array's bytes, the .npy
        header not among them), and the images left out as unreadable.

    Raises:
        DataIntegrityError: an image of another shape; too many unreadable images.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    unreadable: dict[str, dict[int, str]] = {}
    for name, part in parts.items():
        taken = [split for split in splits if split.part == name]
        unreadable[name] = _write_part(name, part, taken, shape, scratch, f"{label}/{name}")
    return {
        split.name: _finish_split(split, parts[split.part], unreadable[split.part], shape, scratch, with_labels)
        for split in splits
    }


def _write_part(
    name: str, part: Part, splits: Sequence[SplitRows], shape: tuple[int, int, int], scratch: Path, label: str
) -> dict[int, str]:
    """Scatter one part's images to the arrays of its splits; return the unreadable ones."""
    state_path = scratch / f"{name}.{STATE}"
    done, unreadable = _begun(state_path, splits, scratch)
    if done == part.n_images:
        return unreadable
    places = [
        (_ArrayFile(_partial(split, scratch), (len(split.rows), *shape)), _places(split, part)) for split in splits
    ]
    with Progress(f"prepare {label}", part.n_images, "images", done) as progress:
        for block in part.blocks(done):
            _check_block(block, shape, label)
            for file, place in places:
                here = place[block.first : block.first + len(block.images)]
                chosen = np.flatnonzero(here >= 0)
                file.write(here[chosen], block.images[chosen])
            unreadable.update(block.unreadable)
            done = block.first + len(block.images)
            _note(state_path, [file for file, _ in places], done, unreadable)
            progress.advance(len(block.images))
    if done != part.n_images:
        raise DataIntegrityError(f"{label}: {done} images were read, {part.n_images} were announced. Fetch it again.")
    _refuse_too_many(unreadable, part.n_images, label)
    return unreadable


def _begun(state_path: Path, splits: Sequence[SplitRows], scratch: Path) -> tuple[int, dict[int, str]]:
    """How far an earlier, killed run came, and what it could not read; from the start if any array of it is gone."""
    there = all(_partial(split, scratch).is_file() or _final(split, scratch).is_file() for split in splits)
    if not there or not state_path.is_file():
        for split in splits:
            _partial(split, scratch).unlink(missing_ok=True)
            _final(split, scratch).unlink(missing_ok=True)
        state_path.unlink(missing_ok=True)
        return 0, {}
    state = read_json(state_path)
    return state["done"], {int(index): why for index, why in state["unreadable"].items()}


def _partial(split: SplitRows, scratch: Path) -> Path:
    return scratch / f"{split.name}_images.partial"


def _final(split: SplitRows, scratch: Path) -> Path:
    return scratch / f"{split.name}_images.npy"


def _refuse_too_many(unreadable: Mapping[int, str], n_images: int, label: str) -> None:
    if len(unreadable) > MOST_UNREADABLE * n_images:
        index, why = min(unreadable.items())
        raise DataIntegrityError(
            f"{label}: {len(unreadable)} of {n_images} images cannot be read, first number {index}: {why}. "
            "Up to 1 % would be left out; check the files and the recipe."
        )


def _places(split: SplitRows, part: Part) -> NDArray[np.int64]:
    """(n_images,): row of the split that each image of the part goes to, or -1."""
    place = np.full(part.n_images, -1, dtype=np.int64)
    place[split.rows] = np.arange(len(split.rows))
    return place


def _check_block(block: Block, shape: tuple[int, int, int], label: str) -> None:
    if block.images.dtype != np.uint8 or block.images.shape[1:] != shape:
        raise DataIntegrityError(
            f"{label}: images are {block.images.dtype} {block.images.shape[1:]}, the registry's shape is {shape}; "
            "correct the entry's shape or recipe."
        )


def _note(state_path: Path, files: Sequence["_ArrayFile"], done: int, unreadable: Mapping[int, str]) -> None:
    for file in files:
        file.sync()
    write_json(state_path, {"done": done, "unreadable": {str(index): why for index, why in unreadable.items()}})


def _finish_split(
    split: SplitRows,
    part: Part,
    unreadable: Mapping[int, str],
    shape: tuple[int, int, int],
    scratch: Path,
    with_labels: bool,
) -> dict[str, Any]:
    """Close the gaps of unreadable images, write labels and names, hash."""
    keep = ~np.isin(split.rows, np.fromiter(unreadable, dtype=np.int64, count=len(unreadable)))
    rows = split.rows[keep]
    partial, path = _partial(split, scratch), _final(split, scratch)
    if partial.is_file():
        if len(rows) < len(split.rows):
            _copy_rows(partial, path, np.flatnonzero(keep), (len(split.rows), *shape))
            partial.unlink()
        else:
            partial.replace(path)
    entry: dict[str, Any] = {"n": len(rows), "sha256_images": _sha256_of_array(path)}
    if with_labels and part.labels is not None:
        labels_path = scratch / f"{split.name}_labels.npy"
        with atomic_path(labels_path) as temporary:
            np.save(temporary, part.labels[rows])
        entry["sha256_labels"] = _sha256_of_array(labels_path)
    if part.names is not None:
        _write_names(scratch / f"{split.name}_names.txt", part.names, rows)
    if not keep.all():
        entry["unreadable"] = {str(index): unreadable[index] for index in sorted(split.rows[~keep].tolist())}
    return entry


def _write_names(path: Path, names: Names, rows: NDArray[np.int64]) -> None:
    """One name a line, never all in memory."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(f"{names[row]}\n")


class _ArrayFile:
    """A .npy file of known shape, written row by row in any order."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape
        self.row_bytes = int(np.prod(shape[1:]))
        header = _npy_header(shape)
        self.offset = len(header)
        size = self.offset + self.row_bytes * shape[0]
        self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if os.fstat(self.file).st_size != size:
            os.ftruncate(self.file, size)
        os.pwrite(self.file, header, 0)

    def __del__(self) -> None:
        os.close(self.file)

    def write(self, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
        """Put images at their rows; neighbours that stay neighbours are written in one go."""
        if not len(rows):
            return
        starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
        for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
            self._pwrite(np.ascontiguousarray(images[start:stop]), self.offset + int(rows[start]) * self.row_bytes)

    def _pwrite(self, images: NDArray[np.uint8], offset: int) -> None:
        content = images.data.cast("B")
        while len(content):
            written = os.pwrite(self.file, content, offset)
            content, offset = content[written:], offset + written

    def sync(self) -> None:
        """Have the bytes on the disk before they are noted as done."""
        os.fsync(self.file)


def _copy_rows(source: Path, path: Path, rows: NDArray[np.int64], shape: tuple[int, ...]) -> None:
    """Copy the rows that are kept; not in place, so that a run killed here loses nothing."""
    array = np.memmap(source, np.uint8, "r", len(_npy_header(shape)), shape)
    per_copy = max(1, COPY_BYTES // int(np.prod(shape[1:])))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_npy_header((len(rows), *shape[1:])))
        for first in range(0, len(rows), per_copy):
            file.write(array[rows[first : first + per_copy]].tobytes())
            _give_back(array)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _sha256_of_array(path: Path) -> str:
    """sha256 over an array's bytes, the .npy header not among them: the same whichever numpy wrote it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        (np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
        while chunk := file.read(COPY_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def open_array(path: Path) -> NDArray[Any]:
    """A prepared array, memory-mapped and read-only.

    Raises:
        MissingDataError: no such file.
        DataIntegrityError: not a whole .npy file.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file. Make it again by running `snakemake {path}`.") from None
    except (ValueError, OSError, EOFError) as error:
        raise DataIntegrityError(
            f"{path}: not a whole array ({error}). Remove it and run `snakemake {path}`."
        ) from None


def in_blocks(array: NDArray[Any], count: int = BLOCK) -> Iterator[NDArray[Any]]:
    """Copies of `count` rows after `count` rows.

    Of a mapped array the pages are given back after each block, or all that was read would stay in memory.
    """
    for first in range(0, len(array), count):
        yield np.array(array[first : first + count])
        _give_back(array)


def _give_back(array: NDArray[Any]) -> None:
    """Give the pages of a mapped array back; they are read again when they are needed."""
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        array.base.madvise(mmap.MADV_DONTNEED)


def place_file(source: Path, path: Path) -> None:
    """Move a finished file to its place: a rename, or a whole copy where the two are on different disks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(path)
    except OSError:
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
        source.unlink()
