"""Toy: the raw data."""

import sys
from collections.abc import Sequence

import numpy as np

from relatent.cli.job import JobParser, run
from relatent.config.base import Settings
from relatent.ledger.files import atomic_path


class FetchSettings(Settings):
    n: int


def main(argv: Sequence[str] | None = None) -> None:
    parser = JobParser("fetch", "relatent.cli.toy_fetch", FetchSettings, __doc__)
    parser.output("numbers")
    job = parser.parse(argv)
    with atomic_path(job.outputs["numbers"]) as path:
        np.save(path, np.sin(np.arange(job.settings.n)))
    job.finish()


if __name__ == "__main__":
    sys.exit(run(main))
