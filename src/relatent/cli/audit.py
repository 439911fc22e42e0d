"""Checks everything that a study claims, level by level; exit 0 if it holds and 1 if it does not.

L0 every file is there and no other. L1 all bytes, receipts, code, settings and dvc.lock agree. L2 tables and figures,
made again, are the same. L3 some results, measured again from their weights, are the same. L4 some weights, trained
again with an empty scratch, are the same. L3 and L4 take as long as the jobs they make again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.audit.forgeries import self_test
from relatent.audit.levels import integrity, inventory
from relatent.audit.remake import remade
from relatent.audit.verdict import TITLES, Level, verdict_lines
from relatent.bridge.adopted import adopted_settings
from relatent.bridge.graph import DEMO, expand, study_place
from relatent.bridge.programs import run_program
from relatent.bridge.render import DATA_FILE
from relatent.cli.job import run


def main(argv: Sequence[str] | None = None) -> int:
    """Audit, or with --self-test forge things on a copy and see which level notices."""
    parser = argparse.ArgumentParser(
        prog="relatent audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="?", default=DEMO)
    parser.add_argument("--level", choices=list(TITLES), default="L2", help="up to which level (default: L2)")
    parser.add_argument("--jobs", type=_at_least_one, default=1, help="that L3 and L4 each make again (default: 1)")
    parser.add_argument("--self-test", action="store_true", help="forge things on a copy; exit 1 if one goes unnoticed")
    asked = parser.parse_args(argv)
    place = study_place(asked.study)
    jobs = expand(place)
    dvc_files = [DATA_FILE, place.dvc_file]
    if asked.self_test:
        return self_test(place.name, jobs, dvc_files, lambda: expand(place))
    levels: list[Level] = []
    for name in list(TITLES)[: list(TITLES).index(asked.level) + 1]:
        if name == "L0":
            levels.append(inventory(place.name, jobs, dvc_files, place.make))
        elif name == "L1":
            levels.append(integrity(place.name, jobs, dvc_files, adopted_settings(place), place.make))
        else:
            sample = None if name == "L2" else asked.jobs
            levels.append(remade(name, jobs, Path.cwd(), sample, commit(), place.make))
    print("\n".join(verdict_lines(place.name, levels)))
    return 0 if all(level.passed for level in levels) else 1


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of jobs; give 1 or more")
    return int(text)


def commit() -> str:
    """Hash of the checked-out commit, "" outside Git."""
    done = run_program("git", "rev-parse", "HEAD", check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(run(main))
