"""Orders of images for the small nets of this room, and torch generators keyed as all chance here is."""

from collections.abc import Iterator

import numpy as np
import torch

from relatent.data.streams import stream, stream_key


def minibatches(count: int, size: int, seed: int, purpose: str, epoch: int) -> Iterator[np.ndarray]:
    """Rows of each minibatch of one pass, in an order of its own; a last, smaller one is left out unless alone."""
    order = stream(seed, f"order of {purpose}", epoch).permutation(count)
    size = min(size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def torch_rng(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A torch generator at the start of the stream (seed, purpose, counters...)."""
    return torch.Generator().manual_seed(stream_key(seed, purpose, *counters) % 2**63)


def glorot(module: torch.nn.Module, rng: torch.Generator) -> None:
    """Glorot-uniform weights and zero biases for every linear and convolutional layer."""
    for layer in module.modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            torch.nn.init.xavier_uniform_(layer.weight, generator=rng)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
