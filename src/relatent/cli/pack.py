"""Packs finished cells with their receipts into one tar, for `relatent adopt FILE.tar` elsewhere."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.bridge.graph import study_place
from relatent.bridge.pack import pack
from relatent.cli.job import run


def main(argv: Sequence[str] | None = None) -> None:
    """Check the cells and write the tar."""
    parser = argparse.ArgumentParser(prog="relatent pack", description=__doc__)
    parser.add_argument("study")
    parser.add_argument("cells", nargs="+", help="e.g. mnist/iwae-L1-k50, or train_density/mnist/iwae-L1-k50")
    parser.add_argument("--output", "-o", type=Path, required=True, help="the tar to write")
    asked = parser.parse_args(argv)
    receipts = pack(study_place(asked.study).name, asked.cells, asked.output)
    size_mb = asked.output.stat().st_size / 1e6
    print(f"{asked.output}: {len(receipts)} receipts with their files, {size_mb:,.1f} MB")
    for path in receipts:
        print(f"  {path}")


if __name__ == "__main__":
    sys.exit(run(main))
