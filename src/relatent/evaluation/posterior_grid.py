"""The true posterior of a model with two latents, on a grid, beside q: figure 2 of Burda et al. 2016.

A grid fine and wide enough also gives the exact log p(x), so the pictures come with the gap of the bound they explain.
Trained on MNIST, posteriors are as narrow as 0.02; the grid is made finer until it shows them.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from relatent.errors import TrainingError
from relatent.evaluation.noise import ImageNoise
from relatent.models.densities import softplus_sum
from relatent.models.density import DensityModel

Array = NDArray[np.float64]
CONVERGED = 0.001  # nats; a trapezoid sum over a smooth density is exact soon after it stops moving
MOST_POINTS = 2500  # along an axis: six million places for the decoder
PLACES_AT_ONCE = 2048


@dataclass(frozen=True)
class PosteriorGrid:
    """Posteriors of some images.

    Args:
        axis: (points,) of either latent.
        log_posterior: (images, points, points) log p(z|x), the first latent along the second axis.
        log_px: (images,) exact up to the grid, nats.
        q_mean, q_sd: (images, 2).
        reconstructions: (images, draws, pixels) Bernoulli means at draws from q.
    """

    axis: Array
    log_posterior: Array
    log_px: Array
    q_mean: Array
    q_sd: Array
    reconstructions: Array

    @property
    def kl_from_posterior(self) -> Array:
        """KL(q || p(z|x)) of each image, (images,), summed over the grid: what the ELBO loses."""
        cell = (self.axis[1] - self.axis[0]) ** 2
        log_q = self._log_q()
        return (np.exp(log_q) * (log_q - self.log_posterior)).sum((1, 2)) * cell

    def _log_q(self) -> Array:
        deviation = (self.axis[None, None, :] - self.q_mean[:, :, None]) / self.q_sd[:, :, None]
        one = -0.5 * deviation**2 - np.log(self.q_sd)[:, :, None] - 0.5 * math.log(2 * math.pi)
        return one[:, 0, :, None] + one[:, 1, None, :]


@torch.no_grad()
def posterior_grid(
    model: DensityModel, x: NDArray[np.uint8], points: int, reach: float, draws: int, seed: int
) -> PosteriorGrid:
    """Evaluate p(z|x) of every image on a square grid, whose spacing is halved until no log p(x) moves by CONVERGED.

    Args:
        model: one stochastic layer of two latents.
        x: (images, pixels) in {0, 1}.
        points: along each axis of the first grid. reach: the grid goes from -reach to reach.
        draws: from q per image, for reconstructions.
        seed: of the draws.

    Raises:
        ValueError: the model has other latents.
        TrainingError: posteriors too narrow for a grid of MOST_POINTS.
    """
    if model.latents != (2,):
        raise ValueError(f"a grid needs two latents in one layer; this model has {model.latents}")
    model = model.double()
    images = torch.from_numpy(x).double()
    coarser = np.full(len(x), np.inf)
    while True:
        axis = np.linspace(-reach, reach, points)
        log_joint = _log_joint(model, images, axis)
        log_px = np.logaddexp.reduce(log_joint.reshape(len(x), -1), axis=1) + 2 * math.log(axis[1] - axis[0])
        moved = np.abs(log_px - coarser)
        if moved.max() < CONVERGED:
            break
        coarser, points = log_px, 2 * points - 1
        if points > MOST_POINTS:
            raise TrainingError(
                f"posterior of image {moved.argmax()}: log p(x) still moves by {moved.max():.2g} nats on a grid of "
                f"spacing {axis[1] - axis[0]:.2g}; it is too narrow to be drawn, the network has overfitted or diverged"
            )
    q = model.encode(images)
    noise = [ImageNoise(seed, "posterior grid", image, (2,)).block(draws)[0].T for image in range(len(x))]
    z = q.sample(torch.from_numpy(np.stack(noise, axis=1)).double())
    reconstructions = torch.sigmoid(model.decode(z)).transpose(0, 1).numpy()
    return PosteriorGrid(axis, log_joint - log_px[:, None, None], log_px, q.mean.numpy(), q.sd.numpy(), reconstructions)


def _log_joint(model: DensityModel, images: torch.Tensor, axis: Array) -> Array:
    """log p(x, z) of every image at every place of the grid, (images, points, points)."""
    points = len(axis)
    log_joint = np.empty((len(images), points, points))
    rows_at_once = max(1, PLACES_AT_ONCE // points)
    for start in range(0, points, rows_at_once):
        rows = axis[start : start + rows_at_once]
        z = torch.from_numpy(np.stack(np.meshgrid(rows, axis, indexing="ij"), axis=-1).reshape(-1, 2))
        logits = model.decode(z)
        alike = softplus_sum(logits) - model.log_pz((z,))  # what all images share
        block = images @ logits.T - alike
        log_joint[:, start : start + len(rows)] = block.reshape(len(images), len(rows), points).numpy()
    return log_joint
