"""The audit's levels on made-up files: what each sees by itself."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from relatent.audit.levels import integrity, inventory, md5_of
from relatent.audit.remake import metrics_off, remade
from relatent.audit.verdict import NOT_MADE, Level, detection_power, verdict_lines
from relatent.cli import audit
from relatent.ledger.code import code_digest
from relatent.ledger.environment import keep_environment
from relatent.ledger.jobs import PlannedJob
from relatent.ledger.receipts import FileRecord, Receipt, read_receipt, write_receipt
from relatent.ledger.verify import Finding

MODULE = "relatent.data.streams"
FOLDER = "results/s/tables"
COMMAND = f"cp data/reference/t.csv {FOLDER}/t.csv && cp kept/t.receipt.json {FOLDER}/ # -m {MODULE}"
TABLE = PlannedJob(
    "tables", ("data/reference/t.csv",), (f"{FOLDER}/t.csv", f"{FOLDER}/t.receipt.json"), COMMAND, ("logs/s/t.log",)
)
DVC_FILES = ["data/dvc.yaml", "results/s/dvc.yaml"]


@pytest.fixture(autouse=True)
def study(tmp_path, monkeypatch):
    """One table, made from a reference file by copying it."""
    monkeypatch.chdir(tmp_path)
    for folder in (FOLDER, "data/reference", "kept"):
        Path(folder).mkdir(parents=True)
    for path in ("data/reference/t.csv", f"{FOLDER}/t.csv"):
        Path(path).write_text("row,column\n1,2\n")
    receipt = Path(f"{FOLDER}/t.receipt.json")
    records = [[FileRecord.of(Path(path))] for path in ("data/reference/t.csv", f"{FOLDER}/t.csv")]
    write_receipt(receipt, Receipt("tables", MODULE, "t", {}, code_digest(MODULE), keep_environment(receipt), *records))
    Path("kept/t.receipt.json").write_bytes(receipt.read_bytes())


def lock(**changed: str) -> None:
    outs = [{"path": path, "md5": changed.get(Path(path).name[0], md5_of(Path(path)))} for path in TABLE.outputs]
    Path("results/s/dvc.lock").write_text(yaml.safe_dump({"stages": {"tables": {"outs": outs}}}))
    Path("data/dvc.lock").write_text(yaml.safe_dump({"stages": {}}))


def found(level: Level) -> list[str]:
    return [f"{finding.path}: {finding.message.partition('. ')[0]}" for finding in level.findings]


def test_a_sound_study_passes_every_level():
    """With a note where DVC has no lock."""
    assert inventory("s", [TABLE], DVC_FILES).passed
    level = integrity("s", [TABLE], DVC_FILES)
    assert level.passed
    assert "results/s/dvc.lock is not there" in level.notes[1]
    again = remade("L2", [TABLE], Path.cwd())
    assert again.findings == []
    assert again.checked == "2 files of 1 jobs"
    lock()
    assert integrity("s", [TABLE], DVC_FILES).passed


def test_a_missing_file_and_a_stray_are_in_the_inventory():
    """A cell that left the study leaves files behind, which a reader would take for results."""
    Path(f"{FOLDER}/old.csv").touch()
    Path(f"{FOLDER}/t.csv").unlink()
    assert found(inventory("s", [TABLE], DVC_FILES)) == [
        f"{FOLDER}/t.csv: not kept in Git and not made here yet",
        f"{FOLDER}/old.csv: in no job's outputs: of a cell that has left the study, or put there by hand",
    ]


def test_in_a_fresh_clone_what_git_does_not_keep_is_only_not_made_yet():
    """Nothing is wrong then, and nothing proven: one finding, the command that makes the files, and exit 1."""
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", f"{FOLDER}/t.receipt.json", "data/reference/t.csv"], check=True)
    for name in ("t.csv", "t.npz"):
        Path(f"{FOLDER}/{name}").unlink(missing_ok=True)
    job = replace(TABLE, outputs=(*TABLE.outputs, f"{FOLDER}/t.npz"))
    level = inventory("s", [job], DVC_FILES, "snakemake --configfile config/s.yaml")
    assert [str(finding) for finding in level.findings] == [
        f"{FOLDER}/t.csv: not kept in Git and not made here yet, the first of 2 such files. Make them with `snakemake "
        "--configfile config/s.yaml` and audit again."
    ]
    levels = [level, integrity("s", [TABLE], DVC_FILES)]
    assert all(level.incomplete and not level.passed for level in levels)
    *_, verdict = verdict_lines("s", levels)
    assert verdict.startswith("s: NOT PROVEN at L0, L1: nothing here is wrong")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("['remote \"folder\"']\n    url = ../remote\n")
    assert "`, or `dvc pull` them, and audit again" in inventory("s", [TABLE], DVC_FILES).findings[0].message


def test_a_file_that_git_keeps_is_missed_by_name():
    """It was removed; then the study does not hold, whatever else was never made."""
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", f"{FOLDER}/t.csv"], check=True)
    Path(f"{FOLDER}/t.csv").unlink()
    level = inventory("s", [TABLE], DVC_FILES)
    assert f"Restore it with `git checkout -- {FOLDER}/t.csv`" in level.findings[0].message
    assert list(verdict_lines("s", [level]))[-1] == "s: does NOT hold at L0"


def test_a_job_whose_inputs_were_never_made_is_not_run_again():
    """It could only fail, and look as if its table were wrong."""
    Path("data/reference/t.csv").unlink()
    level = remade("L2", [TABLE], Path.cwd())
    assert level.incomplete
    assert "1 of 1 jobs cannot be made again" in level.findings[0].message


def test_an_adopted_cells_files_are_no_strays():
    """A job reads only some of them; its receipt names them all."""
    folder = Path("results/s/train/x/old")
    folder.mkdir(parents=True)
    for name in ("m.npy", "history.csv"):
        (folder / name).write_text(name)
    outputs = [FileRecord.of(folder / name) for name in ("m.npy", "history.csv")]
    write_receipt(folder / "receipt.json", Receipt("train", "gone", "x/old", {}, "c", "e", (), outputs))
    reader = PlannedJob("evaluate", (f"{folder}/m.npy", f"{folder}/receipt.json"), ())
    assert inventory("s", [TABLE, reader], DVC_FILES).passed
    assert "adopted, made earlier or elsewhere" in integrity("s", [TABLE, reader], DVC_FILES).notes[-1]


def test_what_an_adopted_cell_was_made_from_is_audited_too():
    """No job reads the weights of an adopted cell, only its evaluation; they are in Git all the same."""
    weights, evaluated = (Path(f"results/s/{phase}/x/old") for phase in ("train", "evaluate"))
    for folder, name in ((weights, "m.npy"), (evaluated, "metrics.json")):
        folder.mkdir(parents=True)
        (folder / name).write_text(name)
    inputs, outputs = [FileRecord.of(weights / "m.npy")], [FileRecord.of(evaluated / "metrics.json")]
    write_receipt(weights / "receipt.json", Receipt("train", "gone", "x/old", {}, "c", "e", (), inputs))
    write_receipt(evaluated / "receipt.json", Receipt("evaluate", "gone", "x/old", {}, "c", "e", inputs, outputs))
    reader = PlannedJob("table", (f"{evaluated}/metrics.json", f"{evaluated}/receipt.json"), ())
    assert inventory("s", [TABLE, reader], DVC_FILES).passed
    (weights / "m.npy").write_text("forged")
    assert f"{weights}/m.npy" in "".join(found(integrity("s", [TABLE, reader], DVC_FILES)))
    (evaluated / "metrics.json").unlink()
    for level in (inventory("s", [TABLE, reader], DVC_FILES), integrity("s", [TABLE, reader], DVC_FILES)):
        (message,) = [finding.message for finding in level.findings if finding.path == f"{evaluated}/metrics.json"]
        assert message.startswith("not there. No job makes it"), "`snakemake` would not bring it back"
        assert not level.incomplete


def test_a_lock_of_other_bytes_or_fewer_files_is_found():
    """Then `dvc pull` would bring something else than what is here."""
    lock(t="0" * 32)
    assert "results/s/dvc.lock records" in found(integrity("s", [TABLE], DVC_FILES))[0]
    Path("results/s/dvc.lock").write_text("stages: {}")
    assert "and 1 other files are in no dvc.lock" in found(integrity("s", [TABLE], DVC_FILES))[0]
    Path("results/s/dvc.lock").write_text("stages: [")
    assert "not readable" in found(integrity("s", [TABLE], DVC_FILES))[0]


def test_a_table_that_its_command_does_not_make_is_found():
    """All hashes agree; only making it again can tell."""
    Path("data/reference/t.csv").write_text("row,column\n1,3\n")
    level = remade("L2", [TABLE], Path.cwd(), make="snakemake --configfile c")
    assert f"{FOLDER}/t.csv: made again from the same inputs it is different" in found(level)
    assert f"run `snakemake --configfile c -- {FOLDER}/t.csv`" in level.findings[0].message
    assert Path(f"{FOLDER}/t.csv").read_text() == "row,column\n1,2\n", "the audit changes nothing"


def test_a_command_that_fails_is_a_finding_with_its_last_words():
    """Not a traceback of the audit."""
    job = PlannedJob("tables", (), TABLE.outputs, "echo no such thing >&2; exit 3")
    assert "could not be made again (exit 3): no such thing" in remade("L2", [job], Path.cwd()).findings[0].message


def test_the_commit_decides_which_jobs_are_made_again():
    """The author of a number cannot choose; another commit chooses others."""
    jobs = [PlannedJob("evaluate_nll", (), (f"results/s/evaluate_nll/x/{i}/m.json",), "true") for i in range(20)]
    chosen = {seed: remade("L3", jobs, Path.cwd(), sample=2, seed=seed).notes[1:] for seed in ("a", "b")}
    assert len(chosen["a"]) == 2
    assert chosen["a"] != chosen["b"]
    assert chosen["a"] == remade("L3", jobs, Path.cwd(), sample=2, seed="a").notes[1:]


def test_the_power_of_a_sample_is_said():
    """(1 - f)^n: two of twenty jobs miss a tenth of bad ones with chance 0.81."""
    assert detection_power(2, 20).endswith("would miss it with chance 0.81")
    assert detection_power(20, 20) == "all 20 jobs were made again"


def test_elsewhere_metrics_may_differ_by_chance_only():
    """Within four standard errors or a thousandth; a metric that is there only once is named."""
    ours = {"nll": {"value": 100.0, "stderr": 0.5}, "acc": {"value": 0.9}, "n": 3}
    assert metrics_off(ours, {"nll": {"value": 101.9, "stderr": 0.5}, "acc": {"value": 0.9005}, "n": 3}) == ""
    assert metrics_off(ours, {**ours, "nll": {"value": 102.1, "stderr": 0.5}}) == "nll is 102.1 instead of 100"
    assert metrics_off(ours, {"nll": ours["nll"], "n": 3}) == "acc is there only once"


def test_a_verdict_reads_as_a_sentence_per_level():
    """And says at which level a study does not hold."""
    levels = [Level("L0", "3 files"), Level("L1", "2 receipts", [Finding("bytes", "a", "changed.")], ["a note"])]
    assert list(verdict_lines("s", levels)) == [
        "L0 inventory: holds (3 files)",
        "L1 integrity: 1 FOUND (2 receipts)",
        "   a: changed.",
        "   note: a note",
        "s: does NOT hold at L1",
    ]


def test_a_verdict_counts_files_and_keeps_what_is_not_made_apart():
    """Of one file two things can be wrong; one that was not made yet is no finding against the study."""
    unmade = Finding(NOT_MADE, "b", "not made here yet.")
    wrong = [Finding("bytes", "a", "changed."), Finding("chain", "a", "other inputs.")]
    levels = [Level("L0", "3 files", [unmade]), Level("L1", "2 receipts", [unmade, *wrong])]
    assert list(verdict_lines("s", levels)) == [
        "L0 inventory: INCOMPLETE (3 files)",
        "   b: not made here yet.",
        "L1 integrity: 1 FOUND, INCOMPLETE (2 receipts)",
        "   a: changed.",
        "   a: other inputs.",
        "   b: not made here yet.",
        "s: does NOT hold at L1; not proven at L0",
    ]


def test_a_changed_file_is_named_once_however_many_jobs_read_it():
    """By the receipt of the job that made it; and a step that many tables have behind them once too."""
    tables = []
    for name in ("u", "v"):
        receipt = Path(f"{FOLDER}/{name}.receipt.json")
        Path(f"{FOLDER}/{name}.csv").write_text("row,column\n1,2\n")
        records = [[FileRecord.of(Path(path))] for path in (f"{FOLDER}/t.csv", f"{FOLDER}/{name}.csv")]
        made = Receipt("tables", MODULE, name, {}, code_digest(MODULE), keep_environment(receipt), *records)
        write_receipt(receipt, made)
        outputs = (f"{FOLDER}/{name}.csv", receipt.as_posix())
        tables.append(PlannedJob("tables", (f"{FOLDER}/t.csv",), outputs, COMMAND))
    Path(f"{FOLDER}/t.csv").write_text("forged")
    (finding,) = integrity("s", [TABLE, *tables], DVC_FILES).findings
    assert finding.path == f"{FOLDER}/t.csv"
    assert f"{FOLDER}/t.receipt.json says" in finding.message
    receipt = Path(f"{FOLDER}/t.receipt.json")
    write_receipt(receipt, replace(read_receipt(receipt), outputs=[FileRecord.of(Path(f"{FOLDER}/t.csv"))]))
    chain = [finding for finding in integrity("s", [TABLE, *tables], DVC_FILES).findings if finding.kind == "chain"]
    assert [finding.path for finding in chain] == [f"{FOLDER}/{name}.receipt.json" for name in ("u", "v")]
    assert all(str(finding).count(f"{finding.path}: ") == 1 for finding in chain)


def test_a_sample_of_no_jobs_is_refused(capsys):
    """It would hold whatever was forged; a study without such jobs is said to have none."""
    for number in ("0", "-1", "some"):
        with pytest.raises(SystemExit) as refused:
            audit.main(["s", "--level", "L3", "--jobs", number])
        assert refused.value.code == 2
        assert f"{number} is no number of jobs; give 1 or more" in capsys.readouterr().err
    assert remade("L3", [TABLE], Path.cwd(), 1).checked == "no job of this level in the study"
