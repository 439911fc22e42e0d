"""Standard normals for the samples of one image, keyed by (seed, purpose, image).

Sample j of an image always gets the same numbers, however samples are cut into blocks and images into batches, and all
models evaluated under one seed see the same noise: differences between them are paired.
"""

import math

import numpy as np
from numpy.typing import NDArray

from relatent.data.streams import stream

PAIRS_AT_ONCE = 16384  # of words turned into normals: what stays in a second-level cache, twice as fast as all at once


class ImageNoise:
    """The stream of one image: each call of `block` continues where the last one stopped.

    Numbers come by Box and Muller from pairs of 32-bit words, vectorised: numpy's own normals (a rejection method)
    take 10 ns each, these 4. The smallest uniform is 2^-33, so that values reach 6.8 standard deviations.

    Args:
        seed: of the evaluation, not of a model.
        purpose: what the numbers are for, e.g. "test posterior noise".
        image: index in its split.
        latents: units of each stochastic layer, from z1 up.
    """

    def __init__(self, seed: int, purpose: str, image: int, latents: tuple[int, ...]) -> None:
        self.words = stream(seed, purpose, image).bit_generator
        self.latents = latents
        self.pairs = math.ceil(sum(latents) / 2)

    def block(self, k: int) -> tuple[NDArray[np.float32], ...]:
        """The next `k` samples: for each layer (latent, k), so that sums over latents run along contiguous samples."""
        normals = np.empty((2 * self.pairs, k), np.float32)
        at_once = max(1, PAIRS_AT_ONCE // max(self.pairs, 1))
        for start in range(0, k, at_once):
            self._fill(normals[:, start : start + at_once])
        stops = np.cumsum(self.latents)
        return tuple(normals[stop - latent : stop] for latent, stop in zip(self.latents, stops, strict=True))

    def _fill(self, out: NDArray[np.float32]) -> None:
        """Box and Muller: the cosines of a sample's pairs, then their sines, (2 pairs, k)."""
        k = out.shape[1]
        words = self.words.random_raw(k * self.pairs).astype("<u8", copy=False).view("<u4")
        radius, angle = words.reshape(k, self.pairs, 2).transpose(2, 1, 0).astype(np.float32, order="C")
        radius += np.float32(0.5)
        radius *= np.float32(2.0**-32)
        np.log(radius, out=radius)
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        angle *= np.float32(2 * math.pi * 2.0**-32)
        np.multiply(radius, np.cos(angle), out=out[: self.pairs])
        np.multiply(radius, np.sin(angle, out=angle), out=out[self.pairs :])
