"""Packs cells into one tar, for `relatent adopt FILE.tar` elsewhere.

relatent pack STUDY CELL... -o x.tar                finished cells with their receipts
relatent pack --unfinished STUDY CELL... -o x.tar   checkpoints of cells under way, also while a job is at work on them;
                                                    after `adopt` the next `snakemake` there goes on from them
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.bridge.adopted import study_remedies
from relatent.bridge.graph import study_place
from relatent.bridge.pack import pack
from relatent.bridge.unfinished import pack_unfinished
from relatent.cli.job import run


def main(argv: Sequence[str] | None = None) -> None:
    """Check the cells and write the tar."""
    parser = argparse.ArgumentParser(
        prog="relatent pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study")
    parser.add_argument("cells", nargs="+", help="e.g. mnist/iwae-L1-k50, or train_density/mnist/iwae-L1-k50")
    parser.add_argument("--output", "-o", type=Path, required=True, help="the tar to write")
    parser.add_argument("--unfinished", action="store_true", help="the checkpoints of work that is under way")
    asked = parser.parse_args(argv)
    place = study_place(asked.study)
    packed: Sequence[object]
    if asked.unfinished:
        packed, what = pack_unfinished(place.name, asked.cells, asked.output), "works under way with their checkpoints"
    else:
        packed = pack(place.name, asked.cells, asked.output, study_remedies(place))
        what = "receipts with their files"
    print(f"{asked.output}: {len(packed)} {what}, {asked.output.stat().st_size / 1e6:,.1f} MB")
    for one in packed:
        print(f"  {one}")


if __name__ == "__main__":
    sys.exit(run(main))
