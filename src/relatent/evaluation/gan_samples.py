"""Images from a trained generator, and the measures of one cell: numbers in the form of metrics.json."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from relatent.evaluation.sample_quality import (
    FixedFeatures,
    kid,
    ms_ssim,
    nearest_distance,
    precision_recall,
    sliced_wasserstein,
    two_sample_accuracy,
)
from relatent.models.dcgan import Discriminator, Generator, grey_levels, scaled

Metrics = dict[str, dict[str, Any]]


@torch.no_grad()
def generated(generator: Generator, z: Tensor, labels: Tensor | None = None, block: int = 256) -> Tensor:
    """Grey levels, (n, channel, height, width) uint8, of z, (n, latent); each image by its own z alone."""
    parts = []
    for first in range(0, len(z), block):
        some = None if labels is None else labels[first : first + block]
        parts.append(grey_levels(generator(z[first : first + block], some), generator.net.output))
    return torch.cat(parts)


@torch.no_grad()
def realness(
    discriminator: Discriminator, images: Tensor, labels: Tensor | None = None, block: int = 256
) -> list[float]:
    """The discriminator's logit that each image is real, by itself, (n,): what it would sort its samples by.

    It was trained on such samples, so it orders them and judges nothing.

    Args:
        discriminator: in eval mode.
        images: (n, channel, height, width) uint8.
        labels: (n,), of a conditional net.
    """
    logits = []
    for first in range(0, len(images), block):
        some = None if labels is None else labels[first : first + block]
        x = scaled(images[first : first + block], discriminator.net.output)
        logits += discriminator(x.contiguous(memory_format=torch.channels_last), some).tolist()
    return logits


def judge(samples: Tensor, train: Tensor, heldout: Tensor | None, rng: torch.Generator) -> Metrics:
    """Every measure of samples against held-out images, and the same measure of training images, at equal n.

    Args:
        samples: (n, channel, height, width) uint8.
        train: (m, ...) uint8, images that the GAN was trained on: all of them, or a sample of very many.
        heldout: (h, ...) uint8, of the same dataset, never trained on; None for a dataset without such a split, where
            other training images take their place and memorising cannot be judged.
        rng: which training and held-out images stand beside the samples; patches and pairs.

    Returns:
        metrics; those ending in `_real` are of training images, and say what perfect samples would get.
    """
    n = min(len(samples), len(train) // 2 if heldout is None else min(len(train), len(heldout)))
    order = torch.randperm(len(train), generator=rng)
    fake, real = _unit(samples[:n]), _unit(train[order[:n]])
    drawn = train[order[n : 2 * n]] if heldout is None else heldout[torch.randperm(len(heldout), generator=rng)[:n]]
    other = _unit(drawn)
    features = FixedFeatures(real * 2 - 1)
    of_fake, of_real, of_other = (features(x * 2 - 1) for x in (fake, real, other))
    metrics: Metrics = {}

    def note(name: str, value: float, unit: str, stderr: float | None = None) -> None:
        metrics[name] = {"value": value, "unit": unit, "n_images": n}
        if stderr is not None:
            metrics[name] |= {"stderr": stderr, "interval": "test sampling"}

    for suffix, images, its_features in (("", fake, of_fake), ("_real", real, of_real)):
        value, stderr = kid(its_features, of_other)
        note(f"kid{suffix}", value, "squared kernel distance", stderr)
        precision, recall = precision_recall(of_other, its_features)
        note(f"precision{suffix}", precision, "fraction")
        note(f"recall{suffix}", recall, "fraction")
        accuracy, stderr = two_sample_accuracy(other, images)
        note(f"two_sample_accuracy{suffix}", accuracy, "fraction", stderr)
        for level, distance in enumerate(sliced_wasserstein(other, images, rng)):
            note(f"sliced_wasserstein_level{level}{suffix}", distance, "1e-3 standard deviations")
        pairs = ms_ssim(images[0 : n - n % 2 : 2], images[1:n:2])
        note(f"ms_ssim{suffix}", pairs.mean().item(), "similarity", (pairs.std() / math.sqrt(len(pairs))).item())
    return metrics if heldout is None else metrics | memorising(fake, _unit(train), other)


def memorising(samples: Tensor, train: Tensor, heldout: Tensor) -> Metrics:
    """Are samples nearer to training images than new real images are? The gap is held-out minus samples.

    The share of copies counts samples nearer to a training image than 99 % of held-out images are; without memorising
    it is about 0.01 or less.

    Args:
        samples, train, heldout: (..., channel, height, width) in [0, 1]; equally many samples and held-out images.
    """
    of_samples, of_heldout = nearest_distance(samples, train), nearest_distance(heldout, train)
    gap = of_heldout.mean() - of_samples.mean()
    stderr = torch.sqrt(of_heldout.var() / len(of_heldout) + of_samples.var() / len(of_samples))
    copies = (of_samples < of_heldout.quantile(0.01)).double().mean()
    unit, n = "grey levels / 255, root mean square per pixel", len(samples)
    return {
        "nearest_train_distance": {"value": of_samples.mean().item(), "unit": unit, "n_images": n},
        "nearest_train_distance_heldout": {"value": of_heldout.mean().item(), "unit": unit, "n_images": len(heldout)},
        "memorising_gap": {
            "value": gap.item(),
            "stderr": stderr.item(),
            "interval": "test sampling",
            "unit": unit,
            "n_images": n,
            "n_train": len(train),
        },
        "copies": {"value": copies.item(), "unit": "fraction", "n_images": n},
    }


def path_metrics(jumps: Mapping[str, Tensor]) -> Metrics:
    """Jump index (largest over mean step) averaged over paths, per kind of path."""
    return {
        f"jump_index_{kind}": {
            "value": values.mean().item(),
            "stderr": (values.std() / math.sqrt(len(values))).item(),
            "unit": "largest step / mean step",
            "n_paths": len(values),
        }
        for kind, values in jumps.items()
    }


def _unit(grey: Tensor) -> Tensor:
    return grey.float() / 255
