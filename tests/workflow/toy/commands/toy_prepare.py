"""Toy: the prepared data."""

import sys
from collections.abc import Sequence

import numpy as np

from relatent.cli.job import JobParser, run
from relatent.config.base import Settings
from relatent.ledger.files import atomic_path


def main(argv: Sequence[str] | None = None) -> None:
    parser = JobParser("prepare", "relatent.cli.toy_prepare", Settings, __doc__)
    parser.input("numbers")
    parser.output("images")
    job = parser.parse(argv)
    with atomic_path(job.outputs["images"]) as path:
        np.save(path, np.load(job.inputs["numbers"]) + 2)
    job.finish()


if __name__ == "__main__":
    sys.exit(run(main))
