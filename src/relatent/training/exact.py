"""Exact maximum likelihood, for the models whose p(x) can be summed."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from relatent.errors import TrainingError
from relatent.models.exact import BernoulliLatent, GaussianMixture

SMALLEST_VARIANCE_SHARE = 1e-3  # of the data's own variance: a component may not collapse onto a single point


def fit_mixture(
    x: Tensor, components: int, iterations: int, rng: np.random.Generator
) -> tuple[GaussianMixture, Tensor]:
    """EM for Gaussians with a uniform prior; no step lowers the likelihood.

    Args:
        x: (n, dimension), float64.
        rng: draws the images that the means start at.

    Returns:
        the mixture, and the mean log p(x) before each step, (iterations,).
    """
    start = rng.choice(len(x), components, replace=False)
    spread = x.var(0, unbiased=False)
    mixture = GaussianMixture(x[torch.from_numpy(start)].clone(), spread.expand(components, -1).clone())
    history = []
    for _ in range(iterations):
        log_joint = mixture.log_joint(x)
        history.append(torch.logsumexp(log_joint, dim=0).mean())
        share = torch.softmax(log_joint, dim=0)
        total = share.sum(1, keepdim=True)
        means = share @ x / total
        variances = share @ x.square() / total - means.square()
        mixture = GaussianMixture(means, variances.clamp(min=SMALLEST_VARIANCE_SHARE * spread))
    return mixture, torch.stack(history)


def fit_bernoulli(
    images: Callable[[int], Tensor],
    model: BernoulliLatent,
    epochs: int,
    encoder_epochs: int,
    batch_size: int,
    learning_rate: float,
) -> Tensor:
    """Maximise the exact log p(x) over prior and decoder; then fit the encoder to the exact posterior.

    The encoder lowers the mean of KL(posterior || q), which for a factorised q means its marginals. That direction
    covers the posterior, so that no weight is huge.

    Args:
        images: the binarised training images of a pass, (n, pixels), by its number.
        epochs, encoder_epochs: passes of the first and of the second fit.

    Returns:
        mean exact log p(x) over each pass of the first fit, (epochs,), nats.

    Raises:
        TrainingError: the likelihood is not finite.
    """
    generative = [model.prior_logits, *model.decoder.parameters()]
    optimizer = torch.optim.Adam(generative, lr=learning_rate)
    history = []
    for epoch in range(epochs):
        total, seen = 0.0, 0
        for x in images(epoch).split(batch_size):
            log_px = model.log_px(x)
            optimizer.zero_grad()
            (-log_px.mean()).backward()
            optimizer.step()
            total, seen = total + float(log_px.detach().sum()), seen + len(x)
        history.append(total / seen)
        if not np.isfinite(history[-1]):
            raise TrainingError(f"exact likelihood became {history[-1]} in epoch {epoch}; lower the learning rate")
    optimizer = torch.optim.Adam(model.encoder.parameters(), lr=learning_rate)
    for epoch in range(epochs, epochs + encoder_epochs):
        for x in images(epoch).split(batch_size):
            with torch.no_grad():
                marginals = model.posterior_marginals(x)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model.encoder(x), marginals, reduction="sum")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return torch.tensor(history, dtype=torch.float64)


def initialise(model: torch.nn.Module, rng: np.random.Generator) -> None:
    """Glorot-uniform weights, drawn in the order of the parameters' names, zero biases, and a little spread in z."""
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.ndim == 2:
                bound = float(np.sqrt(6 / sum(parameter.shape)))
                parameter.copy_(torch.from_numpy(rng.uniform(-bound, bound, tuple(parameter.shape))))
            else:
                parameter.zero_()
