"""What a checkpoint's file says of itself, read without torch: whether it is sound, and how far the work had come."""

import json
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

from relatent.bridge.tars import MAX_SMALL_BYTES
from relatent.errors import DataIntegrityError

SUFFIXES = (".safetensors", ".npz")
COUNTERS = {"epochs_done": "epochs", "seen": "samples"}  # tensors of one number, by name

Progress = tuple[int, str]  # how many of what; more is further


def read_progress(path: Path) -> Progress | None:
    """How far the work had come when it wrote this checkpoint; None where it does not say.

    Raises:
        DataIntegrityError: not a safetensors file of plain tensors, or not an npz of plain, uncompressed arrays.
    """
    try:
        return _of_npz(path) if path.suffix == ".npz" else _of_safetensors(path)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError, zipfile.BadZipFile) as error:
        raise DataIntegrityError(f"{path.name}: not a checkpoint ({error or type(error).__name__})") from None


def _of_safetensors(path: Path) -> Progress | None:
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if length > min(size - 8, MAX_SMALL_BYTES):
            raise ValueError("its header is larger than the file")
        header = json.loads(file.read(length))
        notes = header.pop("__metadata__", {})
        spans = {name: _span(tensor, size - 8 - length) for name, tensor in header.items()}
        if "state" in notes:  # density: every seed that the file holds
            seeds = json.loads(notes["state"])["seeds"]
            return sum(int(seed["step"]) for seed in seeds.values()), "steps"
        if "counters" in notes:  # GAN
            return int(json.loads(notes["counters"])["step"]), "steps"
        for name, unit in COUNTERS.items():
            if name in spans and header[name]["dtype"] == "I64" and header[name]["shape"] == []:
                file.seek(8 + length + spans[name][0])
                return int.from_bytes(file.read(8), "little", signed=True), unit
    return None


def _span(tensor: dict[str, Any], size: int) -> tuple[int, int]:
    """Where a tensor's bytes lie."""
    start, end = tensor["data_offsets"]
    if not 0 <= start <= end <= size or math.prod(tensor["shape"]) > 8 * (end - start):
        raise ValueError("a tensor lies outside the file")
    return start, end


def _of_npz(path: Path) -> Progress:
    from numpy.lib import format as npy

    count = 0
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("it unpacks to more than its size")
        for member in members:
            with archive.open(member) as file:
                if npy.read_magic(file) != (1, 0):
                    raise ValueError(f"{member.filename!r} is not an array as numpy.savez writes it")
                shape, _, dtype = npy.read_array_header_1_0(file)
            if dtype.hasobject:
                raise ValueError(f"{member.filename!r} holds pickled objects")
            if math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{member.filename!r} is cut short")
            count += math.prod(shape)
    return count, "numbers"
