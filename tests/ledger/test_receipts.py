"""Receipts: equal work gives equal bytes, and one flipped bit is refused."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relatent.errors import DataIntegrityError, MissingDataError
from relatent.ledger.files import atomic_path, canonical_json, sha256_of, write_json
from relatent.ledger.receipts import (
    FileRecord,
    Receipt,
    check_inputs,
    check_outputs,
    read_receipt,
    receipt_text,
    write_receipt,
)
from relatent.ledger.remedies import of_damaged


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A working directory with two outputs and their receipt."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.npy", "a.npy"):
        Path(name).write_bytes(name.encode() * 100)
    write_receipt(Path("receipt.json"), receipt_of("b.npy", "a.npy"))
    return tmp_path


def receipt_of(*outputs: str, **values) -> Receipt:
    records = [FileRecord.of(Path(path)) for path in outputs]
    settings = {"k": 5, "rate": 0.1}
    fixed = {"rule": "r", "command": "relatent.cli.r", "cell": "c", "settings": settings, "code": "c0", "inputs": ()}
    return Receipt(**{**fixed, "environment": "e0", "outputs": records, **values})


def test_equal_work_gives_equal_bytes(made):
    """The order in which a command lists its files is no part of its work; no time or host is in a receipt."""
    write_receipt(Path("again.json"), receipt_of("a.npy", "b.npy", settings={"rate": 0.1, "k": 5}))
    assert Path("again.json").read_bytes() == Path("receipt.json").read_bytes()


def test_a_receipt_comes_back_as_it_was_written(made):
    """What `why` and `audit` read is what the job knew."""
    receipt = read_receipt(Path("receipt.json"))
    assert receipt_text(receipt) == Path("receipt.json").read_text()
    assert receipt.output(Path("a.npy")).size_bytes == 500
    assert receipt.output(Path("c.npy")) is None


@pytest.mark.parametrize("place", [0, 250, 499])
def test_one_flipped_bit_is_refused_with_path_and_remedy(made, place):
    """Size and, set back, mtime are unchanged: only the hash can tell."""
    before = Path("a.npy").stat()
    content = bytearray(Path("a.npy").read_bytes())
    content[place] ^= 1
    Path("a.npy").write_bytes(content)
    os.utime("a.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    for check in (
        lambda: check_outputs(Path("receipt.json")),
        lambda: check_inputs([Path("a.npy")], [Path("receipt.json")]),
    ):
        with pytest.raises(
            DataIntegrityError,
            match=r"^a\.npy: sha256 is .* If Git keeps it, restore it with `git checkout -- a\.npy`; else",
        ):
            check()
    assert len(check_inputs([Path("b.npy")], [Path("receipt.json")])) == 1


def test_a_damaged_file_of_an_adopted_cell_is_not_lost_by_the_remedy():
    """A job does not know whether another made what it reads: Git first, and the study's own settings after."""
    assert of_damaged(Path("results/iwae_short/train_density/mnist/vae-L1-k1/model.safetensors")) == (
        "If Git keeps it, restore it with `git checkout -- results/iwae_short/train_density/mnist/vae-L1-k1/"
        "model.safetensors`; else remove it and run `snakemake --configfile config/iwae_short.yaml -- "
        "results/iwae_short/train_density/mnist/vae-L1-k1/model.safetensors`."
    )
    assert of_damaged(Path("data/prepared/mnist/test_images.npy")).endswith(
        "run `snakemake -- data/prepared/mnist/test_images.npy`."
    )


def test_a_truncated_or_missing_file_is_refused(made):
    """A full disk or a killed copy leaves such files."""
    Path("a.npy").write_bytes(Path("a.npy").read_bytes()[:-1])
    with pytest.raises(DataIntegrityError, match=r"a\.npy: sha256"):
        check_outputs(Path("receipt.json"))
    Path("a.npy").unlink()
    with pytest.raises(MissingDataError, match=r"a\.npy: no such file\. Make it again"):
        check_outputs(Path("receipt.json"))


def test_an_input_that_no_receipt_names_is_refused(made):
    """Without this rule, leaving the receipt away would pass any file."""
    Path("c.npy").write_bytes(b"c")
    with pytest.raises(DataIntegrityError, match=r"c\.npy: none of the receipts given names this file"):
        check_inputs([Path("c.npy")], [Path("receipt.json")])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[]", "not a receipt of schema 1"),
        (b'{"schema_version": 2}', "not a receipt of schema 1"),
        (b'{"schema_version": 1, "inputs": [], "outputs": [{"path": "a"}]}', "not a whole receipt"),
        (b'{"schema_version": 1, "inputs": [], "outputs": [], "colour": 3}', "not a whole receipt"),
    ],
)
def test_what_is_no_receipt_is_named(tmp_path, content, said):
    """A damaged receipt is an answer, not a traceback."""
    path = tmp_path / "receipt.json"
    path.write_bytes(content)
    with pytest.raises(DataIntegrityError, match=said) as caught:
        read_receipt(path)
    assert str(path) in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(values)
def test_canonical_json_keeps_values_and_is_unique(value):
    """Reading and writing again gives the same text, so a digest of it is a digest of the value."""
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_not_a_number_is_refused():
    """NaN is no JSON; another reader would fail on the receipt."""
    with pytest.raises(ValueError, match="Out of range float"):
        canonical_json({"loss": float("nan")})


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    """A reader never sees half a file, and a failure leaves the old one."""
    path = tmp_path / "deep" / "x.json"
    write_json(path, 1)
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("2")
        raise RuntimeError
    assert path.read_text() == "1\n"
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]
    assert sha256_of(path) == sha256_of(path)
