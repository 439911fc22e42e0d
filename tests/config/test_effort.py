"""Effort `paper` is not taken on trust: what is less than the papers' is refused before anything starts."""

import copy
from pathlib import Path

import pytest
import yaml

from relatent.config.study import study_from
from relatent.errors import ConfigError

ROOT = Path(__file__).parents[2]
DATASETS = yaml.safe_load((ROOT / "data/registry.yaml").read_text())["datasets"]
PAPERS = {name: yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("iwae", "dcgan")}


def changed(name: str, change) -> dict:
    values = copy.deepcopy(PAPERS[name])
    change(values)
    return values


def refusal(values: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        study_from(values, "x.yaml", DATASETS)
    return str(caught.value)


def density_adopted(values: dict) -> None:
    values["density"].update(adopted=values["density"]["run"], run=[], stages=5)


def gan_renamed(cell: str, to: str):
    """Change a cell of the GAN study wherever it is named."""

    def change(values: dict) -> None:
        gan, sample, visual = values["gan"], values["sample"], values["visual"]
        listed = [experiment["run"] for experiment in visual.values()]
        for cells in (gan["run"], sample["run"], sample["nearest_neighbour"], *listed):
            cells[:] = [to if name == cell else name for name in cells]
        gan["per_cell"][to] = gan["per_cell"].pop(cell)

    return change


LESS = {
    "stages": (
        "iwae",
        lambda v: v["density"].update(stages=5),
        "density.stages is 5: effort `paper` means the paper's 8",
    ),
    "adopted": ("iwae", density_adopted, "density.stages is 5"),
    "epochs": ("iwae", lambda v: v["density"].update(stages=None, epochs=3000), "density.epochs is 3000"),
    "batch": ("iwae", lambda v: v["density"].update(batch_size=100), "density.batch_size is 100"),
    "k": ("iwae", lambda v: v["evaluate_nll"].update(k=5), "evaluate_nll.k is 5"),
    "test images": (
        "iwae",
        lambda v: v["evaluate_nll"].update(test_images=500),
        "evaluate_nll.test_images is 500: effort `paper` means the paper's null",
    ),
    "precision": (
        "iwae",
        lambda v: v["evaluate_nll"].update(precision="bfloat16"),
        "evaluate_nll.precision is bfloat16",
    ),
    "images of activity": (
        "iwae",
        lambda v: v["evaluate_nll"].update(activity_images=499),
        "evaluate_nll.activity_images is 499: effort `paper` means the paper's null (Burda et al. 2016, sec. 5.2); "
        "write null, or 500 or more",
    ),
    "images without inactive units": (
        "iwae",
        lambda v: v["evaluate_nll"].update(removed={"run": "all", "images": 5}),
        "evaluate_nll.removed.images is 5: effort `paper` means the paper's null",
    ),
    "training images": (
        "iwae",
        lambda v: v["evaluate_nll"].update(train_images=5),
        "evaluate_nll.train_images is 5: effort `paper` means the paper's null (Burda et al. 2016, sec. 5); "
        "write null, or 0 to leave it out, or `train_minus_test: {run: all}`",
    ),
    "training images taken to all for some cells only": (
        "iwae",
        lambda v: v["evaluate_nll"].update(train_images=1000, train_minus_test={"run": v["density"]["run"][1:]}),
        "evaluate_nll.train_images is 1000",
    ),
    "passes of a cell": (
        "dcgan",
        lambda v: v["gan"]["per_cell"]["svhn/svhn32"].update(epochs=20),
        "gan.per_cell.svhn/svhn32.epochs is 20: effort `paper` means the paper's 200",
    ),
    "passes of all cells": (
        "dcgan",
        lambda v: (v["gan"].update(epochs=3), v["gan"]["per_cell"]["lsun_bedroom/lsun64"].pop("epochs")),
        "gan.epochs of lsun_bedroom/lsun64 is 3: effort `paper` means the paper's 5",
    ),
    "decay": (
        "dcgan",
        lambda v: v["gan"]["per_cell"]["mnist/mnist_conditional-code"].pop("decay_epochs"),
        "gan.decay_epochs of mnist/mnist_conditional-code is 0",
    ),
    "gan batch": (
        "dcgan",
        lambda v: v["gan"]["per_cell"]["lsun_bedroom/lsun64"].update(batch_size=32),
        "gan.per_cell.lsun_bedroom/lsun64.batch_size is 32",
    ),
    "rate": (
        "dcgan",
        lambda v: v["gan"]["per_cell"]["lsun_bedroom/lsun64"].update(learning_rate=0.001),
        "lsun64.learning_rate is 0.001: effort `paper` means the paper's 0.0002",
    ),
    "width": ("dcgan", gan_renamed("svhn/svhn32", "svhn/svhn32-w16"), "leave `-w16` away"),
    "bf16": ("dcgan", gan_renamed("svhn/svhn32", "svhn/svhn32-bf16"), "leave `-bf16` away"),
    "held out": (
        "dcgan",
        lambda v: v["gan"]["per_cell"]["svhn/svhn32"].update(validation=60_000),
        "svhn32.validation is 60000",
    ),
    "labels": (
        "dcgan",
        lambda v: v["probe"]["targets"]["cifar10"]["few"].update(labels_per_class=10),
        "probe.targets.cifar10.few.labels_per_class is 10: effort `paper` means the paper's 400",
    ),
}


@pytest.mark.parametrize("name", LESS)
def test_less_than_the_papers_effort_is_refused(name):
    """One line: the key, its value, the paper's, where the paper says so, and the way out."""
    study, change, said = LESS[name]
    message = refusal(changed(study, change))
    assert message.startswith("x.yaml: ")
    assert said in message
    assert message.endswith("or `effort: short`")
    assert "\n" not in message


def test_the_same_study_is_taken_under_the_effort_it_is_of():
    """`short` claims nothing."""
    for study, change, _ in LESS.values():
        assert study_from(changed(study, change) | {"effort": "short"}, "x.yaml", DATASETS).effort == "short"


def test_each_wrong_key_has_a_line_of_its_own():
    """All are told at once."""
    values = changed("iwae", lambda v: (v["density"].update(stages=1), v["evaluate_nll"].update(k=5, test_images=500)))
    keys = [line.removeprefix("x.yaml: ").partition(" is ")[0] for line in refusal(values).splitlines()]
    assert keys == ["density.stages", "evaluate_nll.k", "evaluate_nll.test_images"]


ENOUGH = {
    "the released code's images": {"activity_images": 500},
    "nothing removed": {"removed": {}},
    "no training images": {"train_images": 0},
    "some training images, taken to all": {"train_images": 1000, "train_minus_test": {"run": "all"}},
    "the same, cell by cell": {"train_images": 1000, "train_minus_test": {"run": PAPERS["iwae"]["density"]["run"]}},
}


@pytest.mark.parametrize("name", ENOUGH)
def test_what_is_not_less_is_taken(name):
    """As many images as one of the two sources, or none: what is not measured cannot be mistaken for the paper's."""
    values = changed("iwae", lambda v: v["evaluate_nll"].update(ENOUGH[name]))
    assert study_from(values, "x.yaml", DATASETS).effort == "paper"
