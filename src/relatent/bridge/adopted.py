"""What a study says of its adopted cells. No job makes them, so the graph does not hold it against their receipts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relatent.bridge.graph import StudyPlace
from relatent.config.base import Settings
from relatent.config.registry import load_registry
from relatent.config.study import load_study
from relatent.config.yaml_files import read_yaml


def adopted_settings(place: StudyPlace) -> dict[str, Mapping[str, Any]]:
    """Receipt → the settings that the study's YAML has for it, of each adopted cell's training and evaluation."""
    sections = read_yaml(Path(place.config)).values()
    if not any(isinstance(section, dict) and section.get("adopted") for section in sections):
        return {}
    study = load_study(Path(place.config), load_registry().names())
    found: dict[str, Settings] = {}
    for cell in study.density.adopted:
        found[f"train_density/{cell}"] = trained = study.density.settings_of(cell)
        found[f"evaluate_nll/{cell}"] = study.evaluate_nll.settings_of(trained.seeds)
    for cell in study.gan.adopted:
        found[f"train_gan/{cell}"] = study.gan.settings_of(cell)
    root = f"results/{study.study}"
    return {f"{root}/{name}/receipt.json": settings.model_dump(mode="json") for name, settings in found.items()}
