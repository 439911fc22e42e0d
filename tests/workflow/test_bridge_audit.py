"""What a person asks of a finished study: does it hold, where is this number from, why would it be made again."""

import re

import pytest
from toy_repo import TABLE

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

HISTORY = "results/demo/train_density/digits/vae/history.csv"
METRICS = "results/demo/evaluate_nll/digits/vae/metrics.json"
RAW = "data/raw/digits/numbers.npy"


def test_a_sound_study_holds_up_to_training_again(adopted):
    """From a clone: every level, the last with an empty scratch, so that nothing is taken from finished work."""
    said = adopted.relatent("audit", "demo", "--level", "L4").stdout
    assert "demo: holds at L0, L1, L2, L3, L4" in said
    assert "1 of 2 jobs were made again, chosen by the commit's hash" in said
    assert adopted.git_changes() == []


def test_every_forgery_is_noticed(made):
    """The auditor tries its own detector on a copy; the copy is gone after it and the study untouched."""
    said = made.relatent("audit", "demo", "--self-test").stdout
    assert "demo: every forgery noticed" in said
    assert "a table edited, its receipt and dvc.lock refreshed: noticed at L2" in said
    assert made.git_changes() == []


def test_an_audit_without_the_weights_says_to_pull(made, tmp_path):
    """A bare clone has tables and receipts but nothing that DVC keeps."""
    failed = made.clone(tmp_path / "clone").relatent("audit", "demo", check=False)
    assert failed.returncode == 1
    assert "Make them with `snakemake --cores all`, or `dvc pull` them, and audit again" in failed.stdout
    assert "demo: NOT PROVEN at L0, L1" in failed.stdout


def test_why_goes_from_a_cell_to_the_raw_file(made):
    """Cell, metric, evaluation, weights, prepared data, raw file, in this order."""
    said = made.relatent("why", "demo", "toy", "k=1", "VAE nll").stdout
    marks = [
        TABLE,
        f"metric nll_nats of {METRICS}",
        "made         results/demo/train_density",
        "made         data/prep",
        RAW,
    ]
    places = [said.index(mark) for mark in marks]
    assert places[:2] == sorted(places[:2])
    assert places[3:] == sorted(places[3:])
    for fact in ("settings     scale=1, seed=0", "seeds        0", "code ", "environment  ", "torch 2", "as recorded"):
        assert fact in said
    assert re.search(r"paper +84\.50 nats", said)


def test_why_refuses_a_number_whose_files_were_changed(made, tmp_path):
    """The chain is hashed while it is printed."""
    toy = made.copy(tmp_path / "toy")
    toy.edit(HISTORY, "-2.0", "-1.0")
    refused = toy.relatent("why", "demo", "toy", "k=1", "vae NLL", check=False)
    assert refused.returncode == 1
    assert f"{HISTORY}: not as the receipt says" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("toy", "k=2", "vae NLL"), "no row 'k=2'; the table has 'k=1'", 2),
        (("toy", "k=1", "NLL"), "no column 'NLL' in row 'k=1'; it has 'vae NLL', 'iwae NLL'", 2),
        (("tyo", "k=1", "NLL"), "results/demo/tables/tyo.csv: no such table; demo has toy", 3),
    ],
)
def test_why_names_what_there_is(made, arguments, said, code):
    """One line and the exit code of wrong usage."""
    refused = made.relatent("why", "demo", *arguments, check=False)
    assert refused.stderr.strip() == said
    assert refused.returncode == code


def test_explain_names_what_changed(made, tmp_path):
    """A setting, a module's logic, a missing file; and that a file is as it should be."""
    toy = made.copy(tmp_path / "toy")
    weights = "results/demo/train_density/digits/iwae/model.npy"
    assert f"{METRICS}: up to date" in toy.relatent("explain", METRICS).stdout
    toy.edit("src/relatent/cli/toy_score.py", "weights.mean()", "3 * weights.mean()")
    toy.edit("src/relatent/cli/toy_train.py", "Toy: long work", "Long work")
    toy.edit("config/demo.yaml", "scale: 2.0", "scale: 3.0")
    said = toy.relatent("explain", METRICS, weights).stdout
    assert "- the logic of relatent.cli.toy_score has changed since its receipt was committed" in said
    assert "- the setting scale is 3.0; it was made with 2.0" in said
    assert "toy_train has changed" not in said
    refused = toy.relatent("explain", "config/demo.yaml", check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("config/demo.yaml: no job of demo makes it")
