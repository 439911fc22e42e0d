"""In words, why a file would be made again, or that it would not."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.bridge.explain import Explanation, explain
from relatent.bridge.graph import DEMO, study_place
from relatent.cli.job import run
from relatent.ledger.remedies import Remedies


def main(argv: Sequence[str] | None = None) -> None:
    """Explain each file."""
    parser = argparse.ArgumentParser(prog="relatent explain", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file that the graph makes")
    parser.add_argument("--study", help="whose graph; from the path if it lies below results/<study>/, else the demo's")
    asked = parser.parse_args(argv)
    for name in asked.files:
        path = _from_root(name)
        parts = Path(path).parts
        study = asked.study or (parts[1] if parts[:1] == ("results",) and len(parts) > 2 else DEMO)
        place = study_place(study)
        print("\n".join(_lines(explain(place, path), Remedies(place.make))))


def _from_root(name: str) -> str:
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return path.as_posix()


def _lines(found: Explanation, remedies: Remedies) -> list[str]:
    job = found.job
    maker = f"{job.rule} ({job.module})" if job.module else job.rule
    if not found.stale:
        lines = [f"{found.path}: up to date; {maker} would not run"]
        if found.causes:
            lines += ["  and yet:", *(f"  - {cause}" for cause in found.causes)]
            lines.append(f"  Snakemake does not look at this. {remedies.changed(found.path)}")
        return lines
    lines = [f"{found.path}: would be made again by {maker}", *(f"  - {cause}" for cause in found.causes)]
    for other in found.upstream:
        lines.append(f"  before it: {other.outputs[0]} ({other.reason or other.rule})")
    return lines


if __name__ == "__main__":
    sys.exit(run(main))
