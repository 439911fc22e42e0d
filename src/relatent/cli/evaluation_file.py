"""What `evaluate_nll` found per image, as the commands that go on from it read it."""

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relatent.errors import DataIntegrityError
from relatent.ledger.remedies import of_damaged

if TYPE_CHECKING:
    import numpy as np


def read_evaluation(path: Path, seeds: Sequence[int]) -> "dict[str, np.ndarray]":
    """Its arrays by name, each (seed, image), with the rows of these seeds in this order.

    One is (image,): `train_image`, the places of the training images scored. Cells that were adopted before these were
    drawn have no such array: theirs are the first ones.

    Raises:
        DataIntegrityError: not such a file, or a seed was not evaluated.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
        evaluated = [int(seed) for seed in arrays.pop("seed")]
        places = arrays.pop("train_image", None)
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataIntegrityError(
            f"{path}: not readable as the per-image results of evaluate_nll ({error}). {of_damaged(path)}"
        ) from None
    missing = [seed for seed in seeds if seed not in evaluated]
    if missing:
        raise DataIntegrityError(f"{path}: seeds {missing} are not in it, only {evaluated}. {of_damaged(path)}")
    rows = [evaluated.index(seed) for seed in seeds]
    found = {name: values[rows] for name, values in arrays.items()}
    if "train_log_px_hat" in found:
        scored = found["train_log_px_hat"].shape[1]
        found["train_image"] = (np.arange(scored) if places is None else places).astype(np.int64)
    return found


def read_activity(path: Path, seeds: Sequence[int], sizes: Sequence[int]) -> "dict[int, list[np.ndarray]]":
    """The variance A_u of every unit, by seed and layer, each (units,).

    Args:
        path: `activity.csv`.
        seeds: of the models.
        sizes: units of each layer.

    Raises:
        DataIntegrityError: not such a file, or not of these seeds and layers.
    """
    import numpy as np

    try:
        with path.open(newline="") as file:
            rows = [
                (int(r["seed"]), int(r["layer"]), int(r["unit"]), float(r["variance"])) for r in csv.DictReader(file)
            ]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataIntegrityError(
            f"{path}: not readable as the units' variances ({error}). {of_damaged(path)}"
        ) from None
    found = {}
    for seed in seeds:
        of_seed = sorted(row[1:] for row in rows if row[0] == seed)
        expected = [(layer, unit) for layer, size in enumerate(sizes, start=1) for unit in range(size)]
        if [row[:2] for row in of_seed] != expected:
            raise DataIntegrityError(
                f"{path}: of seed {seed} it has {len(of_seed)} units where the model has {sum(sizes)}. "
                f"{of_damaged(path)}"
            )
        variances = np.array([row[2] for row in of_seed])
        found[seed] = np.split(variances, np.cumsum(sizes)[:-1])
    return found
