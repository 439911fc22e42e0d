"""The data registry: of each dataset the files, checksums, terms, decoding recipe and splits (data/registry.yaml).

A dataset of a known format is added by an entry alone: in data/registry.local.yaml, or in a file that the environment
variable RELATENT_REGISTRY names (several: separated like PATH). data/README.md explains every key.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from relatent.config.base import Settings, checked
from relatent.config.raw_files import FetchSettings, RawFile, Terms
from relatent.config.recipes import PrepareSettings, Recipe
from relatent.config.yaml_files import read_yaml
from relatent.errors import ConfigError, MissingDataError

SHIPPED = Path("data/registry.yaml")
LOCAL = Path("data/registry.local.yaml")
NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class Dataset(Settings):
    """One registry entry."""

    title: str
    citation: str
    stands_for: str | None = Field(default=None, description="of a stand-in: what it stands for, and how it differs")
    raw_of: str | None = Field(default=None, description="dataset whose raw files this one is prepared from")
    terms: Terms | None = None
    files: list[RawFile] = []
    prepare: Recipe

    @field_validator("files")
    @classmethod
    def _files_named_once(cls, files: list[RawFile]) -> list[RawFile]:
        names = [file.name for file in files]
        if len(names) != len(set(names)):
            raise ValueError("two files have the same name")
        return files

    @model_validator(mode="after")
    def _files_or_another_set(self) -> "Dataset":
        if [bool(self.files), self.raw_of is not None, self.prepare.folder is not None].count(True) != 1:
            raise ValueError("give one of files (with terms), raw_of, or a part of format folder")
        if self.files and self.terms is None:
            raise ValueError("terms are missing: licence and where it is said")
        return self


class Registry:
    """All datasets known here, by name."""

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self.datasets = dict(datasets)

    def __getitem__(self, name: str) -> Dataset:
        try:
            return self.datasets[name]
        except KeyError:
            raise ConfigError(
                f"unknown dataset {name!r}; the registry has {', '.join(sorted(self.datasets))}. Correct the name, or "
                f"add an entry to {LOCAL}"
            ) from None

    def names(self) -> list[str]:
        """Every dataset, in the order of the files."""
        return list(self.datasets)

    def raw_of(self, name: str) -> str:
        """The dataset whose raw files `name` is prepared from: mostly itself."""
        return self[name].raw_of or name

    def fetch_settings(self, name: str) -> FetchSettings:
        """Settings of the job that fetches `name`."""
        entry = self[name]
        consent = entry.terms.consent if entry.terms else None
        return FetchSettings(dataset=name, files=entry.files, folder=entry.prepare.folder, consent=consent)

    def prepare_settings(self, name: str) -> PrepareSettings:
        """Settings of the job that prepares `name`."""
        return PrepareSettings(dataset=name, source=self.raw_of(name), recipe=self[name].prepare)

    def raw_files(self, name: str) -> list[Path]:
        """Where the raw files that `name` is prepared from lie once fetched."""
        source = self.raw_of(name)
        names = ["listing.tsv"] if self[source].prepare.folder else [file.name for file in self[source].files]
        return [Path("data/raw", source, name) for name in names]

    def prepared_files(self, name: str) -> list[Path]:
        """The files that preparing `name` makes, its receipt not among them."""
        return [Path("data/prepared", name, file) for file in [*self[name].prepare.array_files, "manifest.json"]]


def registry_paths() -> list[Path]:
    """The registry files in force: ours, then the user's."""
    named = [Path(path) for path in os.environ.get("RELATENT_REGISTRY", "").split(os.pathsep) if path]
    return [SHIPPED, *([LOCAL] if LOCAL.is_file() else []), *named]


def load_registry(paths: Sequence[Path] | None = None) -> Registry:
    """Read and check registry files.

    Raises:
        MissingDataError: a file is not there.
        ConfigError: a wrong entry, named with its file and key; or a dataset defined twice.
    """
    datasets: dict[str, Dataset] = {}
    where: dict[str, Path] = {}
    for path in registry_paths() if paths is None else paths:
        if not path.is_file():
            raise MissingDataError(f"{path}: no such registry file; correct RELATENT_REGISTRY, or make the file")
        entries = read_yaml(path).get("datasets")
        if not isinstance(entries, dict):
            raise ConfigError(f"{path}: must hold a mapping `datasets:` of name to entry, as data/registry.yaml does")
        for name, values in entries.items():
            if not isinstance(name, str) or not NAME.match(name):
                raise ConfigError(f"{path}: datasets.{name}: a name is lower-case letters, digits and _, no dots")
            if name in datasets:
                raise ConfigError(f"{path}: datasets.{name}: already defined in {where[name]}; choose another name")
            datasets[name] = checked(Dataset, values, f"{path}: datasets.{name}")
            where[name] = path
    for name, entry in datasets.items():
        _check_source(name, entry, datasets, where[name])
    return Registry(datasets)


def _check_source(name: str, entry: Dataset, datasets: Mapping[str, Any], path: Path) -> None:
    source = entry.raw_of
    if source is not None and (source not in datasets or datasets[source].raw_of is not None):
        raise ConfigError(f"{path}: datasets.{name}.raw_of: {source!r} is no dataset with files of its own")
