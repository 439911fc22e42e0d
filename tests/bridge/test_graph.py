"""The one place that reads Snakemake's output, held to what Snakemake 9 prints."""

import subprocess
from pathlib import Path

import pytest

from relatent.bridge.graph import StudyPlace, expand, parse_jobs, phase_names, phase_targets, rule_text, study_place
from relatent.errors import ConfigError, MissingDataError
from relatent.ledger.jobs import PlannedJob, is_receipt, phase_of

DRY_RUN = """\
Building DAG of jobs...
Job stats:
job      count
-----  -------
train        1

[Mon Nov 23 20:32:01 2026]
rule train_density:
    input: data/prepared/digits/train_images.npy, data/prepared/digits/receipt.json
    output: results/demo/train_density/digits/vae/model.safetensors, results/demo/train_density/digits/vae/receipt.json
    log: logs/demo/train_density/digits/vae.log
    jobid: 2
    benchmark: logs/demo/train_density/digits/vae.tsv
    reason: Missing output files: results/demo/train_density/digits/vae/model.safetensors
    wildcards: study=demo
    resources: tmpdir=/tmp, mem_mb=100
Shell command: python -m relatent.cli.train_density --cell d/vae --settings '{"k": 1, "a": "b c"}' > logs/x.log 2>&1

[Mon Nov 23 20:32:01 2026]
localrule all:
    input: results/demo/train_density/digits/vae/model.safetensors
    jobid: 0
    reason: Forced execution
    resources: tmpdir=/tmp
Shell command: None
Job stats:
job      count
"""


def planned(outputs: str, *inputs: str, rule: str = "r", command: str = "") -> PlannedJob:
    return PlannedJob(rule, tuple(inputs), tuple(outputs.split()), command)


def test_a_dry_run_is_read_whole():
    """Rule, files, command and reason of every job; a phony rule has no output and no command."""
    job, target = parse_jobs(DRY_RUN.splitlines())
    assert (job.rule, job.phase, job.module) == ("train_density", "train_density", "relatent.cli.train_density")
    assert job.inputs == ("data/prepared/digits/train_images.npy", "data/prepared/digits/receipt.json")
    assert job.receipt == "results/demo/train_density/digits/vae/receipt.json"
    assert job.settings() == {"k": 1, "a": "b c"}
    assert job.option("--cell") == "d/vae"
    assert job.reason.startswith("Missing output files")
    assert job.benchmark == ("logs/demo/train_density/digits/vae.tsv",)
    assert (target.rule, target.outputs, target.command) == ("all", (), "")


def test_where_a_command_logs_to_is_no_part_of_its_work():
    """Else a renamed log would empty a stage."""
    job = planned("x", command="python -m a --b c > logs/x.log 2>&1")
    assert job.work() == "python -m a --b c"
    assert planned("x", command="cp a b 2>> logs/y.log").work() == "cp a b"
    assert planned("x", command="cp a b").work() == "cp a b"


@pytest.mark.parametrize(
    ("path", "phase"),
    [
        ("results/demo/evaluate_nll/exact/mixture/metrics.json", "evaluate_nll"),
        ("results/demo/tables/dedup.csv", "tables"),
        ("results/demo/report.html", None),
        ("results/demo/code/digests.json", "code"),
        ("data/raw/mnist/receipt.json", "fetch"),
        ("data/prepared/mnist/manifest.json", "prepare"),
        ("data/registry.yaml", None),
        ("logs/demo/x.log", None),
    ],
)
def test_a_phase_owns_one_folder(path, phase):
    """So no two stages of DVC can share an output."""
    assert phase_of(path) == phase


def test_receipts_are_known_by_name():
    """A table's receipt stands beside the table, a cell's in its folder."""
    assert is_receipt("results/demo/tables/dedup.receipt.json")
    assert is_receipt("receipt.json")
    assert not is_receipt("results/demo/my_receipt.json")


def test_phases_come_in_the_order_of_the_data():
    """A reader of dvc.yaml meets each stage after those it needs."""
    jobs = [
        planned("results/d/tables/t.csv", "results/d/evaluate_nll/x/m.json", "results/d/probe/x/m.json"),
        planned("results/d/probe/x/m.json", "data/prepared/x/a.npy"),
        planned("results/d/evaluate_nll/x/m.json", "results/d/train_density/x/m.npz"),
        planned("results/d/train_density/x/m.npz", "data/prepared/x/a.npy"),
        planned("data/prepared/x/a.npy", "data/raw/x/a.gz"),
        planned("data/raw/x/a.gz"),
    ]
    assert phase_names(jobs) == ["fetch", "prepare", "probe", "train_density", "evaluate_nll", "tables"]
    with pytest.raises(ConfigError, match="the phases a, b need each other's files"):
        phase_names([planned("results/d/a/x", "results/d/b/x"), planned("results/d/b/x", "results/d/a/x")])


def test_the_file_of_a_rule_is_found_also_when_it_is_named_at_run_time():
    """One rule per dataset is made in a loop; its text counts for the stage like any other."""
    assert "rule train_density:" in rule_text("train_density")
    assert "fetch_{DATASET}" in rule_text("fetch_digits")
    assert rule_text("no_such_rule") == ""
    assert {"phase_fetch", "phase_tables", "phase_train_density"} <= set(phase_targets())
    assert Path("workflow/Snakefile").is_file(), "these tests run in the root of the repository"


def test_a_study_is_found_by_its_name_and_by_its_yaml(tmp_path, monkeypatch):
    """What is neither is named as it was typed, with the studies there are."""
    monkeypatch.chdir(tmp_path)
    for place in ("workflow/Snakefile", "config/demo.yaml", "config/README.md"):
        Path(place).parent.mkdir(exist_ok=True)
        Path(place).write_text("study: demo\n")
    assert study_place("demo") == study_place("config/demo.yaml") == StudyPlace("demo")
    for name, said in (
        ("nope", "config/nope.yaml"),
        ("config/nope.yaml", "config/nope.yaml"),
        ("README.md", "README.md"),
        ("../config/demo", "../config/demo"),
    ):
        with pytest.raises(MissingDataError) as refused:
            study_place(name)
        assert str(refused.value) == f"{said}: no such study; config/ has demo"


def test_a_wrong_setting_is_passed_on_in_the_words_of_the_snakefile(monkeypatch):
    """One line per wrong key, as `snakemake` itself ends; what Snakemake says of its profile is no part of it."""
    said = "Using workflow specific profile profiles/default.\nconfig/demo.yaml: k: 0\nconfig/demo.yaml: colour: red\n"
    refused = subprocess.CompletedProcess([], 2, stdout="", stderr=said)
    monkeypatch.setattr("relatent.bridge.graph.run_program", lambda *_, **__: refused)
    with pytest.raises(ConfigError) as caught:
        expand(StudyPlace("demo"))
    assert str(caught.value) == "config/demo.yaml: k: 0\nconfig/demo.yaml: colour: red"


UNREADABLE = {
    "no YAML": ("study: v2\ntables: [\neffort: demo\n", r"config/v2\.yaml: not readable as YAML: .* line 2"),
    "a tab": ("study: v2\ngan:\n\trun: []\n", r"config/v2\.yaml: not readable as YAML: .* line 3"),
    "a key given twice": ("study: v2\neffort: demo\neffort: short\n", r"key 'effort' is given twice .* line 3"),
    "a key that is a list": (
        "study: v2\n[a]: 1\n",
        r"config/v2\.yaml: .* a key is a list or a mapping; write a word .* line 2",
    ),
    "another study's name": ("study: other\n", r"config/v2\.yaml: study: 'other' is not the name of the file, 'v2'"),
}


@pytest.mark.parametrize("mistake", UNREADABLE)
@pytest.mark.parametrize("start", [study_place, lambda name: expand(StudyPlace(name))], ids=["place", "graph"])
def test_a_broken_yaml_is_named_with_its_line_before_snakemake_starts(mistake, start, tmp_path, monkeypatch):
    """Snakemake says 'Config file is not valid JSON or YAML', of no file and no line; here it is not there to start."""
    text, message = UNREADABLE[mistake]
    for folder in ("workflow", "config"):
        (tmp_path / folder).mkdir()
    (tmp_path / "workflow/Snakefile").touch()
    (tmp_path / "config/v2.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("relatent.bridge.graph.run_program", lambda *_, **__: pytest.fail("snakemake was started"))
    with pytest.raises(ConfigError, match=message):
        start("v2")
