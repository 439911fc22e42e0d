"""A numpy .npz of images, without objects: nothing in it is unpickled."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relatent.data.parts import ArrayPart
from relatent.errors import DataIntegrityError, MissingDataError

LIMIT_BYTES = 4 << 30
READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path, images: str, labels: str | None) -> ArrayPart:
    """Images as (n, h, w), (n, h, w, channel) or (n, channel, h, w) uint8, and integer labels.

    Raises:
        MissingDataError: no such file.
        DataIntegrityError: not .npz, an array missing, of another type or shape, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pixels = _array(archive, images)
            classes = None if labels is None else _array(archive, labels)
        if pixels.dtype != np.uint8:
            raise ValueError(f"{images} is {pixels.dtype}, not uint8; save grey levels 0..255")
        if pixels.ndim == 3:
            pixels = pixels[:, None]
        elif pixels.ndim == 4 and pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3):
            pixels = pixels.transpose(0, 3, 1, 2)
        elif pixels.ndim != 4:
            raise ValueError(f"{images} has shape {pixels.shape}; it must be (n, h, w), (n, h, w, c) or (n, c, h, w)")
        if classes is not None and (classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer)):
            raise ValueError(f"{labels} is {classes.dtype} {classes.shape}; labels are whole numbers, one per image")
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; fetch it again") from None
    except KeyError as error:
        raise DataIntegrityError(f"{path}: {error.args[0]} Correct the names in its registry entry.") from None
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataIntegrityError(f"{path}: not a .npz of images ({error}). Correct or replace it.") from None
    return ArrayPart(np.ascontiguousarray(pixels), None if classes is None else classes.astype(np.int64))


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """One array; its bytes are counted before memory is taken for them, and objects are not unpickled."""
    item = archive.getinfo(f"{name}.npy")
    if item.file_size > LIMIT_BYTES:
        raise ValueError(f"{name} announces {item.file_size:,} bytes, more than {LIMIT_BYTES:,}")
    with archive.open(item) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in READ_HEADER:
            raise ValueError(f"{name} is of .npy version {version}")
        shape, fortran, dtype = READ_HEADER[version](stream)
        if dtype.hasobject:
            raise ValueError(f"{name} holds objects, which are not unpickled; save numbers")
        size = math.prod(shape) * dtype.itemsize
        content = stream.read(LIMIT_BYTES) if 0 <= size <= item.file_size else b""
        if len(content) != size:
            raise ValueError(f"{name} announces {shape} of {dtype} and has {len(content):,} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
