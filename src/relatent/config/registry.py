"""The data registry: of each dataset the files, checksums, terms, decoding recipe and splits (data/registry.yaml).

A dataset of a known format is added by an entry alone: in data/registry.local.yaml, or in a file that the environment
variable RELATENT_REGISTRY names (several: separated like PATH). data/README.md explains every key.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from relatent.config.base import Settings, checked
from relatent.config.yaml_files import read_yaml
from relatent.errors import ConfigError, MissingDataError

SHIPPED = Path("data/registry.yaml")
LOCAL = Path("data/registry.local.yaml")
NAME = re.compile(r"^[a-z][a-z0-9_]*$")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class RawFile(Settings):
    """One file as its publisher names it. A checksum is the publisher's, or taken from the bytes; never invented."""

    name: FileName
    size_bytes: int | None = Field(default=None, gt=0)
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    urls: list[str] = []
    mirror: str | None = Field(default=None, description="path in a mirror, where it is not <dataset>/<name>")
    bundled: str | None = Field(default=None, description="package:path of a copy that a dependency brings")
    members: dict[str, Sha256] | None = Field(default=None, description="sha256 of the archive's members that are used")
    members_sha256: Sha256 | None = Field(default=None, description="one digest over all members, for many small ones")

    @model_validator(mode="after")
    def _is_pinned(self) -> "RawFile":
        if self.sha256 is None and self.md5 is None:
            raise ValueError(f"{self.name}: give the published sha256 or md5; bytes that nothing pins are not fetched")
        if not self.urls and self.bundled is None:
            raise ValueError(f"{self.name}: give at least one URL in urls, or bundled")
        if any(not url.startswith(("http://", "https://")) for url in self.urls):
            raise ValueError(f"{self.name}: a URL must start with http:// or https://")
        return self


class Terms(Settings):
    """What the publisher allows, and where that is said."""

    licence: str
    source: str
    consent: str | None = Field(default=None, description="terms that the user must agree to before the first download")
    redistribution: bool = Field(default=True, description="false: may not be passed on, so DVC does not push it")


class Permutation(Settings):
    """A shuffle of a part before it is split."""

    kind: Literal["stream", "RandomState"]  # ours, counter-based; or numpy's legacy one, as the papers' code drew it
    seed: int


class Split(Settings):
    """Rows `start` to `stop` of a part, after its shuffle."""

    part: str
    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, gt=0)


class Part(Settings):
    """What all parts of a set share."""

    n_images: int | None = Field(default=None, gt=0, description="how many there must be")
    shuffle: Permutation | None = None


class DigitsPart(Part):
    """scikit-learn's digits.csv.gz: 64 values 0..16 and the label in each row."""

    format: Literal["digits_csv"]
    file: FileName
    size: int | None = Field(default=None, gt=0, description="enlarge to this size, bicubic")


class CropsPart(Part):
    """Overlapping square crops of photographs; the class is the photograph."""

    format: Literal["crops"]
    files: list[FileName]
    size: int = Field(gt=0)
    stride: int = Field(gt=0)
    columns: tuple[int, int] = Field(strict=False, description="crops lie whole in this band of pixel columns")


PartRecipe = Annotated[DigitsPart | CropsPart, Field(discriminator="format")]


class PreparedHashes(Settings):
    """sha256 over the bytes of the arrays of one split, where they are pinned."""

    images: Sha256
    labels: Sha256 | None = None


class Recipe(Settings):
    """How raw files become the arrays of data/prepared/<dataset>/."""

    shape: tuple[int, int, int] = Field(strict=False, description="channel, height, width")
    classes: list[str] | None = Field(default=None, description="names of labels 0, 1, ...; none: a set without labels")
    notes: str = Field(description="how it is cut and split, and why; goes into the manifest")
    names: bool = Field(default=False, description="keep the original file name of each image")
    parts: dict[str, PartRecipe]
    splits: dict[Literal["train", "validation", "test", "extra"], Split]
    pinned: dict[str, PreparedHashes] = {}

    @model_validator(mode="after")
    def _splits_name_parts(self) -> "Recipe":
        for name, split in self.splits.items():
            if split.part not in self.parts:
                raise ValueError(f"splits.{name}: no part {split.part!r}; the parts are {', '.join(self.parts)}")
        return self


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
        if bool(self.files) == bool(self.raw_of):
            raise ValueError("give either files (with terms) or raw_of")
        if self.files and self.terms is None:
            raise ValueError("terms are missing: licence and where it is said")
        return self


class FetchSettings(Settings):
    """What fetching one dataset depends on; where its bytes come from is free as long as the checksums hold."""

    dataset: str
    files: list[RawFile]
    consent: str | None


class PrepareSettings(Settings):
    """What preparing one dataset depends on."""

    dataset: str
    source: str
    recipe: Recipe


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
        return FetchSettings(dataset=name, files=entry.files, consent=entry.terms.consent if entry.terms else None)

    def prepare_settings(self, name: str) -> PrepareSettings:
        """Settings of the job that prepares `name`."""
        return PrepareSettings(dataset=name, source=self.raw_of(name), recipe=self[name].prepare)

    def raw_files(self, name: str) -> list[Path]:
        """Where the raw files that `name` is prepared from lie once fetched."""
        source = self.raw_of(name)
        return [Path("data/raw", source, file.name) for file in self[source].files]

    def prepared_files(self, name: str) -> list[Path]:
        """The files that preparing `name` makes, its receipt not among them."""
        recipe = self[name].prepare
        suffixes = ["images.npy", *(["labels.npy"] if recipe.classes else []), *(["names.txt"] if recipe.names else [])]
        arrays = [f"{split}_{suffix}" for split in recipe.splits for suffix in suffixes]
        return [Path("data/prepared", name, file) for file in [*arrays, "manifest.json"]]


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
    return _load(tuple(paths if paths is not None else registry_paths()))


@cache
def _load(paths: tuple[Path, ...]) -> Registry:
    datasets: dict[str, Dataset] = {}
    where: dict[str, Path] = {}
    for path in paths:
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


def safe_relative(path: str) -> bool:
    """Whether a path stays below where it starts."""
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts
