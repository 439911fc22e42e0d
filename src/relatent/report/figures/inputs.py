"""The files a figure reads, found by source and name."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from relatent.errors import MissingDataError
from relatent.ledger.files import read_json


class Inputs:
    """Files of a figure, each under its source: `<phase>/<cell>`, or `prepared/<dataset>` for data."""

    def __init__(self, study: str, paths: Iterable[Path]) -> None:
        self._files: dict[str, dict[str, Path]] = {}
        for path in paths:
            self._files.setdefault(source_of(study, path), {})[path.name] = path

    def sources(self, name: str) -> list[str]:
        """Sources that have a file of this name, in the order given."""
        return [source for source, files in self._files.items() if name in files]

    def has(self, source: str, name: str) -> bool:
        """Whether the source has a file of this name."""
        return name in self._files.get(source, {})

    def file(self, source: str, name: str) -> Path:
        """One file.

        Raises:
            MissingDataError: it was not given.
        """
        if not self.has(source, name):
            raise MissingDataError(f"--files: {source}/{name} is needed for this figure; give it with its receipt")
        return self._files[source][name]

    def settings(self, source: str, name: str) -> Any:
        """Settings of the job that wrote a file, from the receipt beside it."""
        return read_json(self.file(source, name).with_name("receipt.json"))["settings"]

    def json(self, source: str, name: str) -> Any:
        """The value in a JSON file."""
        return read_json(self.file(source, name))


def source_of(study: str, path: Path) -> str:
    """`results/<study>/<source>/<file>` or `data/<source>/<file>` → source."""
    text = path.parent.as_posix()
    return text.removeprefix(f"results/{study}/").removeprefix("data/")
