"""How far L_5000 of a trained net is off by its arithmetic, and how far by its draws beside what its error says.

`python benchmarks/iwae_accuracy.py iwae_short mnist/vae-L1-k1` takes some minutes; the cell's weights are in Git, its
test images are made by `snakemake --configfile config/iwae_short.yaml data/prepared/mnist/test_images.npy`. Two answers
about the first test images, under the cell's first seed:

- arithmetic: L_5000 in float32 and in bfloat16 less that in float64, from the same draws. A mode that moves it by more
  than 0.01 nats is not offered. Where bfloat16 is emulated, it is slow.
- draws: the spread of L_5000 over repetitions with other draws, root mean square over images, beside the standard error
  that one repetition gives (delta method). A ratio above one means that the printed Monte Carlo intervals are too
  narrow, as they are where the weights have a Pareto shape above 0.7.
"""

import argparse
from pathlib import Path

import numpy as np

from relatent.cli.density_files import read_models
from relatent.data.binarisation import test_binarisation
from relatent.evaluation import nll
from relatent.evaluation.fast_weights import Precision
from relatent.evaluation.importance import PARETO_UNTRUSTED
from relatent.ledger.receipts import read_receipt
from relatent.training.runtime import configure_torch

K = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("cell", help="<dataset>/<cell>, trained")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=12)
    asked = parser.parse_args()
    configure_torch(1)
    folder = Path("results") / asked.study / "train_density" / asked.cell
    seed = read_receipt(folder / "receipt.json").settings["seeds"][0]
    model = read_models(folder / "model.safetensors", [seed])[seed]
    grey = np.load(Path("data/prepared") / asked.cell.split("/")[0] / "test_images.npy")[: asked.images]
    x = test_binarisation(grey).reshape(len(grey), -1)

    def scored(noise_seed: int, precision: Precision = "float32") -> nll.Results:
        whole = [nll.Scored(model, model.latents)]
        return nll.evaluate(whole, x, K, noise_seed, "accuracy", precision=precision)

    exact = scored(0, "float64")["bound"][0]
    for precision in ("float32", "bfloat16"):
        moved = scored(0, precision)["bound"][0] - exact
        print(f"{precision}: mean {moved.mean():+.5f} nats, largest {abs(moved).max():.5f}, of {len(x)} images")
    repeated = [scored(1 + repetition) for repetition in range(asked.repetitions)]
    spread = np.sqrt(np.array([found["bound"][0] for found in repeated]).var(axis=0, ddof=1).mean())
    claimed = np.sqrt(np.mean([found["stderr"][0] ** 2 for found in repeated]))
    heavy = np.mean([(found["pareto_k"][0] > PARETO_UNTRUSTED).mean() for found in repeated])
    print(
        f"draws: spread {spread:.3f} nats over {len(repeated)} repetitions, claimed {claimed:.3f}, ratio "
        f"{spread / claimed:.2f}; Pareto shape above 0.7 at {100 * heavy:.0f} % of the images"
    )


if __name__ == "__main__":
    main()
