"""Fitting the de-duplication autoencoder, and taking an image's bits from its code."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from relatent.data.streams import stream, stream_key
from relatent.errors import TrainingError
from relatent.models.autoencoder import Autoencoder, less_own_mean
from relatent.progress import Progress

State = dict[str, Tensor]


def fit_autoencoder(
    images: np.ndarray,
    *,
    code_units: int,
    masking_noise: float,
    dropout: float,
    learning_rate: float,
    batch_size: int,
    epochs: int,
    seed: int,
    state: Mapping[str, Tensor] | None = None,
    keep: Callable[[State], None] = lambda state: None,
    label: str = "autoencoder",
) -> Autoencoder:
    """Fit by Adam to the squared error of the clean pixels, from pixels masked by chance and a code with dropout.

    Vincent et al. 2008 for the masking noise; Radford et al. 2016, sec. 3.1, for the rest. Noise, dropout and order
    are keyed by (seed, step) or (seed, epoch), so that a run resumed after any epoch ends in the same bits.

    Args:
        images: uint8 (n, channel, height, width); may be memory-mapped, is read by batches.
        masking_noise: share of input pixels set to their mean.
        dropout: share of code units dropped; the others are scaled by 1 / (1 - dropout).
        state: where an interrupted run stood, as given to `keep`.
        keep: called with the state after each epoch but the last.

    Raises:
        ValueError: no image.
        TrainingError: the loss is not finite, or `state` is of another network.
    """
    if not len(images):
        raise ValueError("no image to fit the autoencoder to")
    model = Autoencoder(int(np.prod(images.shape[1:])), code_units)
    model.initialise(torch_rng(seed, "autoencoder weights"))
    model.mean.copy_(mean_input(images))
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    first = 0 if state is None else _restore(model, optimiser, state)
    steps = -(-len(images) // batch_size)
    with Progress(f"{label}: fit", epochs * len(images), "images", done=first * len(images)) as progress:
        for epoch in range(first, epochs):
            order = stream(seed, "autoencoder order", epoch).permutation(len(images))
            total = 0.0
            for step in range(steps):
                chosen = np.sort(order[step * batch_size : (step + 1) * batch_size])  # sorted: a memory map reads ahead
                pixels = model.pixels(torch.from_numpy(images[chosen]))
                rng = torch_rng(seed, "autoencoder noise", epoch * steps + step)
                clean = torch.empty_like(pixels).bernoulli_(1 - masking_noise, generator=rng)
                code = model.code(pixels * clean)
                if dropout:
                    code = code * torch.empty_like(code).bernoulli_(1 - dropout, generator=rng) / (1 - dropout)
                loss = torch.nn.functional.mse_loss(model.reconstruction(code), pixels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item() * len(chosen)
                progress.advance(len(chosen))
            if not np.isfinite(total):
                raise TrainingError(
                    f"{label}: the loss is {total} in epoch {epoch}; lower learning_rate, now {learning_rate}"
                )
            if epoch + 1 < epochs:
                keep(_state(model, optimiser, epoch + 1))
    return model


def encoded_bits(
    model: Autoencoder, images: np.ndarray, threshold: float, batch_size: int = 1024
) -> Iterator[np.ndarray]:
    """Whether each code unit is above `threshold`, bool (batch, code_units), batch by batch in the images' order.

    Radford et al. 2016, sec. 3.1: no noise, no dropout. Images as for `fit_autoencoder`.
    """
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(np.array(images[start : start + batch_size]))  # a memory map is read-only
            yield (model.code(model.pixels(batch)) > threshold).numpy()


def mean_input(images: np.ndarray, block: int = 1024) -> Tensor:
    """Mean of the images less their own means, float32 (pixels,), summed in float64."""
    total = torch.zeros(int(np.prod(images.shape[1:])), dtype=torch.float64)
    for start in range(0, len(images), block):
        total += less_own_mean(torch.from_numpy(np.array(images[start : start + block]))).sum(
            dim=0, dtype=torch.float64
        )
    return (total / len(images)).float()


def torch_rng(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A torch generator at the start of the stream (seed, purpose, counters...)."""
    return torch.Generator().manual_seed(stream_key(seed, purpose, *counters) & (2**63 - 1))


def _state(model: Autoencoder, optimiser: torch.optim.Adam, epochs_done: int) -> State:
    state = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimiser.state[parameter].items():
            state[f"adam.{name}.{key}"] = value.clone()
    return {**state, "epochs_done": torch.tensor(epochs_done)}


def _restore(model: Autoencoder, optimiser: torch.optim.Adam, state: Mapping[str, Tensor]) -> int:
    """Put model and optimiser where `state` says; return the number of epochs done."""
    try:
        model.load_state_dict({name: state[f"model.{name}"] for name in model.state_dict()})
        for name, parameter in model.named_parameters():
            kept = {key: state[f"adam.{name}.{key}"].clone() for key in ("step", "exp_avg", "exp_avg_sq")}
            optimiser.state[parameter] = kept
        return int(state["epochs_done"])
    except (KeyError, RuntimeError) as error:
        raise TrainingError(f"the autoencoder's checkpoint is of another network ({error}); remove it") from None
