"""Prepared images, as the commands that evaluate read them."""

from pathlib import Path
from typing import TYPE_CHECKING

from relatent.errors import DataIntegrityError

if TYPE_CHECKING:
    import numpy as np


def read_images(path: Path) -> "np.ndarray":
    """A prepared split, memory-mapped.

    Raises:
        DataIntegrityError: not a uint8 array of images.
    """
    import numpy as np

    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataIntegrityError(f"{path}: not readable as an array ({error}). Run `snakemake {path}`.") from None
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise DataIntegrityError(
            f"{path}: holds {images.dtype} {images.shape}, not uint8 (n, channel, height, width) images. "
            f"Remove it and run `snakemake {path}`."
        )
    return images
