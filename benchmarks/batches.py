"""What feeding dynamically binarised minibatches costs, in microseconds per image and as a share of a training step.

`python benchmarks/batches.py` takes about half a minute: one thread, processor time, all sides interleaved in one run,
the best of many rounds, so that the ratios hold on a loaded machine. Sides, all at batch 20 of 784 pixels:

- ours: the batch order, the gather from the resident uint8 set, `dynamic` binarisation, conversion to float32;
- a per-item Dataset behind torch's DataLoader, as in most public reproductions: what torchvision's MNIST and ToTensor
  do to an image, call by call (it is not a dependency of ours), and torch.bernoulli of the result;
- torch.bernoulli on the whole batch, with the set resident as float32;
- limit: the random bytes that the draw needs, one a pixel, nothing else.

The training step is ours at k = 1, whole, its feeding included.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from relatent.data.batches import Batches
from relatent.data.binarisation import dynamic
from relatent.data.streams import stream
from relatent.training.density import Trainer
from relatent.training.density_state import Run
from relatent.training.freed_memory import keep_freed_memory
from relatent.training.runtime import configure_torch
from relatent.training.schedule import schedule

BATCH, PIXELS = 20, 784


class PerItem(Dataset):
    """Binarises one image when it is asked for; torchvision's steps."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images).reshape(-1, 28, 28)
        self.labels = torch.zeros(len(images), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.images[index].numpy())  # MNIST.__getitem__
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))  # ToTensor
        pixels = pixels.view(picture.size[1], picture.size[0], 1).permute(2, 0, 1).contiguous()
        return torch.bernoulli(pixels.to(dtype=torch.float32).div(255)), int(self.labels[index])


def sides(images: np.ndarray) -> dict[str, Callable[[], object]]:
    """One minibatch of each side; a step of training for the share."""
    batches, step = Batches(images, BATCH, seed=0), iter(range(10**9))

    def ours() -> torch.Tensor:
        now = next(step)
        return torch.from_numpy(dynamic(batches.at(now), 0, now).astype(np.float32))  # as Trainer.advance

    loader = DataLoader(PerItem(images), BATCH, shuffle=True)

    def endless() -> Iterator[list[torch.Tensor]]:
        while True:
            yield from loader

    items, resident = endless(), torch.from_numpy(images).float().div(255)
    rng = stream(0, "limit")
    return {
        "ours": ours,
        "per-item DataLoader": lambda: next(items),
        "torch.bernoulli on the batch": lambda: torch.bernoulli(resident[torch.randint(len(images), (BATCH,))]),
        "limit: random bytes alone": lambda: rng.bit_generator.random_raw(BATCH * PIXELS // 8),
        "whole training step, k = 1": Trainer(
            images.reshape(-1, 1, 28, 28), Run("vae", 1, 1, schedule("paper", stages=8)), seed=0
        ).advance,
    }


def main() -> None:
    """Print microseconds per image, and each side against ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batches", type=int, default=40, help="per side and round")
    arguments = parser.parse_args()
    configure_torch(1)
    keep_freed_memory()  # as train_density does
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (5000, PIXELS)) * (rng.random((5000, PIXELS)) < 0.19)).astype(np.uint8)
    timed = sides(images)
    best = dict.fromkeys(timed, float("inf"))
    for _ in range(arguments.rounds):
        for name, one in timed.items():
            begun = time.process_time()
            for _ in range(arguments.batches):
                one()
            best[name] = min(best[name], (time.process_time() - begun) / (arguments.batches * BATCH))
    ours = best["ours"]
    print(f"{'side':<32} {'µs per image':>12} {'against ours':>13}")
    for name, seconds in best.items():
        print(f"{name:<32} {seconds * 1e6:>12.2f} {seconds / ours:>12.1f}x")
    print(f"feeding is {100 * ours / best['whole training step, k = 1']:.1f} % of the whole k = 1 step")


if __name__ == "__main__":
    main()
