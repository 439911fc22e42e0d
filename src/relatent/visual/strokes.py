"""What can be measured of light strokes on black without a classifier: weight, slant, and how grey the ink is.

Images are (n, 1, height, width) uint8; each measure is (n,) float64.
"""

import torch
from torch import Tensor


def weight(images: Tensor) -> Tensor:
    """Mean grey level, in [0, 1]: the amount of ink."""
    return _ink(images).mean((1, 2))


def slant(images: Tensor) -> Tensor:
    """How far strokes lean to the right: pixels to the right per pixel upwards, from the ink's second moments.

    A slanted letter is an upright one sheared by this much. Ink in a single row, or none, has a slant of 0.
    """
    ink = _ink(images)
    height, width = ink.shape[1:]
    total = ink.sum((1, 2)).clamp_min(torch.finfo(ink.dtype).tiny)
    rows, columns = torch.arange(height, dtype=ink.dtype), torch.arange(width, dtype=ink.dtype)
    up = ((ink.sum(2) @ rows) / total)[:, None] - rows  # rows are counted downwards
    right = columns - ((ink.sum(1) @ columns) / total)[:, None]
    together = torch.einsum("nhw,nh,nw->n", ink, up, right)
    spread = torch.einsum("nhw,nh->n", ink, up.square())
    return torch.where(spread > 0, together / spread.clamp_min(torch.finfo(ink.dtype).tiny), 0.0)


def greyness(images: Tensor) -> Tensor:
    """How far the ink is from white, 1 - sum p^2 / sum p in [0, 1): higher where an image is blurred."""
    ink = _ink(images)
    total = ink.sum((1, 2)).clamp_min(torch.finfo(ink.dtype).tiny)
    return torch.where(ink.amax((1, 2)) > 0, 1 - ink.square().sum((1, 2)) / total, 0.0)


def _ink(images: Tensor) -> Tensor:
    if images.dim() != 4 or images.shape[1] != 1:
        raise ValueError(f"strokes are measured on (n, 1, height, width) grey images, not {tuple(images.shape)}")
    return images[:, 0].double() / 255
