"""Log importance weights of one image at a time: the inner loop of every L_k, in numpy.

The same function as `DensityModel.log_importance_weights`, which is the readable statement of it; a test holds them
together. One image needs k = 5,000 rows through the decoder, so what is not a matrix product must cost next to
nothing (specs/iwae.md, section 12):

- arrays are (feature, k): sums over pixels or units run along contiguous samples, and a bias is one more column of the
  weights, met by a row of ones;
- z1 = mean + sd * noise is never formed for the decoder: sd and mean of the image go into the first layer's weights;
- tanh(a) = 2 (sigmoid(2a) - 1/2), the doublings, exact, are in the weights: torch's sigmoid is the one function that
  is fast with AVX2 as with AVX-512 (1.1 and 0.4 ns per element; numpy's tanh takes 3.2 and 0.4);
- a pixel of logit l has the probability 1 / (1 + 2^v), v = (1 - 2x) l / ln 2. Sign and 1 / ln 2 go into the last
  layer's weights, once per image; a power of two takes 0.6 ns, and sixteen pixels share a logarithm.

Images are never mixed, so a number does not depend on the batch or the block of images it was computed in.

The mode bfloat16 rounds the factors of the products, and nothing else, to 8 bits. On MNIST's VAE k=1 after 121 epochs
it moved L_5000 of 1,000 images by -0.002 nats on average (standard error 0.0015), of one by 0.24 at most; float32 by
0.00002 at most (benchmarks/iwae_accuracy.py).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from relatent.models.density import DensityModel, GaussianNet

Array = NDArray[np.floating]
Precision = Literal["float32", "bfloat16", "float64"]

BLOCK = 625  # samples: enough to read the weights seldom, few enough for the cache; a part of 5,000
FACTORS = 16  # pixels per logarithm
LARGEST_PRODUCT = 1e38  # of inverse probabilities: pixels missed by 87 nats together. Above, float32 has no numbers


@dataclass(frozen=True)
class Encoded:
    """What is known of an image before any sample is drawn.

    Args:
        first: (units, latent_1 + 1), first layers over z1 with this image's sd and mean inside; the last column is
            their bias. As `_product` takes it.
        signed: (pixels, hidden + 1), the last layer with the sign 1 - 2x of each pixel. As `_product` takes it.
        mean, sd: (latent_1, 1), of q(z1|x).
        log_sd_sum: sum of log sd.
    """

    first: Any
    signed: Any
    mean: Array
    sd: Array
    log_sd_sum: float


class FastWeights:
    """Log weights of a density model, with buffers that are used again for each block of samples.

    Not for two threads at once: each needs one of its own.

    Args:
        model: a one- or two-layer model.
        precision: float32 for results, float64 to check them, bfloat16 for speed: a mode of its own, to be named.
        block: samples per block.
    """

    def __init__(self, model: DensityModel, precision: Precision = "float32", block: int = BLOCK) -> None:
        dtype: Any = np.float64 if precision == "float64" else np.float32
        self.layers, self.precision, self.dtype = model.layers, precision, dtype
        self.latents = model.latents
        decoder = model.p_x_given_z1
        self.first = 2 * _with_bias(decoder.hidden1, dtype)
        self.second = self._factor(2 * _over_halves(_with_bias(decoder.hidden2, dtype)))
        self.logits = _over_halves(_with_bias(decoder.logits, dtype)) / dtype(math.log(2))
        self.hidden = len(decoder.hidden2.weight)
        if self.layers == 2:
            self.q_z2 = _Gaussian(model.q_z2_given_z1, self)
            self.p_z1 = _Gaussian(model.p_z1_given_z2, self)
            # Both nets over z1 begin with a product by z1: one product serves them.
            self.first = np.concatenate([self.first, 2 * _with_bias(model.q_z2_given_z1.hidden1, dtype)])
        self.block = block
        self._buffers: dict[tuple[str, int], Array] = {}

    def encode(self, x: NDArray[np.uint8], mean: Array, sd: Array) -> Encoded:
        """Fold one image into the weights.

        Args:
            x: (pixels,) in {0, 1}.
            mean, sd: (latent_1,), of q(z1|x).
        """
        mean, sd = mean.astype(self.dtype), sd.astype(self.dtype)
        first = np.empty_like(self.first)
        np.multiply(self.first[:, :-1], sd, out=first[:, :-1])
        first[:, -1] = self.first[:, -1] + self.first[:, :-1] @ mean
        sign = np.where(x == 1, -1, 1).astype(self.dtype)
        log_sd_sum = float(np.log(sd.astype(np.float64)).sum())
        signed = self._factor(self.logits * sign[:, None])
        return Encoded(self._factor(first), signed, mean[:, None], sd[:, None], log_sd_sum)

    def log_weights(self, image: Encoded, noise: tuple[Array, ...]) -> Array:
        """log p(x|z) + log p(z) - log q(z|x) of each sample, (k,) in nats.

        Args:
            noise: standard normals, from z1 up, each (latent_i, k).
        """
        noise = tuple(part.astype(self.dtype, copy=False) for part in noise)
        k = noise[0].shape[1]
        log_w: Array = np.empty(k, self.dtype)
        for start in range(0, k, self.block):
            rows = slice(start, min(start + self.block, k))
            log_w[rows] = self._block(image, [part[:, rows] for part in noise])
        return log_w

    def _block(self, image: Encoded, noise: list[Array]) -> Array:
        k = noise[0].shape[1]
        noise1 = self._ones_below("noise1", self.latents[0], k)
        noise1[:-1] = noise[0]
        outputs = self._buffer("first", len(image.first), k)
        self._product(image.first, noise1, outputs)
        hidden1 = self._ones_below("hidden1", self.hidden, k)
        _half_tanh(outputs[: self.hidden], out=hidden1[:-1])
        hidden2 = self._layer("hidden2", self.second, hidden1)
        log_w = self._log_pixels(image.signed, hidden2)
        z1 = self._buffer("z1", self.latents[0], k)
        np.multiply(noise1[:-1], image.sd, out=z1)
        z1 += image.mean
        # log p(z) - log q(z|x): the constants of the Gaussians cancel.
        log_w += self._half_squares(noise1[:-1])
        log_w += self.dtype(image.log_sd_sum)
        if self.layers == 1:
            log_w -= self._half_squares(z1)
            return log_w
        hidden = self._ones_below("q hidden1", len(self.q_z2.first), k)
        _half_tanh(outputs[self.hidden :], out=hidden[:-1])
        mean2, log_sd2 = self._heads(self.q_z2, hidden)
        log_w += _sum(log_sd2)
        z2 = self._ones_below("z2", self.latents[1], k)
        np.exp(log_sd2, out=z2[:-1])
        z2[:-1] *= noise[1]
        z2[:-1] += mean2
        log_w += self._half_squares(noise[1])
        log_w -= self._half_squares(z2[:-1])
        mean1, log_sd1 = self._heads(self.p_z1, self._layer("p hidden1", self.p_z1.first, z2))
        log_w -= _sum(log_sd1)
        z1 -= mean1
        np.negative(log_sd1, out=log_sd1)
        np.exp(log_sd1, out=log_sd1)
        z1 *= log_sd1
        log_w -= self._half_squares(z1)
        return log_w

    def _factor(self, weights: Array) -> Any:
        """Weights as the left factor of `_product`."""
        return torch.from_numpy(weights).bfloat16() if self.precision == "bfloat16" else weights

    def _product(self, weights: Any, inputs: Array, out: Array) -> None:
        """out = weights @ inputs."""
        if self.precision == "bfloat16":
            torch.from_numpy(out).copy_(torch.mm(weights, torch.from_numpy(inputs).bfloat16()))
        else:
            np.matmul(weights, inputs, out=out)

    def _log_pixels(self, signed: Any, hidden: Array) -> Array:
        """Sum over pixels of -log(1 + 2^v), v = signed @ hidden."""
        v = self._buffer("v", len(signed), hidden.shape[1])
        self._product(signed, hidden, v)
        torch.from_numpy(v).exp2_().add_(1)
        factors, shared = v, 1
        with np.errstate(over="ignore"):
            while shared < FACTORS and len(factors) % 2 == 0:
                half = len(factors) // 2
                factors[:half] *= factors[half:]
                factors, shared = factors[:half], 2 * shared
        if factors.max() < LARGEST_PRODUCT:
            np.log(factors, out=factors)
            return -_sum(factors)
        self._product(signed, hidden, v)  # rare: take the form that cannot overflow
        return -_sum(np.maximum(v, 0) * self.dtype(math.log(2)) + np.log1p(np.exp2(-np.abs(v))))

    def _heads(self, net: "_Gaussian", hidden1: Array) -> tuple[Array, Array]:
        """Mean and log sd, each (latent, k)."""
        hidden2 = self._layer(net.name + " hidden2", net.second, hidden1)
        heads = self._buffer(net.name + " heads", len(net.heads), hidden1.shape[1])
        self._product(net.heads, hidden2, heads)
        half = len(heads) // 2
        return heads[:half], heads[half:]

    def _layer(self, name: str, weights: Any, inputs: Array) -> Array:
        """tanh / 2 of half of weights @ inputs, over a row of ones."""
        out = self._ones_below(name, len(weights), inputs.shape[1])
        self._product(weights, inputs, out[:-1])
        _half_tanh(out[:-1], out=out[:-1])
        return out

    def _half_squares(self, values: Array) -> Array:
        """Half the squared length of each sample, (k,)."""
        squares = self._buffer("squares", *values.shape)
        np.square(values, out=squares)
        total = _sum(squares)
        total *= self.dtype(0.5)
        return total

    def _buffer(self, name: str, rows: int, k: int) -> Array:
        key = (name, k)
        buffer = self._buffers.get(key)
        if buffer is None or len(buffer) != rows:
            buffer = self._buffers[key] = np.empty((rows, k), self.dtype)
        return buffer

    def _ones_below(self, name: str, rows: int, k: int) -> Array:
        buffer = self._buffer(name, rows + 1, k)
        buffer[-1] = 1
        return buffer


class _Gaussian:
    """The weights of a GaussianNet, biases inside: first, second, and the two heads as one product."""

    def __init__(self, net: GaussianNet, owner: FastWeights) -> None:
        self.name = str(id(self))
        first, second, mean, log_sd = (
            _with_bias(layer, owner.dtype) for layer in (net.hidden1, net.hidden2, net.mean, net.log_sd)
        )
        self.first, self.second = owner._factor(2 * first), owner._factor(2 * _over_halves(second))
        self.heads = owner._factor(_over_halves(np.concatenate([mean, log_sd])))


def _with_bias(layer: nn.Linear, dtype: type) -> Array:
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return np.ascontiguousarray(np.concatenate([weight, bias[:, None]], axis=1), dtype=dtype)


def _over_halves(weights: Array) -> Array:
    """The same layer, over inputs that come halved; the last column, the bias, stays."""
    return np.concatenate([2 * weights[:, :-1], weights[:, -1:]], axis=1)


def _half_tanh(doubled: Array, out: Array) -> None:
    """out = tanh(a) / 2 from 2a: sigmoid(2a) - 1/2, the difference exact where tanh is small."""
    torch.sigmoid(torch.from_numpy(doubled), out=torch.from_numpy(out)).sub_(0.5)


def _sum(values: Array) -> Array:
    """Sum over the first axis: as a product with ones it runs at the speed of memory."""
    return np.ones(len(values), values.dtype) @ values
