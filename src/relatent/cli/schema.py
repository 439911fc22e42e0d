"""Export the JSON schema of a study's settings, for editors and for checking a YAML without relatent."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from relatent.config.study import Study
from relatent.errors import RelatentError
from relatent.ledger.files import write_text

PATH = Path("workflow/schemas/study.schema.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the schema, or with --check say whether the file is current."""
    parser = argparse.ArgumentParser(prog="relatent schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is not current")
    check = parser.parse_args(argv).check
    text = json.dumps(Study.model_json_schema(), indent=2) + "\n"
    current = PATH.is_file() and PATH.read_text(encoding="utf-8") == text
    if check and not current:
        raise RelatentError(f"{PATH} is not what relatent.config says; run `relatent schema` and commit it")
    if not current:
        write_text(PATH, text)
    return 0
