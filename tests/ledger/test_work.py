"""The scratch store: finished work comes back with the same bytes, or not at all."""

from pathlib import Path

import pytest

from relatent.ledger.receipts import FileRecord, Receipt
from relatent.ledger.verify import refill_scratch, work_of
from relatent.ledger.work import Work, work_key

FUNCTION = "relatent.data.streams"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory with its own scratch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELATENT_WORK", raising=False)


def finished(**outputs: bytes) -> tuple[Work, dict[str, Path]]:
    paths = {name: Path("results") / f"{name}.npy" for name in outputs}
    Path("results").mkdir(exist_ok=True)
    for name, content in outputs.items():
        paths[name].write_bytes(content)
    work = Work(work_key({"k": 1}, ["aa"], FUNCTION, threads=1), FUNCTION, "cpu", 1)
    work.keep(paths)
    return work, paths


def test_finished_work_comes_back_with_the_same_bytes():
    """DVC empties a stage before it runs; what took hours returns in seconds."""
    work, paths = finished(weights=b"w" * 10, history=b"h")
    for path in paths.values():
        path.unlink()
    assert work.restore(paths)
    assert paths["weights"].read_bytes() == b"w" * 10
    assert paths["history"].read_bytes() == b"h"


def test_damaged_scratch_means_doing_the_work():
    """A byte that rotted in scratch must not reach a result; the work is simply done again."""
    work, paths = finished(weights=b"w" * 10)
    kept = next((work.folder / "outputs").iterdir())
    kept.write_bytes(b"w" * 9 + b"v")
    paths["weights"].unlink()
    assert not work.restore(paths)
    assert not paths["weights"].exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"weights": 1}'])
def test_a_damaged_list_means_doing_the_work(content):
    """As after a full disk."""
    work, paths = finished(weights=b"w")
    (work.folder / "finished.json").write_text(content)
    assert not work.restore(paths)


def test_work_with_other_outputs_is_other_work():
    """A command that makes one file more than when the work was kept cannot be served from it."""
    work, paths = finished(weights=b"w")
    assert not work.restore({**paths, "early": Path("early.npy")})
    assert not Work("0" * 32).restore(paths)


def test_keeping_drops_the_checkpoints():
    """They are many times the size of what they led to, and of no use after it."""
    work, paths = finished(weights=b"w")
    work.checkpoint("step.npz").write_bytes(b"state")
    work.keep(paths)
    assert sorted(path.name for path in work.folder.iterdir()) == ["finished.json", "outputs"]


def test_the_key_covers_all_that_decides_the_bytes():
    """Settings, inputs and their order, code, device kind, threads."""
    base = {"settings": {"k": 1}, "input_sha256": ["aa", "bb"], "function": FUNCTION, "device": "cpu", "threads": 1}
    changes = {
        "settings": {"k": 2},
        "input_sha256": ["bb", "aa"],
        "function": "relatent.data.batches",
        "device": "cuda",
        "threads": 2,
    }
    keys = {work_key(**base), *(work_key(**{**base, name: value}) for name, value in changes.items())}
    assert len(keys) == 1 + len(changes)
    assert work_key(**base) == work_key(**base)


def test_scratch_is_refilled_from_a_receipt_alone():
    """After `dvc pull` in a clone there is no scratch; the receipt says which work its files are."""
    work, paths = finished(weights=b"w" * 10)
    inputs = (FileRecord("data/x.npy", "aa", 1),)
    outputs = tuple(FileRecord.of(path) for path in paths.values())
    described = work.described()
    receipt = Receipt("r", "c", "cell", {"k": 1}, "code", "env", inputs, outputs, torch_threads=1, work=described)
    assert work_of(receipt).folder == work.folder
    assert refill_scratch([receipt]) == 0  # it is there
    for path in sorted(work.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert refill_scratch([receipt]) == 1
    paths["weights"].unlink()
    assert Work(work.folder.name).restore(paths)


def test_a_receipt_without_long_work_refills_nothing():
    """Short jobs are made again."""
    receipt = Receipt("r", "c", "cell", {}, "code", "env", (), ())
    assert work_of(receipt) is None
    assert refill_scratch([receipt]) == 0
