"""A study: one YAML, one folder `results/<study>/`. Its cells are listed there and nowhere else (DESIGN 4.16)."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings, checked
from relatent.config.data import DataSection
from relatent.config.dedup import DedupSection
from relatent.config.density import DensitySection
from relatent.config.effort import less_than_the_papers
from relatent.config.evaluation import LEAST_SCORED
from relatent.config.evaluation_section import Cells, EvaluationSection
from relatent.config.exact import ExactSection
from relatent.config.gan import GanSection
from relatent.config.probe import ProbeSection
from relatent.config.sample import SampleSection
from relatent.config.visual import VisualSection
from relatent.config.yaml_files import read_yaml
from relatent.errors import ConfigError


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
    visual: VisualSection = VisualSection()
    probe: ProbeSection = ProbeSection()
    tables: list[str] = []
    figures: list[str] = []

    def measured_cells(self) -> dict[str, list[str]]:
        """The density cells of each measure under `evaluate_nll` that goes beyond the evaluation itself."""
        section = self.evaluate_nll
        runs: dict[str, Cells] = {
            "annealing": section.annealing.run,
            "train_minus_test": section.train_minus_test.run,
            "repeated": section.repeated.run,
            "removed": section.removed.run,
        }
        every = [*self.density.cells(), *self.density.adopted]
        return {measure: every if run == "all" else list(run) for measure, run in runs.items()}

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
    if study.effort == "paper":
        lacking = list(less_than_the_papers(study.density, study.evaluate_nll, study.gan, study.probe))
        if lacking:
            raise ConfigError("\n".join(f"{where}: {line}" for line in lacking))
    measured = study.measured_cells()
    for measure, listed in measured.items():
        strangers = sorted(set(listed) - {*study.density.cells(), *study.density.adopted})
        if strangers:
            raise ConfigError(
                f"{where}: evaluate_nll.{measure}.run: {', '.join(strangers)}: neither in density.run nor in "
                "density.adopted; list it there first"
            )
    section = study.evaluate_nll
    for measure in ("annealing", "repeated", "removed"):
        images = getattr(section, measure).images
        if measured[measure] and images and section.test_images is not None and section.test_images < images:
            raise ConfigError(
                f"{where}: evaluate_nll.{measure}.images is {images} and evaluate_nll.test_images "
                f"{section.test_images}; the former are drawn from the latter, so lower or raise one"
            )
    if measured["repeated"] and section.k == 1:
        raise ConfigError(
            f"{where}: evaluate_nll.repeated measures the error that the weights claim, and one weight "
            "(evaluate_nll.k: 1) claims none; raise k, or leave repeated out"
        )
    scored = section.train_images
    if measured["train_minus_test"] and (scored is None or scored < LEAST_SCORED):
        raise ConfigError(
            f"{where}: evaluate_nll.train_minus_test goes from the training images that are scored in full to all, and "
            f"evaluate_nll.train_images is {'null: all are' if scored is None else scored}; make it {LEAST_SCORED} or "
            "more, or leave train_minus_test out"
        )
    for experiment, listed in study.visual.cells().items():
        strangers = sorted(set(listed) - {*study.gan.cells(), *study.gan.adopted})
        if strangers:
            raise ConfigError(
                f"{where}: visual.{experiment}.run: {', '.join(strangers)}: neither in gan.run nor in gan.adopted; "
                "list it there first"
            )
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
