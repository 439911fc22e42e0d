"""The chain behind a number, walked over receipts."""

from pathlib import Path

import pytest

from relatent.errors import ConfigError, DataIntegrityError, MissingDataError
from relatent.ledger.lineage import ReceiptBook, find_cell, metrics_behind, read_table, state_of, table_path
from relatent.ledger.receipts import FileRecord, Receipt, write_receipt

RAW, PREPARED, CELL, EVALUATED = "data/raw/x", "data/prepared/x", "results/s/train/x/c", "results/s/evaluate/x/c"
TABLE = "results/s/tables/t.csv"


def make(folder: str, name: str, content: str, *inputs: str) -> FileRecord:
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    records = [[FileRecord.of(Path(each)) for each in group] for group in (inputs, [path])]
    write_receipt(path.parent / "receipt.json", Receipt(Path(folder).parts[-3], "m", folder, {}, "c", "e", *records))
    return FileRecord.of(path)


@pytest.fixture(autouse=True)
def study(tmp_path, monkeypatch):
    """Raw, prepared, weights, metrics, and a table of them."""
    monkeypatch.chdir(tmp_path)
    make(RAW, "a.gz", "raw")
    make(PREPARED, "a.npy", "prepared", f"{RAW}/a.gz")
    make(CELL, "m.npy", "weights", f"{PREPARED}/a.npy")
    metrics = '{"nll_nats": {"value": 23.456789, "k": 5000}, "other": {"value": 23.5}, "text": {"value": "x"}}'
    make(EVALUATED, "metrics.json", metrics, f"{CELL}/m.npy", f"{PREPARED}/a.npy")
    Path(TABLE).parent.mkdir(parents=True)
    Path(TABLE).write_text(
        f"row,column,ours,receipt\nL1  k=5,IWAE NLL,23.456789,{EVALUATED}/receipt.json\nL1 k=5,VAE NLL,,\n"
    )


def test_the_chain_ends_at_the_raw_file():
    """Each step is the job that made what the step after it read; shared data appears where it is read."""
    chain = ReceiptBook.of_study("s").chain(f"{EVALUATED}/receipt.json")
    names = [step.path for step in chain.before]
    assert names == [f"{PREPARED}/receipt.json", f"{CELL}/receipt.json"]
    (weights,) = [step for step in chain.before if step.path.startswith(CELL)]
    assert weights.before[0].before[0].path == f"{RAW}/receipt.json"
    assert weights.before[0].before[0].before == ()


def test_a_broken_chain_is_refused():
    """The weights were made again from other data, the evaluation was not."""
    make(CELL, "m.npy", "other weights", f"{PREPARED}/a.npy")
    with pytest.raises(DataIntegrityError, match=r"was made from a results/s/train/x/c/m\.npy of sha256"):
        ReceiptBook.of_study("s").chain(f"{EVALUATED}/receipt.json")


def test_a_receipt_made_from_itself_is_refused():
    """Else the walk would not end."""
    path = Path(CELL) / "m.npy"
    record = FileRecord.of(path)
    write_receipt(path.parent / "receipt.json", Receipt("t", "m", "c", {}, "c", "e", [record], [record]))
    with pytest.raises(DataIntegrityError, match="its receipt is made from itself"):
        ReceiptBook.of_study("s").chain(f"{CELL}/receipt.json")


def test_a_cell_is_found_as_a_person_writes_it():
    """Case and spaces aside; else the message has what there is."""
    cells = read_table(table_path("s", "t"))
    cell = find_cell(cells, "l1 K=5", "iwae  nll")
    assert cell.receipts == [f"{EVALUATED}/receipt.json"]
    assert find_cell(cells, "L1 k=5", "VAE NLL").receipts == []
    assert find_cell(cells, "L1 | k=5", "IWAE NLL") == cell
    with pytest.raises(ConfigError, match="no row 'L2 k=5'; the table has 'L1  k=5', 'L1 k=5'"):
        find_cell(cells, "L2 k=5", "IWAE NLL")
    with pytest.raises(ConfigError, match="no column 'NLL' in row 'L1 k=5'; it has 'IWAE NLL', 'VAE NLL'"):
        find_cell(cells, "L1 k=5", "NLL")
    with pytest.raises(MissingDataError, match="no such table; s has t"):
        table_path("s", "u")
    Path(TABLE).write_text("a,b\n1,2\n")
    with pytest.raises(DataIntegrityError, match="not a tidy table"):
        read_table(Path(TABLE))


def test_the_metric_behind_a_number_is_named():
    """By its value among the outputs of the receipt."""
    cell = find_cell(read_table(Path(TABLE)), "L1 k=5", "IWAE NLL")
    receipt = ReceiptBook.of_study("s").receipts[cell.receipts[0]]
    assert metrics_behind(cell, receipt) == [(f"{EVALUATED}/metrics.json", "nll_nats")]


def test_the_state_of_a_file_is_said():
    """As recorded, changed, or not here, as after a clone without pull."""
    record = FileRecord.of(Path(CELL) / "m.npy")
    assert state_of(record) == "as recorded"
    (Path(CELL) / "m.npy").write_text("weightz")
    assert state_of(record) == "CHANGED"
    (Path(CELL) / "m.npy").unlink()
    assert state_of(record) == "not here"
