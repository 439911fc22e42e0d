"""Principal components of pixels, plain or whitened."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg


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
    n, d = pixels.shape
    # The smaller of images against images and pixels against pixels has the same leading eigenvalues.
    product = (centred @ centred.T if n < d else centred.T @ centred).astype(np.float64) / n
    total = float(product.trace())
    variances, axes = linalg.eigh(product, subset_by_index=(min(n, d) - count, min(n, d) - 1))
    variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
    if n < d:
        axes = np.linalg.qr(centred.T @ axes)[0]
    # The sign of an axis is arbitrary; its largest entry is made positive so that equal work gives equal bytes.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])
    if whiten:
        axes = axes / np.sqrt(variances + floor)
    return Components(mean, axes, float(variances.sum()) / max(total, np.finfo(float).tiny))
