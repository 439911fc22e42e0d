"""The de-duplication autoencoder of Radford et al. 2016, sec. 3.1: inputs - 128 ReLU units - inputs.

3072 inputs for 32x32 colour, 1024 for 32x32 grey. The paper names the shape, the denoising, the dropout and the ReLU;
what it leaves open (specs, section 4: noise, dropout rate and place, output, loss, scaling) is chosen here and said so.
"""

import math

import torch
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """A ReLU code of an image and its linear reconstruction.

    Ours, since the paper does not say: pixels in [0, 1] less the image's own mean and less the mean of such images;
    untied weights; linear output. Centring puts a unit's threshold inside the data, so that its bit is neither always
    nor never on; without the image's own mean most bits tell its brightness and nothing else, and on photographs
    twice as many different pictures share a code. (Dividing by the image's spread as well makes codes blind to
    contrast: more copies of other brightness are found, and more flat pictures confused.)

    Args:
        inputs: pixels per image, channels included.
        code_units: units of the code (128 in the paper).
    """

    mean: Tensor

    def __init__(self, inputs: int, code_units: int = 128) -> None:
        super().__init__()
        self.encoder = nn.Linear(inputs, code_units)
        self.decoder = nn.Linear(code_units, inputs)
        self.register_buffer("mean", torch.zeros(inputs))

    def initialise(self, rng: torch.Generator) -> None:
        """Glorot-uniform weights and zero biases, drawn from `rng`."""
        for layer in (self.encoder, self.decoder):
            bound = math.sqrt(6 / (layer.in_features + layer.out_features))
            nn.init.uniform_(layer.weight, -bound, bound, generator=rng)
            nn.init.zeros_(layer.bias)

    def pixels(self, images: Tensor) -> Tensor:
        """Centred pixels, (batch, inputs), of uint8 images, (batch, channel, height, width)."""
        return less_own_mean(images) - self.mean

    def code(self, pixels: Tensor) -> Tensor:
        """ReLU code, (batch, code_units), of centred pixels, (batch, inputs)."""
        return torch.relu(self.encoder(pixels))

    def reconstruction(self, code: Tensor) -> Tensor:
        """Centred pixels, (batch, inputs), from a code, (batch, code_units)."""
        return self.decoder(code)


def less_own_mean(images: Tensor) -> Tensor:
    """Pixels of each image, in [0, 1], less their mean over pixels and channels, (batch, pixels); images uint8."""
    grey = images.flatten(1).float() / 255
    return grey - grey.mean(dim=1, keepdim=True)
