"""MATLAB 5 files read as a stream: SVHN's extra set unpacks to 1.6 GB and is never in memory whole.

scipy.io.loadmat reads a variable whole, twice over; this reads the numeric array of one variable slice by slice along
its last axis, which MATLAB stores outermost. Tests compare it with scipy on what scipy writes.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from relatent.data.parts import BLOCK, Block
from relatent.errors import DataIntegrityError, MissingDataError

LIMIT_BYTES = 16 << 30  # of one variable, unpacked
CHUNK_BYTES = 1 << 18
MATRIX, COMPRESSED = 14, 15
NUMERIC_CLASSES = range(6, 16)  # double .. uint64; others are cells, structs, objects, characters, sparse
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
FLOAT_CLASSES = (6, 7)
COMPLEX = 0x0800


class _Broken(Exception):
    """What is wrong with the file."""


@dataclass
class MatArray:
    """A numeric array whose values have not been read yet.

    Attributes:
        shape: as MATLAB says it; the last axis is outermost in the file.
        dtype: of the values as stored; MATLAB stores doubles that are small and whole as bytes.
        is_float: whether they are meant as floating point.
        stream: stands at the first value.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    is_float: bool
    stream: IO[bytes]

    def slices(self, count: int) -> NDArray:
        """The next `count` slices along the last axis, (count, ...) with the leading axes reversed, as stored."""
        inner = self.shape[:-1]
        values = int(np.prod(inner)) * count
        content = _exactly(self.stream, values * self.dtype.itemsize)
        return np.frombuffer(content, self.dtype).reshape(count, *inner[::-1])

    def skip(self, count: int) -> None:
        """Pass over slices."""
        left = int(np.prod(self.shape[:-1])) * count * self.dtype.itemsize
        while left:
            left -= len(_exactly(self.stream, min(left, CHUNK_BYTES)))


def open_array(file: IO[bytes], name: str) -> MatArray:
    """Find a variable; raises _Broken."""
    header = _exactly(file, 128)
    if header[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        newer = b"MATLAB 7.3" in header[:116]
        raise _Broken("version 7.3; save it with -v7" if newer else "no MATLAB 5 header")
    order = "<" if header[126:128] == b"IM" else ">"
    found: list[str] = []
    while True:
        tag = file.read(8)
        if not tag:
            raise _Broken(f"no variable {name!r}; it has {', '.join(found) or 'none'}")
        if len(tag) != 8:
            raise _Broken("it ends within a tag")
        kind, size = struct.unpack(f"{order}II", tag)
        start = file.tell()
        if kind not in (MATRIX, COMPRESSED):
            raise _Broken(f"an element of type {kind} where a variable should be")
        stream = file
        if kind == COMPRESSED:
            stream = io.BufferedReader(_Inflated(file, size), CHUNK_BYTES)
            if struct.unpack(f"{order}II", _exactly(stream, 8))[0] != MATRIX:
                raise _Broken("a packed element that is no variable")
        array = _matrix_head(stream, order, name, found)
        if array is not None:
            return array
        file.seek(start + size)


def _matrix_head(stream: IO[bytes], order: str, wanted: str, found: list[str]) -> MatArray | None:
    """The variable that is wanted, its values next in the stream; of another, its name goes to `found`."""
    flags = struct.unpack(f"{order}II", _small(stream, order, 8))[0]
    dimensions = _small(stream, order, 4 * 32)
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions[: len(dimensions) // 4 * 4])
    name = _small(stream, order, 256).decode("ascii", "replace")
    if name != wanted:
        found.append(name)
        return None
    if flags & 0xFF not in NUMERIC_CLASSES or flags & COMPLEX:
        raise _Broken(f"{name!r} is not an array of real numbers")
    kind, size, inline = _tag(stream, order)
    if inline is not None:
        stream = io.BytesIO(inline)
    if kind not in STORED:
        raise _Broken(f"the values of {name!r} are of type {kind}")
    dtype = np.dtype(order + STORED[kind])
    count = 1
    for length in shape:
        count *= max(length, 0)
    if len(shape) < 2 or count == 0 or count * dtype.itemsize != size or size > LIMIT_BYTES:
        raise _Broken(f"{name!r} announces {'×'.join(map(str, shape))} values in {size:,} bytes")
    return MatArray(shape, dtype, flags & 0xFF in FLOAT_CLASSES, stream)


def _tag(stream: IO[bytes], order: str) -> tuple[int, int, bytes | None]:
    """Type and size of an element, and its content if that is small enough to stand within the tag."""
    word = _exactly(stream, 8)
    kind, size = struct.unpack(f"{order}II", word)
    if kind >> 16:
        size, kind = kind >> 16, kind & 0xFFFF
        if size > 4:
            raise _Broken("a small element of more than 4 bytes")
        return kind, size, word[4 : 4 + size]
    return kind, size, None


def _small(stream: IO[bytes], order: str, limit: int) -> bytes:
    """Content of an element that must not be large."""
    _, size, inline = _tag(stream, order)
    if inline is not None:
        return inline
    if size > limit:
        raise _Broken(f"an element of {size:,} bytes where at most {limit} make sense")
    return _exactly(stream, (size + 7) // 8 * 8)[:size]


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        chunk = stream.read(min(size - len(content), CHUNK_BYTES))
        if not chunk:
            raise _Broken(f"it ends {size - len(content):,} bytes early")
        content += chunk
    return bytes(content)


class _Inflated(io.RawIOBase):
    """A packed element, unpacked as it is read."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.left, self.inflate = file, size, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self.inflate.eof:
            packed = self.inflate.unconsumed_tail
            if not packed:
                packed = self.file.read(min(CHUNK_BYTES, self.left))
                self.left -= len(packed)
                if not packed:
                    return 0
            chunk = self.inflate.decompress(packed, len(buffer))
            if chunk:
                buffer[: len(chunk)] = chunk
                return len(chunk)
        return 0


class MatPart:
    """The images of a MATLAB 5 file.

    Args:
        path: the file.
        images: name of the array of images.
        labels: name of the array of labels, or None.
        shape: channel, height, width of the images made.
        axes: "height width channel" (SVHN), or "pixel": a column holds one image, column after column of its pixels
            (chardata.mat, which the authors read in Fortran order).
        label_of_zero: label that stands for class 0; SVHN calls the digit 0 "10".

    Raises:
        MissingDataError: no such file.
        DataIntegrityError: not such a file; also while reading: NaN, or values outside [0, 1] or 0..255.
    """

    names = None

    def __init__(
        self,
        path: Path,
        images: str,
        labels: str | None,
        shape: tuple[int, int, int],
        axes: str,
        label_of_zero: int | None,
    ) -> None:
        self.path, self.images, self.shape, self.axes = path, images, shape, axes
        channel, height, width = shape
        inner = (height, width, channel) if axes == "height width channel" else (width * height,)
        with _reading(path) as file:
            array = open_array(file, images)
            if array.shape[:-1] != inner:
                raise _Broken(f"{images!r} is {array.shape}, its leading axes should be {inner}")
            self.n_images = array.shape[-1]
        self.labels: NDArray[np.int64] | None = None
        if labels is not None:
            with _reading(path) as file:
                self.labels = _whole_labels(open_array(file, labels), labels, label_of_zero)

    def blocks(self, start: int = 0) -> Iterator[Block]:
        with _reading(self.path) as file:
            array = open_array(file, self.images)
            array.skip(start)
            for first in range(start, self.n_images, BLOCK):
                stored = array.slices(min(BLOCK, self.n_images - first))
                yield Block(first, self._upright(_as_grey(stored, array.is_float, self.images)))

    def _upright(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        channel, height, width = self.shape
        # Fortran order: (count, channel, width, height), whatever the axes are called.
        return np.ascontiguousarray(stored.reshape(-1, channel, width, height).transpose(0, 1, 3, 2))


def _as_grey(stored: NDArray, is_float: bool, name: str) -> NDArray[np.uint8]:
    """Grey levels as bytes; floating point is the share of white."""
    if not is_float:
        if stored.dtype != np.uint8:
            raise _Broken(f"{name!r} holds {stored.dtype}, neither bytes nor floating point")
        return stored
    if not np.all(np.isfinite(stored)):
        raise _Broken(f"{name!r} holds NaN or infinite values")
    if stored.min() < 0 or stored.max() > 1:
        raise _Broken(f"{name!r} holds values from {stored.min()} to {stored.max()}, outside [0, 1]")
    return np.round(stored.astype(np.float64) * 255).astype(np.uint8)


def _whole_labels(array: MatArray, name: str, label_of_zero: int | None) -> NDArray[np.int64]:
    if len(array.shape) != 2 or 1 not in array.shape:
        raise _Broken(f"{name!r} is {array.shape}, not one label per image")
    values = array.slices(array.shape[-1]).ravel().astype(np.float64)
    if not np.all(np.isfinite(values)) or np.any(values != np.round(values)):
        raise _Broken(f"{name!r} holds labels that are no whole numbers")
    labels = values.astype(np.int64)
    if label_of_zero is not None:
        if np.any(labels == 0):
            raise _Broken(f"{name!r} holds label 0, although {label_of_zero} stands for class 0")
        labels[labels == label_of_zero] = 0
    return labels


class _reading:
    """Opens the file; turns what goes wrong inside into one clear error."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> IO[bytes]:
        try:
            self.file = self.path.open("rb")
        except FileNotFoundError:
            raise MissingDataError(f"{self.path}: no such file; fetch the dataset again") from None
        return self.file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.file.close()
        if isinstance(error, (_Broken, zlib.error, struct.error, OverflowError)):
            raise DataIntegrityError(
                f"{self.path}: not readable as MATLAB 5 ({error}). Remove it and fetch it again, or correct its "
                "registry entry."
            ) from None
