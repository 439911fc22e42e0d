"""Bounds beside the exact log p(x): what importance sampling with k samples misses, and how well it knows that."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from relatent.data.binarisation import dynamic, test_binarisation
from relatent.data.streams import stream
from relatent.evaluation.importance import LogWeights, nested_bounds
from relatent.evaluation.noise import ImageNoise
from relatent.models.exact import BernoulliLatent, GaussianMixture
from relatent.models.exact_gaussian import LinearGaussian
from relatent.training.exact import fit_bernoulli, fit_mixture, initialise

Array = NDArray[np.float64]
Grey = NDArray[np.uint8]
LogWeightsOf = Callable[[int], Array]  # image index -> (draws,) log weights

PURPOSE = "exact likelihood draws"
DRAWS_AT_ONCE = 1000  # of a linear-Gaussian model: what fits the cache


def compare(exact: Array, log_weights_of: LogWeightsOf, ks: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Metrics of a model: exact log p(x), and each L_k with its error, its first-order bias and its gap.

    The draws of an image are cut into runs of k, so the bounds of all k come from the same draws; where the smaller k
    divides the larger they are ordered as the theorem says, not only in expectation.

    Args:
        exact: (images,) log p(x), nats.
        log_weights_of: the log weights of an image's draws.
        ks: numbers of samples, each at most the number of draws.
    """
    images = len(exact)
    bounds, errors = np.empty((len(ks), images)), np.empty((len(ks), images))
    biases = np.empty((len(ks), images))
    for image in range(images):
        log_w = log_weights_of(image)
        whole = LogWeights(1, len(log_w)).add(log_w[:, None])
        for index, k in enumerate(ks):
            runs = nested_bounds(log_w, k)
            bounds[index, image] = runs.mean()
            if len(runs) > 1:
                errors[index, image] = runs.std(ddof=1) / np.sqrt(len(runs))
            else:
                errors[index, image] = np.sqrt(whole.relative_variance[0] / k)
            biases[index, image] = -whole.relative_variance[0] / (2 * k)
    metrics: dict[str, dict[str, Any]] = {
        "log_px_nats": {"value": float(exact.mean()), "stderr": 0.0, "unit": "nats", "n_images": images}
    }
    for index, k in enumerate(ks):
        gap = exact - bounds[index]
        bias = float(biases[index].mean())
        error = float(np.sqrt((errors[index] ** 2).sum()) / images)
        metrics[f"bound_k{k}_nats"] = {
            "value": float(bounds[index].mean()),
            "stderr": error,
            "bias_first_order": bias,
            "gap": float(gap.mean()),
            "agrees": bool(abs(gap.mean()) <= 3 * error + abs(bias)),
            "unit": "nats",
            "k": k,
            "n_images": images,
            "n_runs": len(log_w) // k,
        }
    return metrics


def mixture(
    train: Grey, test: Grey, components: int, dimensions: int, iterations: int, draws: int, ks: Sequence[int], seed: int
) -> dict[str, dict[str, Any]]:
    """Mixture of Gaussians on the leading principal components of real grey images, fitted by EM."""
    x_train, x_test = principal_components(_grey(train), _grey(test), dimensions)
    model, _ = fit_mixture(x_train, components, iterations, stream(seed, "mixture means"))
    return compare(model.log_px(x_test).numpy(), _discrete(model, x_test, draws, seed), ks)


@torch.no_grad()
def _discrete(model: GaussianMixture | BernoulliLatent, x: torch.Tensor, draws: int, seed: int) -> LogWeightsOf:
    """Log weights of draws from q(z|x), for a model whose states can be listed: tables are made, and looked up."""
    log_q = model.log_proposal(x)
    table = (model.log_joint(x) - log_q).double().numpy()
    cumulative = log_q.double().softmax(dim=0).cumsum(dim=0).numpy()
    last = len(table) - 1

    def log_weights_of(image: int) -> Array:
        uniform = stream(seed, PURPOSE, image).random(draws)
        state = np.searchsorted(cumulative[:, image], uniform, side="right").clip(max=last)
        return table[state, image]

    return log_weights_of


def bernoulli(
    train: Grey,
    test: Grey,
    latents: int,
    hidden: int,
    epochs: int,
    encoder_epochs: int,
    batch_size: int,
    learning_rate: float,
    draws: int,
    ks: Sequence[int],
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Binary latents with a learned prior, on real images binarised afresh in each pass; summed over all states."""
    flat = train.reshape(len(train), -1)
    model = BernoulliLatent(latents, hidden, flat.shape[1]).double()
    initialise(model, stream(seed, "bernoulli initialisation"))

    def images(epoch: int) -> torch.Tensor:
        order = stream(seed, "order", epoch).permutation(len(flat))
        return torch.from_numpy(dynamic(flat[order], seed, epoch)).double()

    history = fit_bernoulli(images, model, epochs, encoder_epochs, batch_size, learning_rate)
    x_test = torch.from_numpy(test_binarisation(test.reshape(len(test), -1))).double()
    with torch.no_grad():
        exact = model.log_px(x_test).numpy()
        prior = torch.sigmoid(model.prior_logits)
    metrics = compare(exact, _discrete(model, x_test, draws, seed), ks)
    metrics["log_px_nats"]["train_last_epoch"] = float(history[-1])
    metrics["log_px_nats"]["prior"] = [round(float(beta), 6) for beta in prior]
    return metrics


def linear_gaussian(
    train: Grey, test: Grey, latents: int, overdispersion: float, draws: int, ks: Sequence[int], seed: int
) -> dict[str, dict[str, Any]]:
    """Probabilistic PCA of real grey images at its exact maximum; here L_1 and Var(w) are known too."""
    model = LinearGaussian.maximum_likelihood(_grey(train), latents, overdispersion)
    x_test = _grey(test)
    exact = model.log_px(x_test).numpy()

    def log_weights_of(image: int) -> Array:
        (normals,) = ImageNoise(seed, PURPOSE, image, (latents,)).block(draws)
        noise = torch.from_numpy(normals.T.astype(np.float64))[:, None]
        blocks = noise.split(DRAWS_AT_ONCE)
        x = x_test[image : image + 1]
        return torch.cat([model.log_importance_weights(x, block)[:, 0] for block in blocks]).numpy()

    metrics = compare(exact, log_weights_of, ks)
    metrics["log_px_nats"]["elbo_known"] = float(exact.mean()) - model.elbo_gap()
    metrics["log_px_nats"]["relative_variance_known"] = model.relative_variance()
    return metrics


def principal_components(train: torch.Tensor, test: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sets on the leading principal axes of the first, (n, count); an axis points where its largest entry does."""
    centre = train.mean(0)
    _, axes = torch.linalg.eigh((train - centre).T @ (train - centre))
    axes = axes.flip(1)[:, :count]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    axes = axes * largest.sign()
    return (train - centre) @ axes, (test - centre) @ axes


def _grey(images: Grey) -> torch.Tensor:
    """Grey levels over 255, (n, pixels), float64."""
    return torch.from_numpy(images.reshape(len(images), -1) / 255.0)
