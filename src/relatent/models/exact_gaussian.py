"""Linear-Gaussian models: log p(x), the posterior and the mismatch of a proposal are all known in closed form."""

import math

import torch
from torch import Tensor

from relatent.models.densities import HALF_LOG_TWO_PI, log_standard_normal


def log_normal(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """log N(x; mean, covariance), (...,), of x and mean, (..., d), and one covariance, (d, d)."""
    chol = torch.linalg.cholesky(covariance)
    inverse = torch.linalg.solve_triangular(chol, torch.eye(len(chol), dtype=chol.dtype), upper=False)
    whitened = (x - mean) @ inverse.T
    return -0.5 * whitened.square().sum(-1) - chol.diagonal().log().sum() - x.shape[-1] * HALF_LOG_TWO_PI


class LinearGaussian:
    """z ~ N(0, I), x|z ~ N(W z + b, variance I): probabilistic PCA (Tipping and Bishop 1999).

    The proposal q(z|x) is the posterior with its covariance multiplied by `overdispersion`; at 1 every weight is p(x).

    Args:
        loadings: W, (dimension, latents).
        offset: b, (dimension,).
        variance: of the noise, in the square of x's unit.
        overdispersion: r > 1/2, below which the weights have infinite variance.
    """

    def __init__(self, loadings: Tensor, offset: Tensor, variance: float, overdispersion: float = 1.0) -> None:
        if variance <= 0 or overdispersion <= 0:
            raise ValueError(f"variance is {variance} and overdispersion {overdispersion}; both must be above 0")
        self.loadings, self.offset, self.variance = loadings, offset, variance
        self.overdispersion = overdispersion
        self.latents = loadings.shape[1]
        identity = torch.eye(self.latents, dtype=loadings.dtype)
        self.posterior_covariance = torch.linalg.inv(identity + loadings.T @ loadings / variance)
        self.posterior_root = torch.linalg.cholesky(self.posterior_covariance)

    def log_px(self, x: Tensor) -> Tensor:
        """Exact log p(x), (batch,), of x, (batch, dimension)."""
        identity = torch.eye(len(self.offset), dtype=x.dtype)
        return log_normal(x, self.offset, self.loadings @ self.loadings.T + self.variance * identity)

    def posterior_mean(self, x: Tensor) -> Tensor:
        """E[z|x], (batch, latents)."""
        return (x - self.offset) @ self.loadings @ self.posterior_covariance / self.variance

    def log_px_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), (k, batch), of z, (k, batch, latents)."""
        # |x - b - W z|^2 without the (k, batch, dimension) residual.
        centred = x - self.offset
        residual = centred.square().sum(-1) - 2 * (z * (centred @ self.loadings)).sum(-1)
        residual = residual + ((z @ (self.loadings.T @ self.loadings)) * z).sum(-1)
        dimension = x.shape[-1]
        return -0.5 * residual / self.variance - dimension * (0.5 * math.log(self.variance) + HALF_LOG_TWO_PI)

    def log_pz(self, z: Tensor) -> Tensor:
        """log p(z), (k, batch)."""
        return log_standard_normal(z)

    def sample_qz_given_x(self, x: Tensor, noise: Tensor) -> Tensor:
        """Draws from the proposal, (k, batch, latents), by standard normals of that shape."""
        return self.posterior_mean(x) + math.sqrt(self.overdispersion) * noise @ self.posterior_root.T

    def log_qz_given_x(self, z: Tensor, x: Tensor) -> Tensor:
        """log q(z|x), (k, batch)."""
        return log_normal(z, self.posterior_mean(x), self.overdispersion * self.posterior_covariance)

    def log_importance_weights(self, x: Tensor, noise: Tensor) -> Tensor:
        """log w, (k, batch), of the draws that standard normals, (k, batch, latents), give."""
        z = self.sample_qz_given_x(x, noise)
        return self.log_px_given_z(x, z) + self.log_pz(z) - self.log_qz_given_x(z, x)

    def elbo_gap(self) -> float:
        """log p(x) - L_1 = KL(q || posterior), the same for every x: latents (r - 1 - ln r)/2, nats."""
        r = self.overdispersion
        return self.latents * (r - 1 - math.log(r)) / 2

    def relative_variance(self) -> float:
        """Var(w) / p(x)^2, the same for every x: (r / sqrt(2r - 1))^latents - 1; infinite for r <= 1/2."""
        r = self.overdispersion
        return math.inf if r <= 0.5 else (r / math.sqrt(2 * r - 1)) ** self.latents - 1

    @classmethod
    def maximum_likelihood(cls, x: Tensor, latents: int, overdispersion: float = 1.0) -> "LinearGaussian":
        """The exact maximum of the likelihood of x, (n, dimension): Tipping and Bishop 1999, eqs. 7-8.

        Raises:
            ValueError: no directions are left over to estimate the noise from.
        """
        offset = x.mean(0)
        values, vectors = torch.linalg.eigh((x - offset).T @ (x - offset) / len(x))
        values, vectors = values.flip(0), vectors.flip(1)
        if not latents < len(values) or values[latents:].mean() <= 0:
            raise ValueError(f"{latents} latents leave no noise in {len(values)} dimensions; use fewer")
        variance = float(values[latents:].mean())
        loadings = vectors[:, :latents] * (values[:latents] - variance).clamp(min=0).sqrt()
        return cls(loadings, offset, variance, overdispersion)


class LinearGaussianChain:
    """Two stochastic layers: z2 ~ N(0, I), z1|z2 ~ N(A z2, S1), x|z1 ~ N(B z1, S0), all diagonal.

    Known: p(x) = N(0, B (A A' + S1) B' + S0). The proposal factorises as the paper's does, q(z1|x) q(z2|z1): both are
    the exact conditionals of the joint Gaussian, with their covariances multiplied by `overdispersion`.

    Args:
        upper: A, (latent_1, latent_2). lower: B, (dimension, latent_1).
        variance1: diagonal of S1, (latent_1,). variance0: of S0, (dimension,).
    """

    def __init__(
        self, upper: Tensor, lower: Tensor, variance1: Tensor, variance0: Tensor, overdispersion: float = 1.0
    ) -> None:
        self.upper, self.lower, self.variance1, self.variance0 = upper, lower, variance1, variance0
        self.overdispersion = overdispersion
        self.covariance1 = upper @ upper.T + variance1.diag()
        self.covariance_x = lower @ self.covariance1 @ lower.T + variance0.diag()
        # z1 | x and z2 | z1, by the rules of the joint Gaussian.
        self.gain1 = torch.linalg.solve(self.covariance_x, lower @ self.covariance1).T
        self.posterior1 = _symmetric(self.covariance1 - self.gain1 @ lower @ self.covariance1)
        self.gain2 = torch.linalg.solve(self.covariance1, upper).T
        self.posterior2 = _symmetric(torch.eye(upper.shape[1], dtype=upper.dtype) - self.gain2 @ upper)

    def log_px(self, x: Tensor) -> Tensor:
        """Exact log p(x), (batch,)."""
        return log_normal(x, torch.zeros_like(x), self.covariance_x)

    def log_importance_weights(self, x: Tensor, noise1: Tensor, noise2: Tensor) -> Tensor:
        """log w = log p(x|z1) + log p(z1|z2) + log p(z2) - log q(z1|x) - log q(z2|z1), (k, batch).

        Args:
            x: (batch, dimension).
            noise1, noise2: standard normals, (k, batch, latent_i).
        """
        spread1, spread2 = self.overdispersion * self.posterior1, self.overdispersion * self.posterior2
        mean1 = x @ self.gain1.T
        z1 = mean1 + noise1 @ torch.linalg.cholesky(spread1).T
        mean2 = z1 @ self.gain2.T
        z2 = mean2 + noise2 @ torch.linalg.cholesky(spread2).T
        log_p = (
            log_normal(x, z1 @ self.lower.T, self.variance0.diag())
            + log_normal(z1, z2 @ self.upper.T, self.variance1.diag())
            + log_standard_normal(z2)
        )
        return log_p - log_normal(z1, mean1, spread1) - log_normal(z2, mean2, spread2)


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2
