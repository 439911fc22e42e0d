"""Takes in results that came by Git and DVC: verifies them and makes Snakemake agree."""

import argparse
import sys
from collections.abc import Sequence

from relatent.bridge.graph import DEMO, study_place
from relatent.bridge.states import adopt
from relatent.cli.job import run


def main(argv: Sequence[str] | None = None) -> None:
    """Verify every receipt, put finished work back into scratch, and only then let Snakemake know."""
    parser = argparse.ArgumentParser(prog="relatent adopt", description=__doc__)
    parser.add_argument("study", nargs="?", default=DEMO)
    adopt(study_place(parser.parse_args(argv).study))


if __name__ == "__main__":
    sys.exit(run(main))
