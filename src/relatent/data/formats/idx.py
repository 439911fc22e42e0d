"""The idx format of MNIST and its kin: a magic number, big-endian sizes, then bytes."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relatent.data.archives import CHUNK_BYTES, open_unpacked
from relatent.data.parts import ArrayPart
from relatent.errors import DataIntegrityError

UBYTE = 0x08  # the only element type that image sets use
LIMIT_BYTES = 1 << 30


def read_idx_part(images: Path, labels: Path | None = None) -> ArrayPart:
    """Images (n, rows, columns) and labels (n,), plain or .gz.

    Raises:
        MissingDataError: no such file.
        DataIntegrityError: not idx, of other dimensions, short, or too long.
    """
    pixels = read_idx(images, dimensions=3)
    return ArrayPart(pixels[:, None], None if labels is None else read_idx(labels, dimensions=1).astype(np.int64))


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """One idx file of unsigned bytes; errors as for `read_idx_part`."""
    try:
        with open_unpacked(path, LIMIT_BYTES + 4 + 4 * dimensions) as file:
            zero, kind, found = struct.unpack(">HBB", _exactly(file.read(4), 4))
            if (zero, kind, found) != (0, UBYTE, dimensions):
                raise ValueError(f"magic number is {zero:04x}{kind:02x}{found:02x}, not 000008{dimensions:02x}")
            shape = struct.unpack(f">{dimensions}I", _exactly(file.read(4 * dimensions), 4 * dimensions))
            size = 1
            for length in shape:
                size *= length
            if size > LIMIT_BYTES:
                raise ValueError(f"announces {'×'.join(map(str, shape))} bytes, more than {LIMIT_BYTES:,}")
            content = bytearray()
            while len(content) <= size and (chunk := file.read(min(CHUNK_BYTES, size + 1 - len(content)))):
                content += chunk
            if len(content) != size:
                more = "more" if len(content) > size else f"only {len(content):,}"
                raise ValueError(f"announces {size:,} bytes and has {more}")
    except (OSError, EOFError, ValueError, struct.error, zlib.error, gzip.BadGzipFile) as error:
        raise DataIntegrityError(f"{path}: not a whole idx file ({error}). Remove it and fetch it again.") from None
    return np.frombuffer(bytes(content), np.uint8).reshape(shape)


def _exactly(content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise ValueError("it ends within its header")
    return content
