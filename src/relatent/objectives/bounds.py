"""Lower bounds on log p(x) from log importance weights, and their derivatives. Burda et al. 2016, sec. 2 and 3.

All take log_w, (k, batch), in nats, and give one value per image. A bound is what is reported; a surrogate never is.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def elbo(log_w: Tensor) -> Tensor:
    """The VAE's bound, the mean of log w over k samples: (k, batch) to (batch,), nats. k only lowers its noise."""
    # At k = 1 the value itself, so that VAE and IWAE agree there bit for bit.
    return log_w[0] if log_w.shape[0] == 1 else log_w.mean(dim=0)


def iwae_bound(log_w: Tensor) -> Tensor:
    """L_k of each image, (batch,), from log_w, (k, batch); nats. At k = 1 it is the ELBO."""
    if log_w.shape[0] == 1:
        return log_w[0]
    # logsumexp, because the weights of real images underflow float32.
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])


def equal_weights(log_w: Tensor) -> Tensor:
    """Derivative of `elbo` by each log w, (k, batch): 1/k."""
    return torch.full_like(log_w, 1 / log_w.shape[0])


def normalised_weights(log_w: Tensor) -> Tensor:
    """Derivative of `iwae_bound` by each log w, (k, batch): the weights of eq. 14, which sum to 1 over k."""
    return torch.softmax(log_w, dim=0)


# objective -> its bound, and the derivative of the bound by log w
BOUNDS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "vae": (elbo, equal_weights),
    "iwae": (iwae_bound, normalised_weights),
}
