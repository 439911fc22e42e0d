"""Fill the marked blocks of README.md, or of another page, from the results; --check only says whether they are so."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.cli.job import run
from relatent.errors import DataIntegrityError, MissingDataError
from relatent.ledger.files import write_text
from relatent.report.snippets import filled


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the page, or check it; exit 1 if a checked page is not what the results say."""
    parser = argparse.ArgumentParser(prog="relatent readme", description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", default=Path("README.md"))
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--check", action="store_true", help="write nothing; exit 1 if a block is not what results/ say")
    asked.add_argument("--costs", action="store_true", help="also what the runs cost, from the logs of this machine")
    arguments = parser.parse_args(argv)
    page: Path = arguments.page
    try:
        text = page.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingDataError(f"{page}: no such file; run this in the repository's root") from None
    wanted = filled(text, str(page), with_costs=arguments.costs)
    if wanted == text:
        return 0
    if arguments.check:
        raise DataIntegrityError(f"{page}: a table differs from results/. Run `relatent readme {page}`.")
    write_text(page, wanted)
    print(f"{page}: filled")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
