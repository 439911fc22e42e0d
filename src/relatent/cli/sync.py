"""After a bare `snakemake`: verifies what it made and makes DVC agree, with nothing left to do on either side."""

import argparse
import sys
from collections.abc import Sequence

from relatent.bridge.graph import DEMO, study_place
from relatent.bridge.states import sync
from relatent.cli.job import run


def main(argv: Sequence[str] | None = None) -> None:
    """Verify, render, refresh the digests, `dvc commit`, empty the run cache."""
    parser = argparse.ArgumentParser(prog="relatent sync", description=__doc__)
    parser.add_argument("study", nargs="?", default=DEMO)
    sync(study_place(parser.parse_args(argv).study))


if __name__ == "__main__":
    sys.exit(run(main))
