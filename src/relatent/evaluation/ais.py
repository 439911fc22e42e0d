"""Annealed importance sampling, and its reverse: bounds on log p(x) from below and, on simulated images, from above.

L_5000 can be a nat below log p(x) where q fits badly (Wu et al. 2017); AIS walks from a distribution it can draw from
to the posterior in many small steps and so measures that gap. Run backwards from an exact posterior draw, which is at
hand for images simulated from the model, it bounds log p(x) from above: bidirectional Monte Carlo (Grosse et al. 2015).

Step sizes of the Hamiltonian moves are tuned on pilot chains of their own and then frozen. Tuning them on the chains
that are weighted, as is common, would spoil the bound.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor

from relatent.errors import TrainingError
from relatent.evaluation.noise import ImageNoise
from relatent.models.densities import Gaussian
from relatent.models.density import DensityModel

Start = Literal["prior", "q"]
Schedule = Literal["linear", "sigmoid"]

LEAPFROG_STEPS = 10  # Wu et al. 2017
ACCEPTANCE = 0.65  # Wu et al. 2017: what step sizes are tuned to
SIGMOID_RADIUS = 4.0  # tonywu95/eval_gen
CHAINS_AT_ONCE = 250  # of each image; of 20 images at 784 pixels some 200 MB, however many chains there are in all
STEP_CHANGE = 1.05  # factor by which a pilot's step size moves after each transition


class Target(Protocol):
    """A posterior with a distribution to start from, over z of (chains, images, latents)."""

    latents: int

    def sample_start(self, noise: Tensor) -> Tensor:
        """Draws of the start, by standard normals of the same shape."""

    def log_start(self, z: Tensor) -> Tensor:
        """Log density of the start, (chains, images)."""

    def log_joint(self, z: Tensor) -> Tensor:
        """log p(x, z), (chains, images)."""


class DensityTarget:
    """p(z|x) of images under a density model; z holds z1 and, with two layers, z2 behind it.

    Args:
        model: the model.
        x: (images, pixels) in {0, 1}.
        start: the prior p(z), or q(z|x), which needs about a tenth of the steps (Wu et al. 2017).
    """

    def __init__(self, model: DensityModel, x: NDArray[np.uint8], start: Start) -> None:
        self.model, self.start = model, start
        self.x = torch.from_numpy(x).to(model.p_x_given_z1.logits.weight.dtype)
        self.latents = sum(model.latents)
        with torch.no_grad():
            self.encoding: Gaussian = model.encode(self.x)

    def _split(self, z: Tensor) -> Sequence[Tensor]:
        return z.split(self.model.latents, dim=-1)

    def sample_start(self, noise: Tensor) -> Tensor:
        with torch.no_grad():
            parts = self._split(noise.to(self.x.dtype))
            if self.start == "q":
                return torch.cat(self.model.sample_posterior(self.encoding, parts).z, dim=-1)
            if self.model.layers == 1:
                return parts[0]
            return torch.cat([self.model.p_z1_given_z2(parts[1]).sample(parts[0]), parts[1]], dim=-1)

    def log_start(self, z: Tensor) -> Tensor:
        parts = self._split(z)
        return self.model.log_qz_given_x(parts, self.encoding) if self.start == "q" else self.model.log_pz(parts)

    def log_joint(self, z: Tensor) -> Tensor:
        parts = self._split(z)
        return self.model.log_px_given_z(self.x, parts) + self.model.log_pz(parts)


@dataclass(frozen=True)
class Annealed:
    """Log weights of the chains, (chains, images), and the share of moves that were accepted, (images,)."""

    log_w: NDArray[np.float64]
    accepted: NDArray[np.float64]

    @property
    def lower_bound(self) -> NDArray[np.float64]:
        """Of a forward run: log of the mean weight, a stochastic lower bound on log p(x), (images,)."""
        return np.logaddexp.reduce(self.log_w, axis=0) - math.log(len(self.log_w))

    @property
    def upper_bound(self) -> NDArray[np.float64]:
        """Of a reverse run: minus the log of the mean inverse weight, a stochastic upper bound, (images,)."""
        return math.log(len(self.log_w)) - np.logaddexp.reduce(-self.log_w, axis=0)


def inverse_temperatures(steps: int, schedule: Schedule) -> NDArray[np.float64]:
    """0 = b_0 < ... < b_steps = 1; the sigmoid goes slowly at both ends, where most is lost."""
    line = np.linspace(0, 1, steps + 1)
    if schedule == "linear":
        return line
    curve = 1 / (1 + np.exp(-SIGMOID_RADIUS * (2 * line - 1)))
    return (curve - curve[0]) / (curve[-1] - curve[0])


class Annealer:
    """AIS of a batch of images, with Hamiltonian moves.

    Args:
        target: the posteriors.
        betas: inverse temperatures from 0 to 1.
        seed: of all noise.
        first_image: number of the first image, which keys its noise: images keep theirs in any batch.
        purpose: of the noise; one for each split.
    """

    def __init__(
        self,
        target: Target,
        betas: NDArray[np.float64],
        seed: int,
        images: int,
        first_image: int = 0,
        purpose: str = "test",
    ) -> None:
        self.target, self.betas, self.seed, self.purpose = target, betas, seed, purpose
        self.images = range(first_image, first_image + images)
        self.step_sizes: Tensor | None = None

    def tune(self, chains: int, first_step: float = 0.1) -> Tensor:
        """Run pilot chains, adapt the step size of each image to ACCEPTANCE, keep it for every temperature.

        Returns:
            step sizes, (steps, images), used by every later run.
        """
        size = torch.full((len(self.images),), first_step, dtype=torch.float64)
        sizes = []
        noise = self._noise("pilot")
        z = self.target.sample_start(noise(chains)[0])
        for beta in self.betas[1:]:
            sizes.append(size.clone())
            z, accepted = self._move(z, float(beta), size, *noise(chains))
            size = torch.where(accepted.double().mean(0) > ACCEPTANCE, size * STEP_CHANGE, size / STEP_CHANGE)
        self.step_sizes = torch.stack(sizes)
        return self.step_sizes

    def forward(self, chains: int) -> Annealed:
        """From the start to the posterior: E[w] = p(x), so the log of the mean weight is a lower bound."""
        begins = range(0, chains, CHAINS_AT_ONCE)
        blocks = [self._forward(begin, min(CHAINS_AT_ONCE, chains - begin)) for begin in begins]
        log_w = np.concatenate([block.log_w for block in blocks])
        accepted = sum(len(block.log_w) / chains * block.accepted for block in blocks)
        return Annealed(log_w, np.asarray(accepted))

    def _forward(self, begin: int, chains: int) -> Annealed:
        """Chains `begin` and on; each block has noise of its own."""
        noise = self._noise(f"forward from {begin}" if begin else "forward")
        z = self.target.sample_start(noise(chains)[0])
        log_w = torch.zeros(z.shape[:2], dtype=torch.float64)
        accepted = torch.zeros(len(self.images), dtype=torch.float64)
        for step, (low, high) in enumerate(zip(self.betas[:-1], self.betas[1:], strict=True)):
            log_w += (high - low) * self._log_ratio(z)
            if high < 1:  # a move at the posterior itself would change no weight
                z, moved = self._move(z, float(high), self._sizes()[step], *noise(chains))
                accepted += moved.double().mean(0)
        return Annealed(log_w.numpy(), (accepted / max(len(self.betas) - 2, 1)).numpy())

    def reverse(self, z: Tensor) -> Annealed:
        """From exact posterior draws, (chains, images, latents), back to the start: E[1/w] = 1/p(x).

        Only of images simulated from the model are such draws known: the z that made them.
        """
        noise = self._noise("reverse")
        chains = len(z)
        log_w = torch.zeros(z.shape[:2], dtype=torch.float64)
        accepted = torch.zeros(len(self.images), dtype=torch.float64)
        pairs = list(enumerate(zip(self.betas[:-1], self.betas[1:], strict=True)))
        for step, (low, high) in reversed(pairs):
            if high < 1:
                z, moved = self._move(z, float(high), self._sizes()[step], *noise(chains))
                accepted += moved.double().mean(0)
            log_w += (high - low) * self._log_ratio(z)
        return Annealed(log_w.numpy(), (accepted / max(len(self.betas) - 2, 1)).numpy())

    def _sizes(self) -> Tensor:
        if self.step_sizes is None:
            raise ValueError("step sizes are not tuned; call tune(chains) first")
        return self.step_sizes

    @torch.no_grad()
    def _log_ratio(self, z: Tensor) -> Tensor:
        ratio = self.target.log_joint(z) - self.target.log_start(z)
        if not torch.isfinite(ratio).all():
            raise TrainingError(
                "a chain reached a point of no finite density: the network has diverged; look at its history.csv and "
                "train it again"
            )
        return ratio.double()

    def _noise(self, purpose: str) -> "_ChainNoise":
        return _ChainNoise(self.seed, f"{self.purpose} annealing {purpose}", self.images, self.target.latents)

    def _energy(self, z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        """Minus the log density at temperature 1/beta, (chains, images), and its gradient."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            energy = -((1 - beta) * self.target.log_start(z) + beta * self.target.log_joint(z))
            (gradient,) = torch.autograd.grad(energy.sum(), z)
        return energy.detach(), gradient

    def _move(self, z: Tensor, beta: float, size: Tensor, momentum: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """One Hamiltonian move that leaves the density at `beta` as it is: new z, and accepted (chains, images)."""
        step = size.to(z.dtype)[None, :, None]
        energy, gradient = self._energy(z, beta)
        kinetic = 0.5 * momentum.square().sum(-1)
        new, p = z, momentum - 0.5 * step * gradient
        for leap in range(LEAPFROG_STEPS):
            new = new + step * p
            new_energy, gradient = self._energy(new, beta)
            p = p - (step if leap < LEAPFROG_STEPS - 1 else 0.5 * step) * gradient
        change = energy + kinetic - new_energy - 0.5 * p.square().sum(-1)
        accepted = (change.double() > uniform.log()) & torch.isfinite(change)
        return torch.where(accepted[..., None], new, z), accepted


class _ChainNoise:
    """Normals and uniforms of one transition of all chains after another, keyed by image."""

    def __init__(self, seed: int, purpose: str, images: range, latents: int) -> None:
        self.streams = [ImageNoise(seed, purpose, image, (latents, 1)) for image in images]

    def __call__(self, chains: int) -> tuple[Tensor, Tensor]:
        """(chains, images, latents) normals and (chains, images) uniforms."""
        blocks = [stream.block(chains) for stream in self.streams]
        normals = torch.from_numpy(np.stack([block[0].T for block in blocks], axis=1))
        uniforms = ndtr(np.stack([block[1][0] for block in blocks], axis=1).astype(np.float64))
        return normals, torch.from_numpy(uniforms)


def simulate(model: DensityModel, noise: Sequence[Tensor], uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Images drawn from the model with the latents that made them, which are exact draws of their posteriors.

    Args:
        noise: standard normals, from z1 up, each (count, latent_i).
        uniform: (count, pixels) in [0, 1).

    Returns:
        x, (count, pixels) in {0, 1}; z, (count, latents), z2 behind z1.
    """
    with torch.no_grad():
        z1 = noise[0] if model.layers == 1 else model.p_z1_given_z2(noise[1]).sample(noise[0])
        x = (uniform < torch.sigmoid(model.decode(z1))).to(z1.dtype)
    return x, torch.cat([z1, *noise[1:]], dim=-1)
