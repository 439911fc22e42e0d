"""Writes the digests that DVC's stages read as parameters: the command of the first stage, `code`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.bridge.digests import digests_for
from relatent.cli.job import run
from relatent.ledger.files import write_json


def main(argv: Sequence[str] | None = None) -> None:
    """Write one entry per stage."""
    parser = argparse.ArgumentParser(prog="python -m relatent.cli.code", description=__doc__)
    parser.add_argument("digests", help="results/<study>/code/digests.json, or data/code/digests.json")
    path = parser.parse_args(argv).digests
    write_json(Path(path), digests_for(path))


if __name__ == "__main__":
    sys.exit(run(main))
