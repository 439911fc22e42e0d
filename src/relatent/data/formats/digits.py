"""scikit-learn's digits.csv.gz: 64 grey levels 0..16 and the label in each row."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from relatent.data.images import enlarged
from relatent.data.parts import ArrayPart
from relatent.errors import DataIntegrityError

LIMIT_BYTES = 8_000_000  # unpacked; the real file has 0.5 MB


def read_digits(path: Path, size: int | None = None) -> ArrayPart:
    """The 8×8 digits, grey levels times 255/16, rounded.

    Args:
        path: digits.csv.gz.
        size: enlarge to size × size, bicubic; None keeps 8×8.

    Raises:
        DataIntegrityError: not such a file.
    """
    try:
        with gzip.open(path, "rb") as file:
            text = file.read(LIMIT_BYTES + 1)
        if len(text) > LIMIT_BYTES:
            raise ValueError(f"unpacks to more than {LIMIT_BYTES} bytes")
        rows = np.array([line.split(",") for line in text.decode("ascii").split()], dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != 65:
            raise ValueError("a row must have 64 grey levels and a label")
        levels, labels = rows[:, :64], rows[:, 64]
        if not np.all(
            (levels >= 0) & (levels <= 16) & (levels == np.round(levels)) & (labels == np.round(labels))[:, None]
        ):
            raise ValueError("grey levels must be whole numbers from 0 to 16, labels whole numbers")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataIntegrityError(
            f"{path}: not scikit-learn's digits ({error}). Remove it and fetch it again."
        ) from None
    images = np.round(levels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return ArrayPart(images if size is None else enlarged(images, size), labels.astype(np.int64))
