"""Adopted cells beside what their study says of them."""

from pathlib import Path

import pytest
import yaml

from relatent.bridge.adopted import adopted_settings
from relatent.bridge.graph import StudyPlace
from relatent.ledger.receipts import read_receipt
from relatent.ledger.verify import settings_findings

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.stem for path in (ROOT / "config").glob("*.yaml"))


@pytest.mark.parametrize("study", STUDIES)
def test_every_adopted_cell_that_ships_has_the_settings_of_its_study(study, monkeypatch):
    """Switched cells and two-dimensional ones too; the receipts are in Git."""
    monkeypatch.chdir(ROOT)
    for path, settings in adopted_settings(StudyPlace(study)).items():
        assert settings_findings(read_receipt(Path(path)), path, settings) == []


def test_cells_of_fewer_stages_than_their_study_says_are_found(tmp_path, monkeypatch):
    """The same receipts under another number of stages; every trained density cell is named, no evaluation."""
    monkeypatch.chdir(ROOT)
    values = yaml.safe_load(Path("config/iwae_short.yaml").read_text())
    values["density"]["stages"] = 6
    (tmp_path / "config").mkdir()
    (tmp_path / "config/iwae_short.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr(StudyPlace, "config", (tmp_path / "config/iwae_short.yaml").as_posix())
    said = adopted_settings(StudyPlace("iwae_short"))
    wrong = [path for path in said if settings_findings(read_receipt(Path(path)), path, said[path])]
    assert wrong == [f"results/iwae_short/train_density/{cell}/receipt.json" for cell in values["density"]["adopted"]]


def test_a_study_without_adopted_cells_has_nothing_to_say(tmp_path, monkeypatch):
    """Then nothing else is read, not even the registry of datasets."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/s.yaml").write_text("study: s\ndensity: {run: [], adopted: []}\n")
    assert adopted_settings(StudyPlace("s")) == {}
