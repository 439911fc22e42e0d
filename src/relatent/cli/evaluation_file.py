"""What `evaluate_nll` found per image, as the commands that go on from it read it."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relatent.errors import DataIntegrityError

if TYPE_CHECKING:
    import numpy as np


def read_evaluation(path: Path, seeds: Sequence[int]) -> "dict[str, np.ndarray]":
    """Its arrays by name, each (seed, image), with the rows of these seeds in this order.

    Raises:
        DataIntegrityError: not such a file, or a seed was not evaluated.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
        evaluated = [int(seed) for seed in arrays.pop("seed")]
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataIntegrityError(
            f"{path}: not readable as the per-image results of evaluate_nll ({error}). "
            f"Remove it and run `snakemake {path}`."
        ) from None
    missing = [seed for seed in seeds if seed not in evaluated]
    if missing:
        raise DataIntegrityError(
            f"{path}: seeds {missing} are not in it, only {evaluated}. Remove it and run `snakemake {path}`."
        )
    rows = [evaluated.index(seed) for seed in seeds]
    return {name: values[rows] for name, values in arrays.items()}
