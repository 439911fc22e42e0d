"""Adopted cells beside what their study says of them."""

import shutil
from pathlib import Path

import pytest
import yaml

from relatent.bridge.adopted import adopted_settings, differing_settings, refuse_other_settings, study_remedies
from relatent.bridge.graph import StudyPlace
from relatent.config.registry import load_registry
from relatent.config.study import Study, load_study
from relatent.errors import ConfigError
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


def with_density(**changed) -> Study:
    """The study iwae_short with other values in its section `density`."""
    study = load_study(Path("config/iwae_short.yaml"), load_registry().names())
    return study.model_copy(update={"density": study.density.model_copy(update=changed)})


@pytest.mark.parametrize("study", STUDIES)
def test_no_study_that_ships_is_refused_for_its_adopted_cells(study, monkeypatch):
    """All their files are in Git."""
    monkeypatch.chdir(ROOT)
    refuse_other_settings(load_study(Path(f"config/{study}.yaml"), load_registry().names()), study)


def test_a_study_of_other_settings_than_its_adopted_cells_is_refused(monkeypatch):
    """With cell, key, both values and the remedy, before Snakemake plans anything."""
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as refused:
        refuse_other_settings(with_density(stages=4), "s.yaml")
    first, *_, more, remedy = str(refused.value).splitlines()
    assert first == "s.yaml: adopted train_density/mnist/vae-L1-k1 was made with stages = 5, the study says 4"
    assert more.startswith("… and ")
    assert remedy.startswith("Give the study the settings that its adopted cells were made with, or take them off")


def test_an_adopted_cell_that_is_not_here_is_named(monkeypatch, tmp_path):
    """Its receipt, or a file that its receipt names; with Git and its tar as remedies."""
    monkeypatch.chdir(ROOT)
    cell = "mnist/vae-L1-k1"
    study = with_density(adopted=[cell])
    for phase in ("train_density", "evaluate_nll"):
        folder = f"results/iwae_short/{phase}/{cell}"
        shutil.copytree(folder, tmp_path / folder, ignore=shutil.ignore_patterns("repeated", "train_minus_test"))
    monkeypatch.chdir(tmp_path)
    refuse_other_settings(study, "s.yaml")
    trained, evaluated = (Path(f"results/iwae_short/{phase}/{cell}") for phase in ("train_density", "evaluate_nll"))
    (trained / "model.safetensors").unlink()
    (evaluated / "receipt.json").unlink()
    with pytest.raises(ConfigError) as refused:
        refuse_other_settings(study, "s.yaml")
    first, second, remedy = str(refused.value).splitlines()
    assert first.startswith(f"s.yaml: adopted, but {trained}/model.safetensors is not there; restore it with `git chec")
    assert second.startswith(f"s.yaml: adopted, but {evaluated}/receipt.json is not there")
    assert "`relatent adopt FILE.tar`" in second and "under `run:`" in remedy
    (evaluated / "receipt.json").write_text("{")
    with pytest.raises(ConfigError, match=r"receipt\.json cannot be read"):
        refuse_other_settings(study, "s.yaml")


def test_cells_that_arrive_are_held_against_the_study_listed_or_not(monkeypatch):
    """At adoption, not only once an audit looks; a cell under `run:` too."""
    monkeypatch.chdir(ROOT)
    path = "results/iwae_short/train_density/mnist/vae-L1-k1/receipt.json"
    arrived = {path: read_receipt(Path(path))}
    assert list(differing_settings(with_density(adopted=[]), arrived)) == []
    assert list(differing_settings(with_density(adopted=[], stages=4), arrived)) == [
        "train_density/mnist/vae-L1-k1: made with stages = 5, the study says 4"
    ]


def test_only_what_a_job_makes_is_to_be_removed(monkeypatch):
    """Beside an adopted cell's receipt nothing is made; in a folder below, jobs measure the cell further."""
    monkeypatch.chdir(ROOT)
    remedies = study_remedies(StudyPlace("iwae_short"))
    cell = "results/iwae_short/evaluate_nll/mnist/vae-L1-k1"
    assert "git checkout" in remedies.changed(f"{cell}/metrics.json")
    below = f"{cell}/repeated/metrics.json"
    assert remedies.changed(below).endswith(f"--configfile config/iwae_short.yaml -- {below}`.")


def test_a_study_without_adopted_cells_has_nothing_to_say(tmp_path, monkeypatch):
    """Then nothing else is read, not even the registry of datasets."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/s.yaml").write_text("study: s\ndensity: {run: [], adopted: []}\n")
    assert adopted_settings(StudyPlace("s")) == {}
