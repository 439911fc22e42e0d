"""A wrong setting is one clear line naming the key and the file; nothing starts with it."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relatent.config.density import DensitySection
from relatent.config.evaluation_section import (
    AnnealingSection,
    EvaluationSection,
    RemovedSection,
    RepeatedSection,
    TrainMinusTestSection,
)
from relatent.config.study import load_study, study_from
from relatent.errors import ConfigError

ROOT = Path(__file__).parents[2]
DATASETS = yaml.safe_load((ROOT / "data/registry.yaml").read_text())["datasets"]


DENSITY = list(DensitySection.model_fields)
PARTS = {
    "annealing": AnnealingSection,
    "train_minus_test": TrainMinusTestSection,
    "repeated": RepeatedSection,
    "removed": RemovedSection,
}
EVALUATION = [key for key in EvaluationSection.model_fields if key not in PARTS]
EVALUATION += [f"{part}.{key}" for part, section in PARTS.items() for key in section.model_fields]


def demo() -> dict:
    return yaml.safe_load((ROOT / "config/demo.yaml").read_text())


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_that_ships_is_valid(path):
    """And bears the name of its file, so that `--configfile` and `results/` agree."""
    assert load_study(path, DATASETS).study == path.stem


def wrong(change) -> str:
    values = copy.deepcopy(demo())
    change(values)
    with pytest.raises(ConfigError) as caught:
        study_from(values, "config/demo.yaml", DATASETS)
    return str(caught.value)


MISTAKES = {
    "an unknown key": (lambda v: v.update(colour="red"), "colour", "unknown key"),
    "an unknown key deep down": (lambda v: v["density"].update(colour="red"), "density.colour", "unknown key"),
    "a wrong type": (lambda v: v.update(study=7), "study", "string"),
    "an unknown effort": (lambda v: v.update(effort="huge"), "effort", "'demo', 'short' or 'paper'"),
    "k of 0": (lambda v: v["density"]["run"].append("digits/iwae-L1-k0"), "density", "k"),
    "an unknown dataset": (lambda v: v["density"]["run"].append("digitz/iwae-L1-k5"), "digitz", "data/registry.yaml"),
    "a dataset not listed": (lambda v: v["density"]["run"].append("mnist/iwae-L1-k5"), "data.run", "mnist"),
    "a seed given twice": (lambda v: v["density"].update(seeds=[0, 1, 1]), "density: seeds", "twice"),
    "a cell given twice": (lambda v: v["density"]["run"].append(v["density"]["run"][0]), "density", "twice"),
    "a table given twice": (lambda v: v["tables"].append(v["tables"][0]), "tables", "twice"),
    "arithmetic of no cell": (
        lambda v: v.update(visual={"arithmetic": {"run": ["digits32/svhn32-w8"]}}),
        "visual.arithmetic.run",
        "digits32/svhn32-w8: neither in gan.run nor in gan.adopted",
    ),
    "arithmetic of a density model": (
        lambda v: v.update(visual={"arithmetic": {"run": ["digits/vae-L1-k1"]}}),
        "visual.arithmetic",
        "wants gan cells",
    ),
    "arithmetic without strokes": (
        lambda v: v.update(visual={"arithmetic": {"run": ["cifar10/svhn32-w16"]}}),
        "visual.arithmetic",
        "weight and slant of strokes, which images of cifar10 are not known to have",
    ),
    "features that see the label": (
        lambda v: v.update(visual={"guided": {"run": ["mnist/mnist_conditional-w16"]}}),
        "visual.guided",
        "sees the label in every layer",
    ),
    "features of no cell": (
        lambda v: v.update(visual={"guided": {"run": ["digits32/svhn32-w8"]}}),
        "visual.guided.run",
        "list it there first",
    ),
    "a figure of sums that are not tried": (
        lambda v: v.update(visual={"arithmetic": {"exemplars": [1, 2]}}),
        "visual.arithmetic",
        "pictured is 3, which is not among exemplars",
    ),
    "annealing of no cell": (
        lambda v: v["evaluate_nll"].update(annealing={"run": ["digits/vae-L1-k9"]}),
        "evaluate_nll.annealing.run",
        "digits/vae-L1-k9",
    ),
    "the gap of no cell": (
        lambda v: v["evaluate_nll"].update(train_minus_test={"run": ["digits/vae-L1-k9"]}),
        "evaluate_nll.train_minus_test.run",
        "digits/vae-L1-k9",
    ),
    "annealing of more images than are evaluated": (
        lambda v: v["evaluate_nll"].update(test_images=20, annealing={"run": ["digits/vae-L1-k1"]}),
        "evaluate_nll.annealing.images is 100",
        "evaluate_nll.test_images 20",
    ),
    "units removed on more images than are evaluated": (
        lambda v: v["evaluate_nll"].update(test_images=20, repeated={}, removed={"run": "all"}),
        "evaluate_nll.removed.images is 1000",
        "evaluate_nll.test_images 20",
    ),
    "an error that one sample does not claim": (
        lambda v: v["evaluate_nll"].update(k=1, repeated={"run": "all"}),
        "evaluate_nll.repeated",
        "evaluate_nll.k: 1",
    ),
    "the gap of no images": (
        lambda v: v["evaluate_nll"].update(train_images=2, train_minus_test={"run": "all"}),
        "evaluate_nll.train_minus_test",
        "evaluate_nll.train_images is 2; make it 3 or more",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_key_and_file(mistake):
    """The message is what the user has; it must lead to the line."""
    change, key, reason = MISTAKES[mistake]
    message = wrong(change)
    assert "config/demo.yaml" in message
    assert key in message
    assert reason in message
    assert "\n" not in message


def test_the_gap_of_an_adopted_cell_can_be_measured():
    """Its weights are in Git; annealing them is minutes where training them was hours."""
    values = demo()
    cell = values["density"]["run"].pop()
    values["density"]["adopted"] = [cell]
    values["evaluate_nll"]["annealing"] = {"run": [cell]}
    study = study_from(values, "config/demo.yaml", DATASETS)
    assert study.evaluate_nll.annealing_of(cell, study.density.settings_of(cell).seeds).model_seed == 0


def test_all_are_the_cells_run_and_those_adopted():
    values = demo()
    cell = values["density"]["run"].pop()
    values["density"]["adopted"] = [cell]
    values["evaluate_nll"]["train_minus_test"] = {"run": "all"}
    cells = study_from(values, "config/demo.yaml", DATASETS).measured_cells()["train_minus_test"]
    assert cells == [*values["density"]["run"], cell]


def test_a_key_given_twice_is_refused(tmp_path):
    """YAML would silently take the last one."""
    path = tmp_path / "demo.yaml"
    path.write_text((ROOT / "config/demo.yaml").read_text() + "\neffort: short\n")
    with pytest.raises(ConfigError, match="'effort' is given twice"):
        load_study(path, DATASETS)


@pytest.mark.workflow
def test_the_graph_refuses_a_wrong_study_before_it_is_built(tmp_path):
    """Exit 2 from the Snakefile, one line, no traceback."""
    values = demo()
    values["density"]["k_evaluation"] = 0
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", "-n", "--configfile", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "density.k_evaluation: unknown key" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("key", [f"density.{key}" for key in DENSITY] + [f"evaluate_nll.{key}" for key in EVALUATION])
def test_every_key_of_the_density_models_is_explained(key):
    """In the table of its section, or in that of its own part: config/README.md promises every key of a study."""
    section, _, name = key.partition(".")
    page = (ROOT / "config/README.md").read_text().partition(f"## `{section}`")[2].partition("\n## ")[0]
    part, dot, own = name.partition(".")
    rows = [row.split(" | ")[0] for row in page.splitlines() if row.startswith("| `")]
    assert any(f"`{name}`" in row or (dot and row.startswith(f"| `{part}.") and f"`.{own}`" in row) for row in rows)
