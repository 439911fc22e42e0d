"""What is missing on this machine and how to get it; exit 3 if a study cannot run."""

import argparse
import sys
from collections.abc import Sequence

from relatent.bridge.checkup import check_machine
from relatent.cli.job import run
from relatent.errors import MissingDataError


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per check, and the remedy under what is not in order."""
    argparse.ArgumentParser(prog="relatent doctor", description=__doc__).parse_args(argv)
    missing = []
    for check in check_machine():
        print(f"{check.state:<8}{check.name:<12}{check.found}", flush=True)
        if check.remedy:
            print(f"{'':<20}{check.remedy}")
        if check.state == "missing":
            missing.append(check.name)
    if missing:
        raise MissingDataError(f"missing: {', '.join(missing)}")


if __name__ == "__main__":
    sys.exit(run(main))
