"""Overlapping square crops of photographs: a set of colour images where nothing larger is at hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relatent.data.images import read_photograph
from relatent.data.parts import ArrayPart
from relatent.errors import DataIntegrityError


def read_crops(paths: Sequence[Path], size: int, stride: int, columns: tuple[int, int]) -> ArrayPart:
    """All size × size crops whose corner lies on the grid of `stride` pixels, row by row, photograph by photograph.

    Args:
        paths: the photographs; the label of a crop is the index of its photograph.
        size: of a crop, in pixels.
        stride: between neighbouring crops, in pixels.
        columns: first column and one past the last; a crop lies whole between them.

    Raises:
        DataIntegrityError: a photograph that cannot be read or is too small.
    """
    crops, labels = [], []
    for label, path in enumerate(paths):
        photograph = read_photograph(path)
        first, last = columns
        if photograph.shape[1] < size or photograph.shape[2] < last or last - first < size:
            raise DataIntegrityError(
                f"{path}: {photograph.shape[2]}×{photograph.shape[1]} pixels hold no {size}×{size} crop in columns "
                f"{first} to {last}. Correct `columns` and `size` in its registry entry."
            )
        band = photograph[:, :, first:last]
        windows = np.lib.stride_tricks.sliding_window_view(band, (size, size), axis=(1, 2))[:, ::stride, ::stride]
        found = windows.transpose(1, 2, 0, 3, 4).reshape(-1, 3, size, size)
        crops.append(found)
        labels.append(np.full(len(found), label, dtype=np.int64))
    return ArrayPart(np.concatenate(crops), np.concatenate(labels))
