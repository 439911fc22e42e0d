"""What a study says of its adopted cells. No job makes them, so the graph does not hold it against their receipts."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from relatent.bridge.graph import StudyPlace
from relatent.config.registry import load_registry
from relatent.config.study import Study, load_study
from relatent.config.yaml_files import read_yaml
from relatent.errors import ConfigError, RelatentError
from relatent.ledger.receipts import Receipt, read_receipt
from relatent.ledger.remedies import Remedies
from relatent.ledger.verify import other_settings

SHOWN = 10  # lines of a refusal; Snakemake's messages are cut to their last ones


def adopted_settings(place: StudyPlace) -> dict[str, Mapping[str, Any]]:
    """Receipt → the settings that the study's YAML has for it, of each adopted cell's training and evaluation."""
    sections = read_yaml(Path(place.config)).values()
    if not any(isinstance(section, dict) and section.get("adopted") for section in sections):
        return {}
    return settings_of_study(load_study(Path(place.config), load_registry().names()))


def settings_of_study(study: Study) -> dict[str, Mapping[str, Any]]:
    """As `adopted_settings`, of a study that was read already."""
    found: dict[str, Mapping[str, Any]] = {}
    for cell in study.density.adopted:
        for phase in ("train_density", "evaluate_nll"):
            found[f"results/{study.study}/{phase}/{cell}/receipt.json"] = _settings(study, phase, cell)
    for cell in study.gan.adopted:
        found[f"results/{study.study}/train_gan/{cell}/receipt.json"] = _settings(study, "train_gan", cell)
    return found


def _settings(study: Study, phase: str, cell: str) -> Mapping[str, Any]:
    """What the study says of the job of a phase that makes a cell."""
    if phase == "train_gan":
        return study.gan.settings_of(cell).model_dump(mode="json")
    trained = study.density.settings_of(cell)
    settings = trained if phase == "train_density" else study.evaluate_nll.settings_of(trained.seeds)
    return settings.model_dump(mode="json")


def study_remedies(place: StudyPlace) -> Remedies:
    """The remedies for a study's files, without its graph: what lies beside an adopted cell's receipt, no job makes."""
    folders = {PurePosixPath(path).parent for path in adopted_settings(place)}
    return Remedies(place.make, lambda path: PurePosixPath(path).parent not in folders)


def refuse_other_settings(study: Study, where: str) -> None:
    """Refuse adopted cells that are not here, or that were made with other settings than the study's.

    For when Snakemake reads a study, which prints them under its effort. No bytes are hashed: the audit does that.

    Args:
        where: the study's YAML, for messages.

    Raises:
        ConfigError: a line for each cell that is not whole and each setting that differs.
    """
    absent, other = [], []
    for path, settings in settings_of_study(study).items():
        folder = PurePosixPath(path).parent.as_posix()
        try:
            receipt = read_receipt(Path(path))
        except RelatentError:
            state = "cannot be read" if Path(path).is_file() else "is not there"
            absent.append(f"{where}: adopted, but {path} {state}{_back(folder)}")
            continue
        gone = [record.path for record in receipt.outputs if not Path(record.path).is_file()]
        absent += [f"{where}: adopted, but {name} is not there{_back(folder)}" for name in gone]
        cell = folder.removeprefix(f"results/{study.study}/")
        for key, then, today in other_settings(receipt, settings):
            other.append(f"{where}: adopted {cell} was made with {key} = {then!r}, the study says {today!r}")
    lines = [*absent, *other]
    if not lines:
        return
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    remedy = "Or list such cells under `run:`, to make them here."
    if other:
        remedy = "Give the study the settings that its adopted cells were made with, or take them off `adopted:`."
    raise ConfigError("\n".join([*lines[:SHOWN], *more, remedy]))


def _back(folder: str) -> str:
    return f"; restore it with `git checkout -- {folder}`, or take the cell's tar in with `relatent adopt FILE.tar`"


def differing_settings(study: Study, receipts: Mapping[str, Receipt]) -> Iterator[str]:
    """Of cells that arrive, listed in the study or not: what they were made with that the study has otherwise.

    Args:
        receipts: by their paths; those of other phases than make adopted cells are passed over.
    """
    for path, receipt in receipts.items():
        phase, _, cell = path.removeprefix(f"results/{study.study}/").removesuffix("/receipt.json").partition("/")
        if phase != receipt.rule or phase not in ("train_density", "evaluate_nll", "train_gan"):
            continue
        try:
            settings = _settings(study, phase, cell)
        except ValueError:
            yield f"{phase}/{cell}: the study has no settings for such a cell"
            continue
        for key, then, today in other_settings(receipt, settings):
            yield f"{phase}/{cell}: made with {key} = {then!r}, the study says {today!r}"
