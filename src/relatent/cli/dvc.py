"""Renders a study's dvc.yaml, and data/dvc.yaml, from the Snakemake graph."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.bridge.graph import DEMO, study_place
from relatent.bridge.render import differing, render, study_graphs, write_rendered
from relatent.cli.job import run
from relatent.errors import RelatentError


def main(argv: Sequence[str] | None = None) -> None:
    """Write the files, or with --check say whether they are what the graph renders."""
    parser = argparse.ArgumentParser(prog="relatent dvc", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    render_parser = commands.add_parser("render", help="write dvc.yaml from the graph")
    render_parser.add_argument("study", nargs="?", default=DEMO)
    render_parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    arguments = parser.parse_args(argv)
    study = study_place(arguments.study)
    texts = render(study, study_graphs(study))
    if not arguments.check:
        written = write_rendered(texts)
        for path in texts:
            print(f"{path}: {'rendered' if path in written else 'is as the graph renders it'}")
        return
    wrong = differing(texts)
    for path in wrong:
        there = Path(path).read_text().splitlines() if Path(path).is_file() else []
        sys.stdout.writelines(
            f"{line}\n" for line in difflib.unified_diff(there, texts[path].splitlines(), path, "graph", lineterm="")
        )
    if wrong:
        raise RelatentError(
            f"{', '.join(wrong)}: not what the graph renders. Run `relatent dvc render {arguments.study}` and commit."
        )
    print(f"{', '.join(texts)}: as the graph renders them")


if __name__ == "__main__":
    sys.exit(run(main))
