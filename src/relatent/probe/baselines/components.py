"""Principal components of pixels, plain or whitened."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """A fitted projection.

    Attributes:
        mean: (pixel,).
        axes: (pixel, component), orthonormal, or divided by the component's standard deviation if whitened.
        explained: share of the training variance that the components hold.
    """

    mean: np.ndarray
    axes: np.ndarray
    explained: float

    def transform(self, pixels: np.ndarray) -> np.ndarray:
        """Components of pixels (image, pixel): (image, component), float32."""
        return (pixels - self.mean) @ self.axes.astype(np.float32)


def fit_components(pixels: np.ndarray, count: int, whiten: bool = False, floor: float = 1e-4) -> Components:
    """The `count` directions of largest variance.

    Args:
        pixels: (image, pixel).
        whiten: divide each component by sqrt(variance + floor).
        floor: keeps directions without variance from being blown up; pixels are in [-1, 1].

    Raises:
        ValueError: more components than images or pixels.
    """
    if not 1 <= count <= min(pixels.shape):
        raise ValueError(f"{count} components asked of {pixels.shape[0]} images with {pixels.shape[1]} pixels")
    mean = pixels.mean(axis=0, dtype=np.float64).astype(pixels.dtype)
    centred = pixels - mean
    variances, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(pixels))
    order = np.argsort(variances)[::-1][:count]
    explained = float(variances[order].sum() / max(variances.sum(), np.finfo(float).tiny))
    # The sign of an axis is arbitrary; its largest entry is made positive so that equal work gives equal bytes.
    axes = axes[:, order]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])
    if whiten:
        axes = axes / np.sqrt(variances[order] + floor)
    return Components(mean, axes, explained)
