"""Jobs held against their receipts: what a receipt must say, and what makes it stale."""

from dataclasses import replace
from pathlib import Path

import pytest

from relatent.ledger.code import code_digest
from relatent.ledger.environment import keep_environment
from relatent.ledger.jobs import PlannedJob
from relatent.ledger.receipts import FileRecord, Receipt, read_receipt, write_receipt
from relatent.ledger.verify import differences, verify_jobs

MODULE = "relatent.data.streams"
DATA, CELL = "data/prepared/x", "results/s/train/x/c"


def job(rule: str, inputs: list[str], folder: str, output: str, settings: str = "{}") -> PlannedJob:
    command = f"python -m {MODULE} --settings '{settings}'"
    return PlannedJob(rule, tuple(inputs), (f"{folder}/{output}", f"{folder}/receipt.json"), command)


JOBS = [
    job("prepare_x", [], DATA, "a.npy"),
    job("train", [f"{DATA}/a.npy", f"{DATA}/receipt.json", "data/reference/t.csv"], CELL, "m.npy", '{"k": 5}'),
]


@pytest.fixture(autouse=True)
def made(tmp_path, monkeypatch):
    """Two jobs made as they should be: data, and a cell made from it and a source."""
    monkeypatch.chdir(tmp_path)
    for name in (DATA, CELL, "data/reference"):
        Path(name).mkdir(parents=True)
    for name in (f"{DATA}/a.npy", f"{CELL}/m.npy", "data/reference/t.csv"):
        Path(name).write_text(name)
    for planned, rule, settings, inputs in (
        (JOBS[0], "prepare", {"n": 1}, []),
        (JOBS[1], "train", {"k": 5, "rate": 0.1}, [f"{DATA}/a.npy", "data/reference/t.csv"]),
    ):
        receipt = Path(planned.outputs[1])
        records = [[FileRecord.of(Path(path)) for path in paths] for paths in (inputs, planned.outputs[:1])]
        environment = keep_environment(receipt)
        write_receipt(receipt, Receipt(rule, MODULE, "c", settings, code_digest(MODULE), environment, *records))


def rewrite(path: str, **values) -> None:
    write_receipt(Path(path), replace(read_receipt(Path(path)), **values))


def messages(jobs=JOBS, **options) -> list[str]:
    return [str(finding) for finding in verify_jobs(jobs, **options).findings]


def test_honest_work_has_no_findings():
    """A rule may be named after its dataset; what a command leaves to defaults is code."""
    found = verify_jobs(JOBS)
    assert found.findings == []
    assert set(found.receipts) == {f"{DATA}/receipt.json", f"{CELL}/receipt.json"}
    assert len(found.hashed) == 3


def test_each_lie_of_a_receipt_is_found():
    """By itself, with the file and the remedy."""
    receipt = f"{CELL}/receipt.json"
    for values, said in (
        ({"code": "0" * 64}, "made by other code"),
        ({"settings": {"k": 50, "rate": 0.1}}, "made with k = 50, the study says 5 today"),
        ({"command": "relatent.data.batches"}, "the graph now runs relatent.data.streams"),
        ({"rule": "tune"}, "is of rule tune, the graph makes it by train"),
        ({"inputs": ()}, f"{DATA}/a.npy is read by this job in the graph, but not named in its receipt"),
        ({"outputs": ()}, f"{CELL}/m.npy is made by this job in the graph, but not named in its receipt"),
        ({"environment": "0" * 64}, "0000000000000000.json: not there"),
    ):
        honest = Path(receipt).read_bytes()
        rewrite(receipt, **values)
        assert any(said in message for message in messages()), said
        assert f"{CELL}/receipt.json" not in verify_jobs(JOBS).receipts
        Path(receipt).write_bytes(honest)
    assert messages() == []


def test_yesterdays_results_can_be_checked_by_themselves():
    """An audit of what was committed asks whether it holds together, not whether it is of today's code."""
    rewrite(f"{CELL}/receipt.json", code="0" * 64)
    assert messages(today=False) == []


def test_changed_data_is_found_from_both_sides():
    """Its own receipt disagrees, and that of what was made from it."""
    Path(f"{DATA}/a.npy").write_text("other")
    found = messages()
    assert [f"{DATA}/receipt.json says" in message for message in found] == [True, False]
    assert f"{CELL}/receipt.json says" in found[1]
    assert all(f"Remove it and run `snakemake -- {DATA}/a.npy`" in message for message in found)
    named = messages(make="snakemake --configfile config/s.yaml")
    assert all(f"run `snakemake --configfile config/s.yaml -- {DATA}/a.npy`" in message for message in named)


def test_an_edited_receipt_or_environment_is_found():
    """Also where the edit changes no meaning: receipts are written in one form only."""
    path = Path(f"{CELL}/receipt.json")
    path.write_text(path.read_text().replace("\n ", "\n  ", 1))
    assert any("not in the form in which receipts are written" in message for message in messages())
    record = next(Path("results/s/environments").iterdir())
    record.write_text(record.read_text().replace("Linux", "Minix"))
    assert any(f"{record}: its digest is not the one" in message for message in messages())


def adopt(settings: dict) -> tuple[str, list[PlannedJob]]:
    """A cell taken in with its receipt, and the jobs, one of which reads it."""
    adopted = "results/s/train/x/old"
    Path(adopted).mkdir()
    Path(f"{adopted}/m.npy").write_text("weights")
    outputs = [FileRecord.of(Path(f"{adopted}/m.npy"))]
    write_receipt(
        Path(f"{adopted}/receipt.json"), Receipt("train", "gone.module", "x/old", settings, "c0", "e0", (), outputs)
    )
    reads = [f"{adopted}/m.npy", f"{adopted}/receipt.json"]
    return adopted, [*JOBS, PlannedJob("phony", tuple(reads), ())]


def test_an_adopted_cell_is_held_to_its_bytes_not_to_todays_code():
    """Its receipt comes in as a source: other code is allowed, another byte is not (DESIGN 4.16)."""
    adopted, jobs = adopt({})
    assert messages(jobs) == []
    assert f"{adopted}/receipt.json" in verify_jobs(jobs).receipts
    Path(f"{adopted}/m.npy").write_text("weightz")
    (message,) = messages(jobs)
    assert message.startswith(f"{adopted}/m.npy: sha256 is")


def test_a_damaged_file_of_an_adopted_cell_is_not_to_be_removed():
    """No rule makes it again: who removed it would have lost it. It comes back by Git or by its tar."""
    adopted, jobs = adopt({})
    for name, damaged in (("m.npy", "weightz"), ("receipt.json", "{")):
        honest = Path(f"{adopted}/{name}").read_text()
        Path(f"{adopted}/{name}").write_text(damaged)
        (message,) = messages(jobs)
        assert f"restore it with `git checkout -- {adopted}/{name}`" in message
        assert "`relatent adopt --replace FILE.tar`" in message
        assert "Remove it" not in message and "snakemake" not in message
        Path(f"{adopted}/{name}").write_text(honest)
    Path(f"{adopted}/m.npy").unlink()
    assert "not there" in messages(jobs)[0] and f"git checkout -- {adopted}/m.npy" in messages(jobs)[0]


def test_an_adopted_cell_has_the_settings_of_its_study():
    """Else five stages would be printed under the effort of eight. On what it was made is free; later keys it lacks."""
    adopted, jobs = adopt({"stages": 5, "seeds": [0], "device": "cuda", "threads": 2})
    receipt = f"{adopted}/receipt.json"
    study = {"stages": 5, "seeds": [0], "device": "cpu", "threads": 1, "precision": "fp32"}
    assert messages(jobs, adopted={receipt: study}) == []
    (message,) = messages(jobs, adopted={receipt: {**study, "stages": 8}})
    assert message.startswith(f"{receipt}: adopted, and made with stages = 5, where the study says 8.")


@pytest.mark.parametrize(
    ("then", "today", "found"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, []),
        ({"a": 1}, {"a": 1, "b": 2}, [("b", None, 2)]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", 1, 2)]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [("a", [1, 2], [1, 3])]),
    ],
)
def test_settings_are_compared_by_name(then, today, found):
    """The message can then name the setting."""
    assert differences(then, today) == found
