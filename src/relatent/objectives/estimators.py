"""Gradient estimators of the bounds, as surrogates: scalars to climb, whose value means nothing and is never reported.

| estimator | gradient of L_k | source |
|---|---|---|
| plain | eq. 14, total derivative of each log w | Burda et al. 2016, sec. 3 |
| stl | eq. 14 without the score of q: less variance, biased for k > 1 | Roeder et al. 2017 |
| dreg | encoder: squared weights, no score; unbiased, its signal-to-noise grows with k | Tucker et al. 2019 |
| single | one draw, picked by its weight, carries it all; unbiased, a third of the work | Burda et al. 2016, sec. 3.1 |
| kl | the ELBO with the KL of the top layer in closed form | Burda et al. 2016, sec. 2 |

`plain` and `single` have no surrogate here: they need the derivative of log w alone (`pick_by_weight` for the second).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Surrogate(NamedTuple):
    """What to climb, and the log weights of the draws, (k, batch), from which the bound is reported."""

    value: Tensor
    log_w: Tensor


class LatentModel(Protocol):
    """What an estimator asks of a model; z holds one tensor, (k, batch, latent), per stochastic layer."""

    def encode(self, x: Tensor) -> Any:
        """Parameters of q(z1|x)."""
        ...

    def sample_posterior(self, encoding: Any, noise: Sequence[Tensor]) -> Any:
        """Reparameterised draws `.z` and the Gaussians `.q` they came from."""
        ...

    def log_px_given_z(self, x: Tensor, z: Sequence[Tensor]) -> Tensor:
        """(k, batch)."""
        ...

    def log_pz(self, z: Sequence[Tensor]) -> Tensor:
        """(k, batch)."""
        ...

    def log_qz_given_x(self, z: Sequence[Tensor], encoding: Any, frozen: bool = False) -> Tensor:
        """(k, batch); with `frozen` q's own parameters are constants, but not its dependence on z."""
        ...


Coefficients = Callable[[Tensor], Tensor]


def stl(model: LatentModel, x: Tensor, noise: Sequence[Tensor], coefficients_of: Coefficients) -> Surrogate:
    """Sticking the landing: eq. 14 with q's parameters held constant inside log q.

    At the true posterior its variance is zero. For k > 1 the dropped score has a mean, and the estimator is biased
    (Tucker et al. 2019); for the VAE's bound it is unbiased at any k.

    Args:
        model: one or two stochastic layers.
        x: (batch, pixels).
        noise: standard normals, from z1 up, each (k, batch, latent_i).
        coefficients_of: log_w to the derivative of the bound by it, from `bounds.BOUNDS`.
    """
    encoding = model.encode(x)
    z = model.sample_posterior(encoding, noise).z
    log_w = model.log_px_given_z(x, z) + model.log_pz(z) - model.log_qz_given_x(z, encoding, frozen=True)
    return Surrogate((coefficients_of(log_w.detach()) * log_w).sum(), log_w.detach())


def dreg(model: LatentModel, x: Tensor, noise: Sequence[Tensor], coefficients_of: Coefficients) -> Surrogate:
    """Doubly reparameterised: sum_i wt_i^2 (d log w_i / dz_i)(dz_i / dphi) for the encoder, eq. 14 for the decoder.

    With two layers z is the chain (z1, z2) as one draw from q(z1|x) q(z2|z1). The score of the joint q is what is
    reparameterised again, so the derivative by z keeps all that z1 does inside log q(z2|z1) and log p(z1|z2), and only
    q's parameters are constants. Freezing the mean and sd of q(z2|z1) instead, as a port from one layer would, drops
    the part through z1 and is biased (cf. Bauer and Mnih 2021). Each draw's derivative is scaled where the weight reads
    it and not where z2 is drawn from z1: the path between the layers would otherwise be scaled twice.

    Args and returns as for `stl`.
    """
    encoding = model.encode(x)
    read = [z.view_as(z) for z in model.sample_posterior(encoding, noise).z]
    log_w = model.log_px_given_z(x, read) + model.log_pz(read) - model.log_qz_given_x(read, encoding, frozen=True)
    coefficients = coefficients_of(log_w.detach())
    for z in read:
        z.register_hook(lambda gradient: gradient * coefficients.unsqueeze(-1))
    return Surrogate((coefficients * log_w).sum(), log_w.detach())


def analytic_kl(model: LatentModel, x: Tensor, noise: Sequence[Tensor], coefficients_of: Coefficients) -> Surrogate:
    """The ELBO with KL(q || N(0, I)) of the top layer in closed form; for the VAE only.

    With one layer, E log p(x|z1) - KL(q(z1|x) || p(z1)); with two, q(z1|x) and p(z1|z2) stay sampled. The terms given
    as log_w have the ELBO as their mean, but are no importance weights.
    """
    encoding = model.encode(x)
    z, q = model.sample_posterior(encoding, noise)
    log_w = model.log_px_given_z(x, z) + model.log_pz(z) - model.log_qz_given_x(z, encoding)
    mean, sd = q[-1]
    sampled = 0.5 * (z[-1].square() - noise[-1].square()) - torch.log(sd)
    exact = 0.5 * (mean.square() + sd.square() - 1) - torch.log(sd)
    terms = log_w + (sampled - exact).sum(-1)
    return Surrogate((coefficients_of(terms.detach()) * terms).sum(), terms.detach())


def pick_by_weight(noise: Sequence[Tensor], coefficients: Tensor, uniform: Tensor) -> tuple[Tensor, ...]:
    """Single-sample backward: for each image the noise of one draw, picked with probability equal to its coefficient.

    The gradient of that draw's log w alone is an unbiased estimate of eq. 14.

    Args:
        noise: from z1 up, each (k, batch, latent_i).
        coefficients: (k, batch), summing to 1 over k.
        uniform: (batch,) in [0, 1).

    Returns:
        Noise of one draw, each (1, batch, latent_i).
    """
    # A float sum may end a little below 1, hence the clamp.
    index = (coefficients.cumsum(0) <= uniform).sum(0).clamp(max=coefficients.shape[0] - 1)
    images = torch.arange(coefficients.shape[1], device=coefficients.device)
    return tuple(part[index, images].unsqueeze(0) for part in noise)


SURROGATES = {"stl": stl, "dreg": dreg, "kl": analytic_kl}
