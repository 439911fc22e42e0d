"""The VAE's code as features (M1) and a semi-supervised VAE on those codes (M2): Kingma et al. 2014."""

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relatent.probe.baselines.minibatches import glorot, minibatches, torch_rng
from relatent.progress import Progress


def _gaussian(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(x; mean, exp(log_variance)), summed over the last axis; nats."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (x - mean) ** 2 * torch.exp(-log_variance)).sum(-1)


def _kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), summed over the last axis; nats."""
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(-1)


class _Gaussian(nn.Module):
    """An MLP of softplus units that gives a diagonal Gaussian."""

    def __init__(self, inputs: int, hidden: list[int], outputs: int) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.mean, self.log_variance = nn.Linear(sizes[-1], outputs), nn.Linear(sizes[-1], outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.hidden:
            x = F.softplus(layer(x))
        # Bounded, so that a direction without variance cannot send the density to infinity.
        return self.mean(x), self.log_variance(x).clamp(-7, 7)


class M1(nn.Module):
    """VAE of `inputs` real numbers with two layers of `hidden` units on either side."""

    def __init__(self, inputs: int, hidden: int, latents: int) -> None:
        super().__init__()
        self.encoder = _Gaussian(inputs, [hidden, hidden], latents)
        self.decoder = _Gaussian(latents, [hidden, hidden], inputs)

    def elbo(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """ELBO of each row with one draw, (batch,); nats."""
        mean, log_variance = self.encoder(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=rng)
        return _gaussian(x, *self.decoder(z)) - _kl(mean, log_variance)

    def iwae_bound(self, x: Tensor, k: int, rng: torch.Generator) -> Tensor:
        """L_k of each row, (batch,); nats (Burda et al. 2016, sec. 3)."""
        mean, log_variance = self.encoder(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn((k, *mean.shape), generator=rng)
        standard = torch.zeros(())
        log_w = _gaussian(x, *self.decoder(z)) + _gaussian(z, standard, standard) - _gaussian(z, mean, log_variance)
        return torch.logsumexp(log_w, dim=0) - math.log(k)


def train_m1(
    inputs: np.ndarray, hidden: int, latents: int, epochs: int, learning_rate: float, batch_size: int, seed: int,
    k: int = 1,
) -> M1:  # fmt: skip
    """Maximise the ELBO of `inputs`, (row, number), float32 of about unit size; for k > 1 the IWAE's bound."""
    model = M1(inputs.shape[1], hidden, latents)
    glorot(model, torch_rng(seed, "M1 weights"))
    adam = torch.optim.Adam(model.parameters(), lr=learning_rate)
    data = torch.from_numpy(inputs)
    with Progress("M1", epochs, "passes") as progress:
        for epoch in range(epochs):
            rng = torch_rng(seed, "M1 noise", epoch)
            for rows in minibatches(len(data), batch_size, seed, "M1", epoch):
                x = data[rows]
                loss = -(model.elbo(x, rng) if k == 1 else model.iwae_bound(x, k, rng)).mean()
                adam.zero_grad()
                loss.backward()
                adam.step()
            progress.advance(1, {"bound_nats": -loss.item()})
    return model


@torch.no_grad()
def m1_codes(model: M1, inputs: np.ndarray) -> np.ndarray:
    """Means of q(z|x), (row, latent), float32."""
    return torch.cat([model.encoder(torch.from_numpy(part))[0] for part in np.array_split(inputs, 16)]).numpy()


class M2(nn.Module):
    """p(y) uniform, z ~ N(0, I), x ~ p(x|y, z); q(y|x) and q(z|x, y). One layer of softplus units each."""

    def __init__(self, inputs: int, classes: int, hidden: int, latents: int) -> None:
        super().__init__()
        self.classes = classes
        self.classifier = nn.Sequential(nn.Linear(inputs, hidden), nn.Softplus(), nn.Linear(hidden, classes))
        self.encoder = _Gaussian(inputs + classes, [hidden], latents)
        self.decoder = _Gaussian(latents + classes, [hidden], inputs)

    def labelled_elbo(self, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
        """Bound on log p(x, y), (batch,), for one-hot y; one draw; nats."""
        mean, log_variance = self.encoder(torch.cat([x, y], dim=1))
        z = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=rng)
        log_px = _gaussian(x, *self.decoder(torch.cat([z, y], dim=1)))
        return log_px - _kl(mean, log_variance) - math.log(self.classes)

    def elbo(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Bound on log p(x), (batch,): classes summed out under q(y|x), which adds its entropy; nats."""
        log_q = F.log_softmax(self.classifier(x), dim=1)
        every = torch.eye(self.classes).repeat_interleave(len(x), dim=0)
        bounds = self.labelled_elbo(x.repeat(self.classes, 1), every, rng).view(self.classes, -1).T
        return (log_q.exp() * (bounds - log_q)).sum(dim=1)


def train_m2(
    codes: np.ndarray, rows: np.ndarray, labels: np.ndarray, hidden: int, latents: int, epochs: int, alpha: float,
    learning_rate: float, batch_size: int, seed: int,
) -> tuple[M2, np.ndarray]:  # fmt: skip
    """Train on all codes, of which `rows` have `labels`; every minibatch holds as many labelled as it can draw evenly.

    Args:
        alpha: the classifier's cross-entropy counts alpha N over the labelled images, as in the paper (alpha = 0.1).

    Returns:
        the model, and the classes in the order of its outputs.
    """
    classes, targets = np.unique(labels, return_inverse=True)
    model = M2(codes.shape[1], len(classes), hidden, latents)
    glorot(model, torch_rng(seed, "M2 weights"))
    adam = torch.optim.Adam(model.parameters(), lr=learning_rate)
    data, known, answers = torch.from_numpy(codes), torch.from_numpy(codes[rows]), torch.from_numpy(targets)
    one_hot = F.one_hot(answers, len(classes)).float()
    per_batch = min(len(rows), max(len(classes), batch_size // 2))
    with Progress("M2", epochs, "passes") as progress:
        for epoch in range(epochs):
            rng = torch_rng(seed, "M2 noise", epoch)
            for batch in minibatches(len(data), batch_size, seed, "M2", epoch):
                picked = torch.randperm(len(known), generator=rng)[:per_batch]
                supervised = model.labelled_elbo(known[picked], one_hot[picked], rng).mean()
                cross_entropy = F.cross_entropy(model.classifier(known[picked]), answers[picked])
                share = len(known) / len(data)  # of labelled images in a pass
                loss = -model.elbo(data[batch], rng).mean() - share * supervised + alpha * cross_entropy
                adam.zero_grad()
                loss.backward()
                adam.step()
            progress.advance(1, {"loss": loss.item()})
    return model, classes


@torch.no_grad()
def m2_predict(model: M2, classes: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """argmax q(y|x) of each row."""
    return classes[model.classifier(torch.from_numpy(codes)).argmax(dim=1).numpy()]
