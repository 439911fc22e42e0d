"""Cells on the move: an honest tar arrives whole, any other leaves no trace."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from relatent.bridge.pack import pack, unpack
from relatent.cli import adopt
from relatent.cli.job import run
from relatent.errors import ConfigError, DataIntegrityError, MissingDataError
from relatent.ledger.environment import environment_record, keep_environment
from relatent.ledger.files import digest_of
from relatent.ledger.receipts import FileRecord, Receipt, read_receipt, receipt_text, write_receipt
from relatent.ledger.remedies import Remedies

CELL = "results/iwae/train_density/mnist/iwae-L1-k50"
DATA = "data/prepared/mnist"


def make_data() -> FileRecord:
    Path(DATA).mkdir(parents=True)
    images = Path(DATA) / "train_images.npy"
    images.write_bytes(b"images")
    record = FileRecord.of(images)
    made = Receipt("prepare", "relatent.cli.prepare", "mnist", {}, "c", "e", (), (record,))
    write_receipt(Path(DATA) / "receipt.json", made)
    return record


@pytest.fixture
def packed(tmp_path, monkeypatch) -> Path:
    """A tar of one trained cell, and another machine's working directory, with the data but not the cell."""
    there, here = tmp_path / "there", tmp_path / "here"
    for place in (here, there):
        place.mkdir()
        monkeypatch.chdir(place)
        record = make_data()
    Path(CELL).mkdir(parents=True)
    (Path(CELL) / "model.safetensors").write_bytes(b"weights" * 100)
    (Path(CELL) / "history.csv").write_text("epoch\n1\n")
    receipt_path = Path(CELL) / "receipt.json"
    outputs = [FileRecord.of(Path(CELL) / name) for name in ("model.safetensors", "history.csv")]
    environment = keep_environment(receipt_path)
    cell = "mnist/iwae-L1-k50"
    write_receipt(receipt_path, Receipt("t", "relatent.cli.t", cell, {"k": 50}, "c", environment, [record], outputs))
    tar = tmp_path / "cells.tar"
    assert pack("iwae", [cell], tar) == [receipt_path.as_posix()]
    monkeypatch.chdir(here)
    return tar


def members(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def write_tar(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in others:
            archive.addfile(member)
    return path


def nothing_arrived() -> bool:
    incoming = list(Path(".relatent/incoming").glob("*")) if Path(".relatent").exists() else []
    return not Path("results").exists() and not incoming


def test_a_cell_arrives_with_its_receipt_and_environment(packed):
    """Byte for byte, and again without complaint."""
    arrival = unpack(packed)
    assert arrival.study == "iwae"
    assert {name: Path(name).read_bytes() for name in members(packed)} == members(packed)
    assert (Path("results/iwae/environments") / f"{digest_of(environment_record())[:16]}.json").is_file()
    unpack(packed)


def test_equal_cells_give_an_equal_tar(packed):
    """No times and no owners in it: its sha256 can be published."""
    unpack(packed)
    pack("iwae", ["train_density/mnist/iwae-L1-k50"], Path("again.tar"))
    assert Path("again.tar").read_bytes() == packed.read_bytes()


def test_a_damaged_cell_is_not_packed(packed):
    """What leaves is checked as well as what arrives."""
    unpack(packed)
    (Path(CELL) / "history.csv").write_text("epoch\n2\n")
    with pytest.raises(DataIntegrityError, match=r"history\.csv: sha256 .* Remove it and run `snakemake -- results/"):
        pack("iwae", ["mnist/iwae-L1-k50"], Path("again.tar"))
    adopted = Remedies(made=lambda path: False)
    with pytest.raises(DataIntegrityError, match=rf"history\.csv: sha256 .* `git checkout -- {CELL}/history\.csv"):
        pack("iwae", ["mnist/iwae-L1-k50"], Path("again.tar"), adopted)
    (Path(CELL) / "history.csv").unlink()
    with pytest.raises(MissingDataError, match=r"history\.csv: not there, but .* `git checkout"):
        pack("iwae", ["mnist/iwae-L1-k50"], Path("again.tar"), adopted)
    with pytest.raises(MissingDataError, match="there are train_density/mnist/iwae-L1-k50"):
        pack("iwae", ["mnist/vae-L1-k1"], Path("again.tar"))
    with pytest.raises(ConfigError, match="not the name of a cell"):
        pack("iwae", ["../../etc"], Path("again.tar"))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/cron.d/x",
        "../outside",
        "results/iwae/../../../outside",
        "results/iwae/train_density/.hidden",
        "results/iwae/x",
        "src/relatent/cli/train.py",
        "results/iwae/a/b c/x",
        "results/iwae/a/$(x)/y",
        "results//iwae/a/b",
        "results/iwae/1/2/3/4/5/6/7",
    ],
)
def test_no_path_escapes(packed, tmp_path, name):
    """Names are letters, digits, dot, dash and underscore, below results/<study>/<folder>/, and nothing hidden."""
    tar = write_tar(tmp_path / "bad.tar", {**members(packed), name: b"x"})
    with pytest.raises(DataIntegrityError, match="does not lie below results/<study>/"):
        unpack(tar)
    assert nothing_arrived()
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_plain_files_are_taken(packed, tmp_path, kind):
    """A link could point a later member, or us, anywhere."""
    link = tarfile.TarInfo(f"{CELL}/link")
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(DataIntegrityError, match="is not a plain file"):
        unpack(write_tar(tmp_path / "bad.tar", members(packed), link))
    assert nothing_arrived()


def test_a_tar_has_bounds(packed, tmp_path, monkeypatch):
    """A header can claim any size; it is refused before it is read."""
    monkeypatch.setattr("relatent.bridge.tars.MAX_BYTES", 100)
    with pytest.raises(DataIntegrityError, match="is too large"):
        unpack(packed)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("relatent.bridge.tars.MAX_FILES", 2)
    with pytest.raises(DataIntegrityError, match="is one too many"):
        unpack(packed)
    assert nothing_arrived()


@pytest.mark.parametrize("cut", [0, 100, 600, 2000])
def test_a_tar_that_is_cut_short_is_refused(packed, tmp_path, cut):
    """As after an interrupted copy."""
    tar = tmp_path / "cut.tar"
    tar.write_bytes(packed.read_bytes()[:cut])
    with pytest.raises(DataIntegrityError):
        unpack(tar)
    assert nothing_arrived()


def test_a_compressed_tar_is_refused(packed, tmp_path):
    """It could be a bomb; weights do not compress anyway."""
    with tarfile.open(tmp_path / "x.tar", "w:gz") as archive:
        archive.add(packed, "results/iwae/train_density/x")
    with pytest.raises(DataIntegrityError, match="not a whole, uncompressed tar"):
        unpack(tmp_path / "x.tar")


def forged(packed: Path, tmp_path: Path, name: str, content: bytes | None) -> Path:
    files = members(packed)
    if content is None:
        del files[name]
    else:
        files[name] = content
    return write_tar(tmp_path / "forged.tar", files)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (f"{CELL}/model.safetensors", b"weights" * 99 + b"weightz", "is not what its receipt says"),
        (f"{CELL}/model.safetensors", None, "is named in a receipt but not in the tar"),
        (f"{CELL}/extra.npy", b"x", "is in no receipt"),
        (f"{CELL}/receipt.json", None, "holds no receipt"),
        (f"{CELL}/receipt.json", b"{}", r"forged\.tar: .* cannot be read .*not a receipt of schema 1"),
        (f"{CELL}/receipt.json", b"{", r"forged\.tar: .* cannot be read .*not readable as JSON"),
        ("results/iwae/environments/0123456789abcdef.json", b"{}", "is in no receipt"),
        ("results/other/train_density/mnist/x/receipt.json", b"{}", "holds cells of 2 studies"),
    ],
)
def test_every_file_is_accounted_for(packed, tmp_path, name, content, said):
    """Nothing comes in beside the receipts, and nothing they name stays out."""
    with pytest.raises(DataIntegrityError, match=said):
        unpack(forged(packed, tmp_path, name, content))
    assert nothing_arrived()


def changed_receipt(packed: Path, tmp_path: Path, **values) -> Path:
    path = tmp_path / "receipt.json"
    path.write_bytes(members(packed)[f"{CELL}/receipt.json"])
    text = receipt_text(replace(read_receipt(path), **values))
    return forged(packed, tmp_path, f"{CELL}/receipt.json", text.encode())


def test_a_receipt_speaks_only_of_its_own_folder(packed, tmp_path):
    """Else it could vouch for, and so replace, another cell's files."""
    elsewhere = FileRecord("results/iwae/train_density/mnist/vae-L1-k1/model.safetensors", "0" * 64, 1)
    with pytest.raises(DataIntegrityError, match="which is not beside it"):
        unpack(changed_receipt(packed, tmp_path, outputs=(elsewhere,)))


def test_a_cell_made_from_other_data_is_refused(packed, tmp_path):
    """The same name with other bytes: another binarisation, another split."""
    other = FileRecord(f"{DATA}/train_images.npy", "0" * 64, 6)
    with pytest.raises(DataIntegrityError, match=r"was made from another data/prepared/mnist/train_images\.npy"):
        unpack(changed_receipt(packed, tmp_path, inputs=(other,)))
    absent = FileRecord("data/prepared/omniglot/train_images.npy", "0" * 64, 6)
    with pytest.raises(DataIntegrityError, match="of which no receipt is here; prepare the data first"):
        unpack(changed_receipt(packed, tmp_path, inputs=(absent,)))
    assert nothing_arrived()


def test_what_is_here_is_not_overwritten_unasked(packed, tmp_path):
    """Hours of work may be in it."""
    unpack(packed)
    (Path(CELL) / "history.csv").write_text("mine")
    with pytest.raises(DataIntegrityError, match="is here already, with other bytes"):
        unpack(packed)
    assert (Path(CELL) / "history.csv").read_text() == "mine"
    unpack(packed, replace=True)
    assert (Path(CELL) / "history.csv").read_text() == "epoch\n1\n"


def test_a_missing_tar_and_a_folder_are_named(tmp_path):
    """Exit 3."""
    with pytest.raises(MissingDataError, match=r"nowhere\.tar: no such file"):
        unpack(Path("nowhere.tar"))
    with pytest.raises(MissingDataError, match="a folder; give the tar that `relatent pack` wrote"):
        unpack(tmp_path)


def test_a_tar_of_a_study_that_is_not_here_leaves_no_trace(packed, capsys):
    """It is refused before anything is put into place, with the studies there are; exit 3."""
    for place in ("workflow/Snakefile", "config/demo.yaml"):
        Path(place).parent.mkdir()
        Path(place).touch()
    assert run(adopt.main, [str(packed)]) == 3
    said = capsys.readouterr().err
    assert "config/iwae.yaml: no such study; config/ has demo\n" in said
    assert "cells.tar: its cells are of iwae; nothing was taken from it" in said
    assert nothing_arrived()


@pytest.mark.parametrize("name", ["cells.tgz", "README.md", "cells.tar.gz"])
def test_a_file_that_is_no_tar_is_not_taken_for_a_study(name, tmp_path, monkeypatch, capsys):
    """A study's name has no dot."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("text")
    assert run(adopt.main, [name]) == 1
    assert capsys.readouterr().err.startswith(f"{name}: not a whole, uncompressed tar")
