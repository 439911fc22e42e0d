"""How far L_5000 of a trained net is off by its arithmetic: float32 and bfloat16 less float64, from the same draws.

Printed: mean difference ± its standard error over images, and the largest, in nats.

`python benchmarks/iwae_accuracy.py iwae_short mnist/vae-L1-k1` takes ten minutes; the cell's weights are in Git, its
test images are made by `snakemake data/prepared/mnist/test_images.npy --configfile config/iwae_short.yaml`. A mode that
moves the first test images by more than 0.01 nats is not offered. Where bfloat16 is emulated, it is slow. How far
L_5000 is off by its draws is a result of the study (`evaluate_nll.repeated`).
"""

import argparse
from pathlib import Path

import numpy as np

from relatent.cli.density_files import read_models
from relatent.data.binarisation import test_binarisation
from relatent.evaluation import nll
from relatent.evaluation.fast_weights import Precision
from relatent.ledger.receipts import read_receipt
from relatent.training.runtime import configure_torch

K = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("cell", help="<dataset>/<cell>, trained")
    parser.add_argument("--images", type=int, default=1000)
    asked = parser.parse_args()
    configure_torch(1)
    folder = Path("results") / asked.study / "train_density" / asked.cell
    seed = read_receipt(folder / "receipt.json").settings["seeds"][0]
    model = read_models(folder / "model.safetensors", [seed])[seed]
    grey = np.load(Path("data/prepared") / asked.cell.split("/")[0] / "test_images.npy")[: asked.images]
    x = test_binarisation(grey).reshape(len(grey), -1)

    def scored(precision: Precision) -> np.ndarray:
        return nll.evaluate([nll.Scored(model, model.latents)], x, K, 0, "accuracy", precision=precision)["bound"][0]

    exact = scored("float64")
    modes: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in modes:
        moved = scored(precision) - exact
        error = moved.std(ddof=1) / len(x) ** 0.5  # of the mean, by the choice of images
        mean, largest = f"{moved.mean():+.5f} ± {error:.5f}", f"{abs(moved).max():.5f}"
        print(f"{precision}: mean {mean} nats, largest {largest}, of {len(x)} images")


if __name__ == "__main__":
    main()
