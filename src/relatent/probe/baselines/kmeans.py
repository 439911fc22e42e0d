"""One-layer K-means features (Coates, Ng, Lee 2011): whitened patches, triangle code, pooling over quadrants."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from relatent.progress import Progress

# Points whose distances to all centroids are taken at once: they fit in a core's share of the cache.
BLOCK_POINTS = 512


@dataclass(frozen=True)
class Dictionary:
    """Centroids of whitened patches.

    Attributes:
        patch: side of a patch in pixels.
        mean, whitening: (pixel,) and (pixel, pixel): a contrast-normalised patch p becomes (p - mean) whitening.
        centroids: (centroid, pixel), in the whitened space.
    """

    patch: int
    mean: np.ndarray
    whitening: np.ndarray
    centroids: np.ndarray


def patches_of(images: np.ndarray, patch: int) -> np.ndarray:
    """All patches of images (image, channel, height, width) at stride 1: (image, row, column, pixel), float32."""
    windows = sliding_window_view(images, (patch, patch), axis=(2, 3))  # (image, channel, row, column, y, x)
    windows = windows.transpose(0, 2, 3, 1, 4, 5)
    return windows.reshape(*windows.shape[:3], -1).astype(np.float32)


def contrast_normalised(patches: np.ndarray) -> np.ndarray:
    """Each patch of grey levels less its mean, over sqrt(variance + 10) (Coates et al. 2011, released code)."""
    centred = patches - patches.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 10)


def learn_dictionary(
    images: np.ndarray,
    centroids: int,
    patch: int,
    patches: int,
    iterations: int,
    rng: np.random.Generator,
    floor: float = 0.1,
) -> Dictionary:
    """K-means on whitened patches cut at random places of random images.

    Args:
        images: uint8 (image, channel, height, width).
        centroids, patch, patches, iterations: how many centroids, side of a patch, patches to learn from, passes of
            Lloyd's algorithm.
        floor: added to the eigenvalues before whitening (0.1 in the released code).
    """
    side_y, side_x = images.shape[2] - patch + 1, images.shape[3] - patch + 1
    which = rng.integers(len(images), size=patches)
    tops, lefts = rng.integers(side_y, size=patches), rng.integers(side_x, size=patches)
    cut = np.empty((patches, images.shape[1], patch, patch), np.uint8)
    for index in range(patches):
        top, left = tops[index], lefts[index]
        cut[index] = images[which[index], :, top : top + patch, left : left + patch]
    flat = contrast_normalised(cut.reshape(patches, -1).astype(np.float32))
    mean = flat.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(flat, rowvar=False, bias=True).astype(np.float64))
    whitening = ((axes / np.sqrt(np.maximum(values, 0) + floor)) @ axes.T).astype(np.float32)
    white = (flat - mean) @ whitening
    return Dictionary(patch, mean, whitening, _lloyd(white, centroids, iterations, rng))


def _lloyd(points: np.ndarray, count: int, iterations: int, rng: np.random.Generator) -> np.ndarray:
    """K-means by Lloyd's algorithm from random points; an empty cluster starts again at the worst-served point."""
    if count > len(points):
        raise ValueError(f"{count} centroids asked of {len(points)} patches; cut more patches")
    centroids = points[rng.permutation(len(points))[:count]].copy()
    # p.c - |c|^2 / 2, which is largest for the nearest centroid, as one product of (p, 1) and (c, -|c|^2 / 2).
    left = np.ones((BLOCK_POINTS, points.shape[1] + 1), np.float32)
    closeness = np.empty((BLOCK_POINTS, count), np.float32)
    with Progress("K-means", iterations, "passes") as progress:
        for _ in range(iterations):
            sums, counts = np.zeros(centroids.shape, np.float64), np.zeros(count)
            best = np.empty(len(points), np.float32)
            right = np.hstack([centroids, -(centroids**2).sum(axis=1)[:, None] / 2]).T
            for start in range(0, len(points), BLOCK_POINTS):
                block = points[start : start + BLOCK_POINTS]
                left[: len(block), :-1] = block
                scores = np.matmul(left[: len(block)], right, out=closeness[: len(block)])
                nearest = scores.argmax(axis=1)
                best[start : start + len(block)] = scores[np.arange(len(block)), nearest]
                order = np.argsort(nearest, kind="stable")
                labels, first = np.unique(nearest[order], return_index=True)
                sums[labels] += np.add.reduceat(block[order], first, axis=0)
                counts += np.bincount(nearest, minlength=count)
            empty = np.flatnonzero(counts == 0)
            centroids = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
            if len(empty):
                distance = (points**2).sum(axis=1) - 2 * best
                centroids[empty] = points[np.argsort(-distance, kind="stable")[: len(empty)]]
            progress.advance()
    return centroids


def triangle_features(dictionary: Dictionary, images: np.ndarray, out: np.ndarray) -> None:
    """Write the pooled triangle code of every image into `out`, (image, 4 x centroids).

    f_k = max(0, mean distance - distance to centroid k) at each patch, summed over each quadrant of patch positions.
    """
    side_y, side_x = images.shape[2] - dictionary.patch + 1, images.shape[3] - dictionary.patch + 1
    pooling = _quadrants(side_y, side_x)
    # |p - c|^2 = |p|^2 - 2 p.c + |c|^2 as one product, of (p, |p|^2, 1) and (-2 c, 1, |c|^2).
    squares = (dictionary.centroids**2).sum(axis=1)[:, None]
    right = np.hstack([-2 * dictionary.centroids, np.ones_like(squares), squares]).T
    left = np.ones((side_y * side_x, right.shape[0]), np.float32)
    distance = np.empty((len(left), right.shape[1]), np.float32)
    clipped = torch.from_numpy(distance)  # the same memory: torch clips several times faster than numpy
    average = np.full(right.shape[1], 1 / right.shape[1], np.float32)
    with Progress("K-means features", len(images), "images") as progress:
        for index in range(len(images)):
            patches = patches_of(images[index : index + 1], dictionary.patch)[0].reshape(len(left), -1)
            white = (contrast_normalised(patches) - dictionary.mean) @ dictionary.whitening
            left[:, :-2], left[:, -2] = white, (white**2).sum(axis=1)
            np.matmul(left, right, out=distance)
            clipped.clamp_(min=0)
            np.sqrt(distance, out=distance)
            np.subtract((distance @ average)[:, None], distance, out=distance)
            clipped.clamp_(min=0)
            out[index] = (pooling @ distance).reshape(-1)
            progress.advance()


def _quadrants(side_y: int, side_x: int) -> np.ndarray:
    """Which quadrant a patch position is in, (4, position), 0 or 1; middle rows and columns go to the first."""
    lower = (np.arange(side_y) >= (side_y + 1) // 2)[:, None]
    right = (np.arange(side_x) >= (side_x + 1) // 2)[None, :]
    quadrant = 2 * lower + right
    return (quadrant.reshape(-1) == np.arange(4)[:, None]).astype(np.float32)


def standardise(train: np.ndarray, *others: np.ndarray) -> None:
    """In place: each feature less its mean over `train`, over sqrt(variance + 0.01) (released code)."""
    mean, spread = train.mean(axis=0, dtype=np.float64), np.sqrt(train.var(axis=0, dtype=np.float64) + 0.01)
    for values in (train, *others):
        for start in range(0, len(values), 1024):
            values[start : start + 1024] = (values[start : start + 1024] - mean) / spread
