"""Pixels as features, and weights as pixels; without torch, which takes longer to import than either to compute."""

import numpy as np


def pixels(images: np.ndarray) -> np.ndarray:
    """Grey levels in [-1, 1], (image, pixel), float32, of uint8 images (image, channel, height, width)."""
    return np.asarray(images).reshape(len(images), -1).astype(np.float32) / np.float32(127.5) - np.float32(1)


def filter_pictures(weights: np.ndarray, most: int = 64) -> list:
    """The first filters as pictures, nested lists (filter, channel, height, width) of grey levels 0 to 255.

    128 is zero, and each filter is scaled by its own largest weight. As lists, since they stand in the features'
    layout: a net's first convolution, or the centroids of K-means in their whitened space, as Coates et al. 2011 show
    theirs.
    """
    shown = weights[:most].astype(np.float64)
    largest = np.abs(shown).reshape(len(shown), -1).max(axis=1)
    scaled = shown / np.maximum(largest, np.finfo(float).tiny)[:, None, None, None]
    return np.round(128 + 127 * scaled).astype(int).tolist()
