"""Latent-variable models with finitely many latent states, whose log p(x) is a sum over all of them.

p(x) = sum_z p(z) p(x|z). They show what an importance-sampled bound misses, and serve as ground truth in tests
(specs/iwae.md, section 7).
"""

import math

import torch
from torch import Tensor, nn

from relatent.models.densities import HALF_LOG_TWO_PI


class GaussianMixture:
    """z uniform over the components, p(x|z) a Gaussian with diagonal covariance; the proposal q(z|x) is the prior.

    Args:
        means, variances: (components, dimension), float64.
    """

    def __init__(self, means: Tensor, variances: Tensor) -> None:
        if means.shape != variances.shape or not (variances > 0).all():
            raise ValueError("means and variances must have one shape, and variances must be above 0")
        self.means, self.variances = means, variances

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, z), (components, batch), of x, (batch, dimension)."""
        deviation = (x[None] - self.means[:, None]).square() / self.variances[:, None]
        log_px_given_z = -0.5 * (deviation + self.variances[:, None].log()).sum(-1) - x.shape[-1] * HALF_LOG_TWO_PI
        return log_px_given_z - math.log(len(self.means))

    def log_proposal(self, x: Tensor) -> Tensor:
        """log q(z|x) = log p(z), (components, batch)."""
        return torch.full((len(self.means), len(x)), -math.log(len(self.means)), dtype=x.dtype)

    def log_px(self, x: Tensor) -> Tensor:
        """Exact log p(x), (batch,), nats."""
        return torch.logsumexp(self.log_joint(x), dim=0)


class BernoulliLatent(nn.Module):
    """A vector of binary latents, z_j ~ Bernoulli(beta_j) with beta learned, and a tanh decoder to Bernoulli pixels.

    p(x) is summed over all 2^latents states, so it is trained by exact maximum likelihood. The proposal is a factorised
    encoder, q(z|x) = prod_j Bernoulli(z_j; e_j(x)): the true posterior is not factorised, so it cannot be exact.
    """

    states: Tensor

    def __init__(self, latents: int, hidden: int, pixels: int) -> None:
        super().__init__()
        if not 1 <= latents <= 16:
            raise ValueError(f"{latents} binary latents have 2^{latents} states; at most 16 can be summed over")
        self.prior_logits = nn.Parameter(torch.zeros(latents))
        self.decoder = nn.Sequential(nn.Linear(latents, hidden), nn.Tanh(), nn.Linear(hidden, pixels))
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, latents))
        codes = torch.arange(2**latents)
        states = (codes[:, None] >> torch.arange(latents)) & 1
        self.register_buffer("states", states.to(self.prior_logits.dtype), persistent=False)

    def log_pz(self) -> Tensor:
        """log p(z) of every state, (states,)."""
        return self.states @ self.prior_logits - nn.functional.softplus(self.prior_logits).sum()

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, z) of every state, (states, batch), of x, (batch, pixels) in {0, 1}."""
        logits = self.decoder(self.states)
        log_px_given_z = logits @ x.T - nn.functional.softplus(logits).sum(-1, keepdim=True)
        return log_px_given_z + self.log_pz()[:, None]

    def log_proposal(self, x: Tensor) -> Tensor:
        """log q(z|x) of every state, (states, batch)."""
        logits = self.encoder(x)
        return self.states @ logits.T - nn.functional.softplus(logits).sum(-1)

    def log_px(self, x: Tensor) -> Tensor:
        """Exact log p(x), (batch,), nats."""
        return torch.logsumexp(self.log_joint(x), dim=0)

    def posterior_marginals(self, x: Tensor) -> Tensor:
        """P(z_j = 1 | x), (batch, latents)."""
        return torch.softmax(self.log_joint(x), dim=0).T @ self.states
