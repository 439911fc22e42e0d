"""The .amat text of binarised MNIST: one image per line, pixels "0" and "1" with one space between."""

import lzma
import zlib
from pathlib import Path

import numpy as np

from relatent.data.archives import open_unpacked
from relatent.data.parts import ArrayPart
from relatent.errors import DataIntegrityError

LIMIT_BYTES = 1 << 29


def read_amat(path: Path, height: int, width: int) -> ArrayPart:
    """Binary images as grey levels 0 and 255, which every binarisation leaves as they are.

    Args:
        path: plain, .gz or .xz.
        height, width: of an image.

    Raises:
        MissingDataError: no such file.
        DataIntegrityError: a line of another length, or anything but 0 and 1.
    """
    line = 2 * height * width
    try:
        with open_unpacked(path, LIMIT_BYTES) as file:
            text = file.read()
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataIntegrityError(f"{path}: not readable ({error}). Remove it and fetch it again.") from None
    remedy = "Remove it and fetch it again."
    if not text or len(text) % line:
        raise DataIntegrityError(
            f"{path}: {len(text):,} bytes are not whole lines of {height * width} digits with spaces between. {remedy}"
        )
    characters = np.frombuffer(text, np.uint8).reshape(-1, height * width, 2)
    pixels, gaps = characters[:, :, 0], characters[:, :, 1]
    if not (np.all(gaps[:, :-1] == ord(" ")) and np.all(gaps[:, -1] == ord("\n"))):
        raise DataIntegrityError(f"{path}: lines are not {height * width} digits with one space between. {remedy}")
    if np.any((pixels != ord("0")) & (pixels != ord("1"))):
        raise DataIntegrityError(f"{path}: a pixel is neither 0 nor 1; not a binarised set. {remedy}")
    return ArrayPart(((pixels - np.uint8(ord("0"))) * np.uint8(255)).reshape(-1, 1, height, width))
