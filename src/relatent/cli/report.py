"""Write one self-contained HTML page of a study from what is there: a view, without network and without receipt."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.cli.job import run
from relatent.config.study import read_yaml
from relatent.errors import ConfigError, MissingDataError
from relatent.ledger.files import write_text
from relatent.report.page import report_page


def main(argv: Sequence[str] | None = None) -> int:
    """Write results/<study>/report.html and say where it is."""
    parser = argparse.ArgumentParser(prog="relatent report", description=__doc__)
    parser.add_argument("study", help="name of a study, or its YAML")
    parser.add_argument("--output", type=Path, help="default: results/<study>/report.html")
    arguments = parser.parse_args(argv)
    config = study_file(arguments.study)
    values = read_yaml(config)
    study = values.get("study")
    if not isinstance(study, str) or not isinstance(values.get("effort"), str):
        raise ConfigError(f"{config}: study and effort must be given, see config/README.md")
    output = arguments.output or Path("results") / study / "report.html"
    write_text(output, report_page(study, config.read_text(encoding="utf-8"), values["effort"]))
    print(output)
    return 0


def study_file(name: str) -> Path:
    """The YAML of a study given by name or by path.

    Raises:
        MissingDataError: there is none.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else Path("config") / f"{name}.yaml"
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file; the studies that ship are config/*.yaml")
    return path


if __name__ == "__main__":
    sys.exit(run(main))
