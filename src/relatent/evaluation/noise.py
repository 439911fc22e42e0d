"""Standard normals for the samples of one image, keyed by (seed, purpose, image).

Sample j of an image always gets the same numbers, however samples are cut into blocks and images into batches, and all
models evaluated under one seed see the same noise: differences between them are paired.
"""

import math

import numpy as np
from numpy.typing import NDArray

from relatent.data.streams import stream


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
        words = self.words.random_raw(k * self.pairs).reshape(k, self.pairs).T.astype("<u8", order="C")
        halves = words.view("<u4")
        radius = halves[:, 0::2].astype(np.float32)
        radius += np.float32(0.5)
        radius *= np.float32(2.0**-32)
        np.log(radius, out=radius)
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        angle = halves[:, 1::2].astype(np.float32)
        angle *= np.float32(2 * math.pi * 2.0**-32)
        normals = np.empty((2 * self.pairs, k), np.float32)
        np.multiply(radius, np.cos(angle), out=normals[: self.pairs])
        np.multiply(radius, np.sin(angle), out=normals[self.pairs :])
        stops = np.cumsum(self.latents)
        return tuple(normals[stop - latent : stop] for latent, stop in zip(self.latents, stops, strict=True))
