"""A card is a resource of the jobs that train on it, so that `--cores 8` does not start eight of them on one."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from relatent.config.study import Study, load_study, study_from

ROOT = Path(__file__).resolve().parents[2]
DATASETS = yaml.safe_load((ROOT / "data/registry.yaml").read_text())["datasets"]


def cards(study: Study) -> dict[str, int]:
    """What the rules' functions say of each cell that is trained."""
    density, gan = {"STUDY": study}, {"STUDY": study}
    exec((ROOT / "workflow/functions/train_density.smk").read_text(), density)
    exec((ROOT / "workflow/functions/train_gan.smk").read_text(), gan)
    found = {}
    for cell in study.density.cells():
        dataset, _, name = cell.partition("/")
        found[cell] = density["density_gpus"](SimpleNamespace(study=study.study, dataset=dataset, cell=name))
    return found | {cell: gan["gan_gpus"](SimpleNamespace(cell=cell)) for cell in study.gan.cells()}


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_cell_on_a_gpu_holds_one_card_and_a_cell_on_the_cpu_none(path):
    """By the device of its section; whatever the number of seeds, which train side by side on the same card."""
    study = load_study(path, DATASETS)
    for cell, held in cards(study).items():
        section = study.density if cell in study.density.cells() else study.gan
        assert held == (1 if section.device == "cuda" else 0)


def test_processes_hold_a_card_each():
    """Process i of a GAN takes card i; on a CPU the four hold none."""
    values = yaml.safe_load((ROOT / "config/dcgan.yaml").read_text())
    values["gan"]["per_cell"]["svhn/svhn32"]["processes"] = 4
    assert cards(study_from(values, "x.yaml", DATASETS))["svhn/svhn32"] == 4
    values["gan"]["device"] = "cpu"
    assert cards(study_from(values, "x.yaml", DATASETS))["svhn/svhn32"] == 0


def test_one_card_is_given_out_at_a_time_and_a_clusters_are_not_counted():
    """The limit stands in the default profile, which applies with the Slurm profile too: hence its scope."""
    assert yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())["resources"] == ["gpu=1"]
    assert re.search(r'^resource_scopes:\n    gpu="local"', (ROOT / "workflow/Snakefile").read_text(), re.MULTILINE)
    for rule in ("density", "gan"):
        assert f"gpu={rule}_gpus," in (ROOT / f"workflow/rules/train_{rule}.smk").read_text()
