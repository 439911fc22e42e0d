"""The density models of Burda et al. 2016: one or two stochastic layers, tanh nets, Bernoulli pixels.

q(z|x) = q(z1|x) q(z2|z1) and p(x, z) = p(z2) p(z1|z2) p(x|z1); z1 is next to x. Parameters are named after the
density they belong to, e.g. `q_z1_given_x.hidden1.weight`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from relatent.models.densities import Gaussian, log_standard_normal, softplus_sum, tanh

# Burda et al. 2016, sec. 5 and appendix C: units per hidden layer around x and between the two stochastic layers.
HIDDEN_NEXT_TO_X = 200
HIDDEN_BETWEEN_LATENTS = 100
LATENTS = {1: (50,), 2: (100, 50)}

# The training-pixel mean is clipped to this range before its logit becomes the output bias (released code).
PIXEL_MEAN_RANGE = (0.001, 0.999)


class GaussianNet(nn.Module):
    """inputs -> hidden -> hidden (tanh), then one head for the mean and one whose exponential is the sd.

    The released code's exp head gives the standard deviation; the paper's text says variance. There is no floor on it.
    """

    def __init__(self, inputs: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(inputs, hidden)
        self.hidden2 = nn.Linear(hidden, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_sd = nn.Linear(hidden, latent)

    def forward(self, inputs: Tensor) -> Gaussian:
        """inputs, (..., inputs), to the Gaussian of each row, (..., latent)."""
        hidden = tanh(self.hidden2(tanh(self.hidden1(inputs))))
        return Gaussian(self.mean(hidden), torch.exp(self.log_sd(hidden)))


class BernoulliNet(nn.Module):
    """latent -> hidden -> hidden (tanh) -> the logit of each pixel."""

    def __init__(self, latent: int, hidden: int, pixels: int) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(latent, hidden)
        self.hidden2 = nn.Linear(hidden, hidden)
        self.logits = nn.Linear(hidden, pixels)

    def last_hidden(self, z1: Tensor) -> Tensor:
        """(..., latent) to (..., hidden)."""
        return tanh(self.hidden2(tanh(self.hidden1(z1))))

    def forward(self, z1: Tensor) -> Tensor:
        """(..., latent) to logits, (..., pixels)."""
        return self.logits(self.last_hidden(z1))

    def log_density(self, x: Tensor, z1: Tensor) -> Tensor:
        """log p(x|z1) of x, (batch, pixels), and z1, (k, batch, latent): (k, batch).

        x.l = h.(W'x) + b.x, so the part with x is computed once per image and not once per sample.
        """
        hidden = self.last_hidden(z1)
        weighted_x, bias_x = x @ self.logits.weight, x @ self.logits.bias
        return (hidden * weighted_x).sum(-1) + bias_x - softplus_sum(self.logits(hidden))


class Posterior(NamedTuple):
    """Draws of the latents, from z1 up: each (k, batch, latent_i); and the Gaussians they came from."""

    z: tuple[Tensor, ...]
    q: tuple[Gaussian, ...]


class DensityModel(nn.Module):
    """VAE and IWAE share this model; they differ in the objective only.

    Args:
        pixels: of one image, flattened.
        layers: stochastic layers, 1 or 2.
        latents: units of z1 (and z2); the paper's 50, or 100 and 50, unless given. (2,) is the model of its figure 2.
        hidden: units per hidden layer next to x; 200 in the paper.
        hidden_between: units per hidden layer between z1 and z2; 100 in the paper.

    With 784 pixels: 425,284 parameters (one layer), 521,084 (two).

    Raises:
        ValueError: layers and latents do not agree.
    """

    def __init__(
        self,
        pixels: int,
        layers: int = 1,
        latents: Sequence[int] | None = None,
        hidden: int = HIDDEN_NEXT_TO_X,
        hidden_between: int = HIDDEN_BETWEEN_LATENTS,
    ) -> None:
        super().__init__()
        if layers not in LATENTS:
            raise ValueError(f"layers is {layers}; the paper's models have 1 or 2 stochastic layers")
        self.pixels, self.layers = pixels, layers
        self.latents = tuple(LATENTS[layers] if latents is None else latents)
        if len(self.latents) != layers:
            raise ValueError(f"{layers} stochastic layers need {layers} sizes in latents, not {self.latents}")
        self.q_z1_given_x = GaussianNet(pixels, hidden, self.latents[0])
        if layers == 2:
            self.q_z2_given_z1 = GaussianNet(self.latents[0], hidden_between, self.latents[1])
            self.p_z1_given_z2 = GaussianNet(self.latents[1], hidden_between, self.latents[0])
        self.p_x_given_z1 = BernoulliNet(self.latents[0], hidden, pixels)

    @torch.no_grad()
    def initialise(self, rng_for: Callable[[str], np.random.Generator], pixel_means: np.ndarray) -> None:
        """Glorot-uniform weights, zero biases, and the output bias that predicts the training mean.

        Args:
            rng_for: the random stream of a parameter, by its name; one and the same stream for every name ties
                layers of equal shape, as the released code does.
            pixel_means: (pixels,), mean of each training pixel in [0, 1].
        """
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                parameter.zero_()
                continue
            outputs, inputs = parameter.shape
            bound = math.sqrt(6 / (inputs + outputs))
            # Drawn as (inputs, outputs), the layout of the released code.
            draw = rng_for(name).uniform(-bound, bound, (inputs, outputs))
            parameter.copy_(torch.from_numpy(draw.T))
        mean = np.clip(np.asarray(pixel_means, dtype=np.float64), *PIXEL_MEAN_RANGE)
        self.p_x_given_z1.logits.bias.copy_(torch.from_numpy(np.log(mean / (1 - mean))))

    def encode(self, x: Tensor) -> Gaussian:
        """q(z1|x): mean and sd, each (batch, latent), of x, (batch, pixels)."""
        return self.q_z1_given_x(x)

    def encode_z2(self, z1: Tensor) -> Gaussian:
        """q(z2|z1): mean and sd, each (..., latent_2), of z1, (..., latent_1). Two-layer models only."""
        return self.q_z2_given_z1(z1)

    def decode(self, z1: Tensor) -> Tensor:
        """Logits of the pixels, (..., pixels), of z1, (..., latent_1)."""
        return self.p_x_given_z1(z1)

    def sample_posterior(self, encoding: Gaussian, noise: Sequence[Tensor]) -> Posterior:
        """Draws from q(z|x), a chain z1 -> z2 for each sample.

        Args:
            encoding: q(z1|x) of the batch, from `encode`; computed once and not once per sample.
            noise: standard normals, from z1 up, each (k, batch, latent_i).
        """
        if len(noise) != self.layers:
            raise ValueError(f"noise has {len(noise)} parts; this model has {self.layers} stochastic layers")
        if noise[0].shape[-2] != encoding.mean.shape[0]:
            raise ValueError(
                f"noise is for {noise[0].shape[-2]} images, x has {encoding.mean.shape[0]}; "
                "noise must be (k, batch, latent)"
            )
        z1 = encoding.sample(noise[0])
        if self.layers == 1:
            return Posterior((z1,), (encoding,))
        q_z2 = self.encode_z2(z1)
        return Posterior((z1, q_z2.sample(noise[1])), (encoding, q_z2))

    def log_px_given_z(self, x: Tensor, z: Sequence[Tensor]) -> Tensor:
        """log p(x|z), (k, batch), of x, (batch, pixels) in {0, 1}; it depends on z1 alone."""
        return self.p_x_given_z1.log_density(x, z[0])

    def log_pz(self, z: Sequence[Tensor]) -> Tensor:
        """log p(z) = log p(z2) + log p(z1|z2), (k, batch); with one layer log p(z1)."""
        log_p_top = log_standard_normal(z[-1])
        return log_p_top if self.layers == 1 else log_p_top + self.p_z1_given_z2(z[1]).log_density(z[0])

    def log_qz_given_x(self, z: Sequence[Tensor], encoding: Gaussian, frozen: bool = False) -> Tensor:
        """log q(z|x) = log q(z1|x) + log q(z2|z1), (k, batch).

        With `frozen`, q's parameters are constants and z is not: z1 still moves the mean and sd of q(z2|z1).
        """
        if not frozen:
            log_q = encoding.log_density(z[0])
            return log_q if self.layers == 1 else log_q + self.encode_z2(z[0]).log_density(z[1])
        log_q = Gaussian(encoding.mean.detach(), encoding.sd.detach()).log_density(z[0])
        if self.layers == 1:
            return log_q
        constants = {name: value.detach() for name, value in self.q_z2_given_z1.named_parameters()}
        q_z2: Gaussian = torch.func.functional_call(self.q_z2_given_z1, constants, (z[0],))
        return log_q + q_z2.log_density(z[1])

    def log_importance_weights(self, x: Tensor, noise: Sequence[Tensor], encoding: Gaussian | None = None) -> Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x) of draws from q(z|x), reparameterised. Burda et al. 2016, sec. 3.

        Args:
            x: (batch, pixels) in {0, 1}.
            noise: standard normals, from z1 up, each (k, batch, latent_i).
            encoding: q(z1|x) if it is already known.

        Returns:
            log_w: (k, batch), nats.
        """
        z, q = self.sample_posterior(self.encode(x) if encoding is None else encoding, noise)
        # (z - mean) / sd is the noise itself, and the constants of q(z1|x) go into those of the prior.
        log_q = sum(
            log_standard_normal(noise_i) - torch.log(q_i.sd).sum(-1) for noise_i, q_i in zip(noise, q, strict=True)
        )
        return self.log_px_given_z(x, z) + self.log_pz(z) - log_q

    def sample_prior(self, noise: Sequence[Tensor]) -> Tensor:
        """Bernoulli means, (n, pixels), of draws from the prior; z1 is sampled from p(z1|z2) as in their figure 3.

        Args:
            noise: standard normals, from z1 up, each (n, latent_i).
        """
        z1 = noise[0] if self.layers == 1 else self.p_z1_given_z2(noise[1]).sample(noise[0])
        return torch.sigmoid(self.decode(z1))


def model_of(tensors: Mapping[str, Tensor], seed: int) -> DensityModel:
    """The model of one seed out of a checkpoint's tensors, named `seed<seed>.<parameter>`; its sizes are read off them.

    Raises:
        ValueError: there are no tensors of that seed, or they are not those of a density model.
    """
    prefix = f"seed{seed}."
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if not state:
        seeds = sorted({name.partition(".")[0] for name in tensors})
        raise ValueError(f"the checkpoint holds no tensors of seed {seed}; it holds {', '.join(seeds)}")
    try:
        z1, pixels = state["q_z1_given_x.mean.weight"].shape[0], state["p_x_given_z1.logits.weight"].shape[0]
        hidden = state["p_x_given_z1.logits.weight"].shape[1]
        between = state.get("q_z2_given_z1.mean.weight")
        if between is None:
            model = DensityModel(pixels, 1, (z1,), hidden)
        else:
            model = DensityModel(pixels, 2, (z1, between.shape[0]), hidden, between.shape[1])
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"the tensors of seed {seed} are not those of a density model: {error}") from None
    return model


def pixel_means(images: np.ndarray) -> np.ndarray:
    """Mean of each pixel over a training split, (pixels,) in [0, 1], of uint8 images, (n, channel, height, width)."""
    return images.reshape(len(images), -1).mean(axis=0, dtype=np.float64) / 255
