"""CIFAR-10's binary version: records of one label byte and 3072 pixels, red plane first. No pickle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relatent.data.archives import members
from relatent.data.parts import ArrayPart
from relatent.errors import DataIntegrityError

RECORD_BYTES = 1 + 3 * 32 * 32


def read_cifar(path: Path, names: Sequence[str]) -> ArrayPart:
    """The images of some members of the archive, in the order of `names`.

    Args:
        path: cifar-10-binary.tar.gz, in any packing.
        names: e.g. cifar-10-batches-bin/data_batch_1.bin.

    Raises:
        MissingDataError: no such archive.
        DataIntegrityError: a member is missing or not whole records.
    """
    content = dict(members(path, chosen=set(names).__contains__))
    batches = []
    for name in names:
        if name not in content:
            raise DataIntegrityError(f"{path}: has no member {name}. Remove it and fetch it again.")
        if not content[name] or len(content[name]) % RECORD_BYTES:
            raise DataIntegrityError(
                f"{path}: {name}: {len(content[name]):,} bytes are not whole records of {RECORD_BYTES}. "
                "Remove it and fetch it again."
            )
        batches.append(np.frombuffer(content[name], np.uint8).reshape(-1, RECORD_BYTES))
    records = np.concatenate(batches)
    return ArrayPart(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64))
