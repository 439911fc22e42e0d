"""Takes in results: those of a study that came by Git and DVC, or cells from elsewhere in a tar.

relatent adopt STUDY      after `dvc pull`, `dvc checkout`, or `dvc repro` in a clone: verifies every receipt, puts
                          finished work back into scratch, and only then lets Snakemake know.
relatent adopt FILE.tar   cells made on another machine or in a long background run, packed by `relatent pack`: verifies
                          them and puts them into place. A tar of `relatent pack --unfinished` brings checkpoints of
                          work under way, from which the next `snakemake` goes on. It is refused where the work would
                          begin afresh all the same (other code, settings, data, torch or processor). A checkpoint has
                          no receipt that could prove it: take such a tar from machines of your own.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.bridge.adopted import differing_settings
from relatent.bridge.graph import DEMO, STUDY_NAME, study_place
from relatent.bridge.pack import Arrival, unpack
from relatent.bridge.resume import adopt_unfinished, holds_unfinished
from relatent.bridge.states import adopt
from relatent.cli.job import run
from relatent.config.registry import load_registry
from relatent.config.study import Study, load_study
from relatent.errors import ConfigError, RelatentError
from relatent.ledger.code import code_digest
from relatent.ledger.receipts import Receipt
from relatent.ledger.verify import refill_scratch


def main(argv: Sequence[str] | None = None) -> None:
    """Adopt a study or a tar."""
    parser = argparse.ArgumentParser(
        prog="relatent adopt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", default=DEMO, metavar="STUDY or FILE.tar")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="of a tar: also where other bytes, or a checkpoint further along, are there already",
    )
    asked = parser.parse_args(argv)
    if not STUDY_NAME.fullmatch(asked.what) and not asked.what.endswith(".yaml"):
        take = _adopt_unfinished if holds_unfinished(Path(asked.what)) else _adopt_tar
        take(Path(asked.what), asked.replace)
    else:
        adopt(study_place(asked.what))


def _adopt_tar(tar: Path, replace: bool) -> None:
    arrival = unpack(tar, replace, lambda arrival: _study_of(tar, arrival))
    study = _study_of(tar, arrival)
    print(f"{tar}: {len(arrival.receipts)} receipts, {arrival.n_files} files, verified and in place")
    for path, receipt in arrival.receipts.items():
        print(f"  {path}: code {receipt.code[:12]}, {'today' if _is_today(receipt) else 'not today'}'s")
    filled = refill_scratch(receipt for receipt in arrival.receipts.values() if _is_today(receipt))
    print(f"{filled} finished works put into scratch")
    print(_next(arrival))
    other = list(differing_settings(study, arrival.receipts))
    if other:
        print("Not as the study's YAML has them; under `adopted:` they are refused:")
        print("\n".join(f"  {line}" for line in other))


def _study_of(tar: Path, arrival: Arrival) -> Study:
    """The study of a tar's cells.

    Raises:
        MissingDataError, ConfigError: it is not here, or its YAML is wrong.
    """
    try:
        return load_study(Path(study_place(arrival.study).config), load_registry().names())
    except RelatentError as error:
        raise type(error)(f"{error}\n{tar}: its cells are of {arrival.study}; nothing was taken from it") from None


def _adopt_unfinished(tar: Path, replace: bool) -> None:
    works = adopt_unfinished(tar, replace)
    print(f"{tar}: {len(works)} works under way, checked")
    for work in works:
        print(f"  {work}")
    print("Next: `snakemake` goes on from there.")


def _is_today(receipt: Receipt) -> bool:
    try:
        return code_digest(receipt.command) == receipt.code
    except ConfigError:
        return False


def _next(arrival: Arrival) -> str:
    cells = ", ".join(sorted({receipt.cell for receipt in arrival.receipts.values()}))
    return (
        f"Next: `snakemake` makes cells under `run:` of config/{arrival.study}.yaml current, from scratch.\n"
        f"To keep them as they are, list them under `adopted:` and commit their files, with `git add -f`: {cells}"
    )


if __name__ == "__main__":
    sys.exit(run(main))
