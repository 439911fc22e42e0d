"""L_k of each image under each of several models: importance sampling with q as the proposal, at any k.

Every image is a piece of work by itself, with noise of its own, so numbers do not depend on how images are cut into
blocks, on the number of threads, or on where an interrupted run was taken up again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from relatent.errors import TrainingError
from relatent.evaluation.fast_weights import Encoded, FastWeights, Precision
from relatent.evaluation.importance import LogWeights
from relatent.evaluation.noise import ImageNoise
from relatent.models.density import DensityModel

Results = dict[str, NDArray[np.float64]]

# Per image; attributes of `LogWeights`.
QUANTITIES = ("bound", "stderr", "elbo", "effective_samples", "pareto_k", "bias_first_order", "bias_jackknife")

SAMPLES_AT_ONCE = 5000  # log weights held for one image; k may be any number of times as large
NOISE_AT_ONCE = 1250  # samples whose noise is held: two blocks of `FastWeights`, small enough to stay near the core
IMAGES_AT_ONCE = 20  # of each thread, between two offers to save

TEST_NOISE = (
    "test posterior noise"  # purpose of the noise of the test split; shared by all that is compared image by image
)


@dataclass(frozen=True)
class Scored:
    """A model with the latents of the full noise that it uses.

    Args:
        model: what is evaluated.
        latents: units per layer that noise is drawn for; more than the model's own if some were removed.
        kept: for each layer the indices of the units kept, or None for all.
        name: for messages, e.g. "seed 0".
    """

    model: DensityModel
    latents: tuple[int, ...]
    kept: tuple[NDArray[np.int64], ...] | None = None
    name: str = ""


class ImageScorer:
    """L_k and its diagnostics of one image after another, under models that see the same noise."""

    def __init__(
        self, models: Sequence[Scored], k: int, seed: int, purpose: str, precision: Precision = "float32"
    ) -> None:
        if len({scored.latents for scored in models}) != 1:
            raise ValueError("models that share noise must have latents of the same sizes")
        self.models, self.k, self.seed, self.purpose = models, k, seed, purpose
        self.fast = [FastWeights(scored.model, precision) for scored in models]

    def score(self, x: NDArray[np.uint8], image: int) -> NDArray[np.float64]:
        """(quantities, models) of one image.

        Args:
            x: (pixels,) in {0, 1}.
            image: its index in the split; keys the noise.

        Raises:
            TrainingError: a model's densities are not finite.
        """
        noise = ImageNoise(self.seed, self.purpose, image, self.models[0].latents)
        encoded = [
            fast.encode(x, *_encoding(scored.model, x)) for fast, scored in zip(self.fast, self.models, strict=True)
        ]
        sums = [LogWeights(1, self.k) for _ in self.models]
        for start in range(0, self.k, SAMPLES_AT_ONCE):
            log_w = self._log_weights(encoded, noise, min(SAMPLES_AT_ONCE, self.k - start))
            for index, scored in enumerate(self.models):
                try:
                    sums[index].add(log_w[index][:, None])
                except ValueError as error:
                    raise TrainingError(
                        f"image {image}, {scored.name or f'model {index}'}: {error}. The network has diverged or its "
                        "checkpoint is damaged; look at its history.csv and train it again."
                    ) from None
        return np.array([[float(getattr(total, name)[0]) for total in sums] for name in QUANTITIES])

    def _log_weights(self, encoded: Sequence[Encoded], noise: ImageNoise, k: int) -> NDArray[np.floating]:
        """The next `k` log weights of an image, (models, k)."""
        log_w: NDArray[np.floating] = np.empty((len(self.models), k), self.fast[0].dtype)
        for start in range(0, k, NOISE_AT_ONCE):
            samples = slice(start, min(start + NOISE_AT_ONCE, k))
            block = noise.block(samples.stop - start)
            for index, scored in enumerate(self.models):
                own = block if scored.kept is None else _only(block, scored.kept)
                log_w[index, samples] = self.fast[index].log_weights(encoded[index], own)
        return log_w


def evaluate(
    models: Sequence[Scored],
    x: NDArray[np.uint8],
    k: int,
    seed: int,
    purpose: str,
    threads: int = 1,
    precision: Precision = "float32",
    done: Mapping[str, NDArray[np.float64]] | None = None,
    keep: Callable[[Results], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
    places: Sequence[int] | None = None,
) -> Results:
    """L_k of every image under every model, with what tells how far to trust it.

    Args:
        models: evaluated on the same noise.
        x: (images, pixels) in {0, 1}.
        k: samples per image.
        seed: of the noise.
        purpose: of the noise; one for each split.
        threads: images worked on side by side; leaves no trace in the numbers.
        precision: of the products.
        done: what an interrupted evaluation had handed to `keep`.
        keep: called now and then with the results of the images so far.
        advance: called with the number of images just done.
        places: of the images in their split, which key the noise; None if they are its first ones.

    Returns:
        QUANTITIES by name, each (models, images).

    Raises:
        TrainingError: a model's densities are not finite, or it was made for images of another size.
    """
    for scored in models:
        if scored.model.pixels != x.shape[1]:
            raise TrainingError(
                f"{scored.name}: the model is for images of {scored.model.pixels} pixels, these have {x.shape[1]}; "
                "the checkpoint belongs to another dataset"
            )
    keys = range(len(x)) if places is None else places
    parts = [np.stack([done[name] for name in QUANTITIES])] if done else []
    first = parts[0].shape[-1] if parts else 0
    scorers = [ImageScorer(models, k, seed, purpose, precision) for _ in range(threads)]
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for start in range(first, len(x), IMAGES_AT_ONCE * threads):
            images = range(start, min(start + IMAGES_AT_ONCE * threads, len(x)))
            shares = [
                pool.submit(
                    lambda scorer, own: [scorer.score(x[i], keys[i]) for i in own], scorer, images[index::threads]
                )
                for index, scorer in enumerate(scorers)
            ]
            found = np.empty((len(QUANTITIES), len(models), len(images)))
            for index, share in enumerate(shares):
                for place, values in zip(range(index, len(images), threads), share.result(), strict=True):
                    found[:, :, place] = values
            parts.append(found)
            advance(len(images))
            keep(dict(zip(QUANTITIES, np.concatenate(parts, axis=-1), strict=True)))
    return dict(zip(QUANTITIES, np.concatenate(parts, axis=-1), strict=True))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Products on the calling thread alone: small ones gain nothing from more, and bits would depend on the number."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _only(noise: tuple[NDArray[np.float32], ...], kept: tuple[NDArray[np.int64], ...]) -> tuple[NDArray, ...]:
    return tuple(part[units] for part, units in zip(noise, kept, strict=True))


@torch.no_grad()
def _encoding(model: DensityModel, x: NDArray[np.uint8]) -> tuple[NDArray, NDArray]:
    """Mean and sd of q(z1|x), (latent_1,); one image at a time, so that its bits do not depend on a batch."""
    dtype = model.p_x_given_z1.logits.weight.dtype
    encoding = model.encode(torch.from_numpy(x[None]).to(dtype))
    return encoding.mean[0].numpy(), encoding.sd[0].numpy()
