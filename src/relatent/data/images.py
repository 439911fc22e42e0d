"""Images with Pillow, inside bounds of ours: opening, resizing, cropping."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relatent.errors import DataIntegrityError, MissingDataError

MAX_PIXELS = 64_000_000  # of one image; a photograph of a modern camera has 50 million


def enlarged(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(n, 1, h, w) grey images resized to (n, 1, size, size) by Pillow's bicubic filter."""
    resized = [Image.fromarray(image[0]).resize((size, size), Image.Resampling.BICUBIC) for image in images]
    return np.stack([np.asarray(image) for image in resized])[:, None]


def read_photograph(path: Path) -> NDArray[np.uint8]:
    """A JPEG or PNG, decoded whole, as (3, height, width).

    Raises:
        MissingDataError: no such file.
        DataIntegrityError: not an image, or too large a one.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}×{image.height} pixels")
            return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file. Fetch it again.") from None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataIntegrityError(f"{path}: not readable as a photograph ({error}). Fetch it again.") from None
