"""A study: one YAML, one folder `results/<study>/`. Its cells are listed there and nowhere else (DESIGN 4.16)."""

from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from relatent.config.base import Settings, checked
from relatent.config.data import DataSection
from relatent.config.dedup import DedupSection
from relatent.config.density import DensitySection
from relatent.config.evaluation import EvaluationSection
from relatent.config.exact import ExactSection
from relatent.config.gan import GanSection
from relatent.config.probe import ProbeSection
from relatent.config.sample import SampleSection
from relatent.errors import ConfigError, MissingDataError


class Study(Settings):
    """All settings of a study. A section that is left out has no cells."""

    study: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="name of the study and of its folder in results/")
    effort: Literal["demo", "short", "paper"] = Field(description="decides what may be compared with the paper")
    data: DataSection
    density: DensitySection = DensitySection()
    evaluate_nll: EvaluationSection = EvaluationSection()
    exact: ExactSection = ExactSection()
    dedup: DedupSection = DedupSection()
    gan: GanSection = GanSection()
    sample: SampleSection = SampleSection()
    probe: ProbeSection = ProbeSection()
    tables: list[str] = []
    figures: list[str] = []

    @model_validator(mode="after")
    def _lists_name_things_once(self) -> "Study":
        for key, names in (("tables", self.tables), ("figures", self.figures)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key} lists {', '.join(twice)} twice; name each once")
        return self


def study_from(values: Mapping[str, Any], where: str, known_datasets: Collection[str]) -> Study:
    """Check the values of a study's YAML.

    Args:
        values: the YAML as read.
        where: its file, for messages.
        known_datasets: names in the data registry.

    Raises:
        ConfigError: one line per wrong key, naming key and file.
    """
    study = checked(Study, dict(values), where)
    cells = [*study.density.cells(), *study.dedup.cells(), *study.gan.cells(), *study.probe.cells()]
    for name in dict.fromkeys([*study.data.cells(), *(cell.partition("/")[0] for cell in cells)]):
        if name not in known_datasets:
            raise ConfigError(
                f"{where}: unknown dataset {name!r}; data/registry.yaml has {', '.join(sorted(known_datasets))}. "
                "Correct the name or add a registry entry."
            )
        if name not in study.data.cells():
            raise ConfigError(f"{where}: data.run: {name} is used by a cell but not listed; add it to data.run")
    return study


def load_study(path: Path, known_datasets: Collection[str]) -> Study:
    """Read a study's YAML; errors as in `study_from`."""
    return study_from(read_yaml(path), str(path), known_datasets)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; a key given twice is an error, not the last one's victory.

    Raises:
        MissingDataError: no such file.
        ConfigError: not YAML, or not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as file:
            values = yaml.load(file, Loader=_UniqueKeys)
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; the studies that ship are config/*.yaml") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold `key: value` lines, see config/README.md")
    return values


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
