"""Where a study's tables, figures and report are: the last line of `make`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from relatent.bridge.graph import study_place
from relatent.errors import MissingDataError


def main(argv: Sequence[str] | None = None) -> int:
    """Print the places."""
    parser = argparse.ArgumentParser(prog="relatent where", description=__doc__)
    parser.add_argument("study")
    place = study_place(parser.parse_args(argv).study)
    study = place.name
    folder = Path("results") / study
    tables, figures, report = (
        sorted((folder / "tables").glob("*.md")),
        sorted((folder / "figures").glob("*.png")),
        folder / "report.html",
    )
    if not report.exists():
        raise MissingDataError(f"{report}: not made yet. Run `{place.make}` in the repository's root.")
    print(f"{study}: {len(tables)} tables in {folder / 'tables'}/, {len(figures)} figures in {folder / 'figures'}/")
    for table in tables:
        print(f"  {table}")
    print(f"open {report.resolve().as_uri()}")
    return 0
