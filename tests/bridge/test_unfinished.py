"""Unfinished work on the move: the checkpoints arrive where the next job goes on from them, or nothing does."""

import io
import json
import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from relatent.bridge import resume, unfinished
from relatent.bridge.checkpoints import read_progress
from relatent.bridge.graph import study_place
from relatent.bridge.resume import adopt_unfinished, holds_unfinished
from relatent.bridge.unfinished import pack_unfinished
from relatent.config.density import DensityCell
from relatent.errors import ConfigError, DataIntegrityError, MissingDataError, RelatentError
from relatent.ledger.environment import environment_record
from relatent.ledger.files import canonical_json, digest_of
from relatent.ledger.jobs import PlannedJob
from relatent.ledger.receipts import FileRecord, Receipt, write_receipt
from relatent.ledger.work import Begun, Work, key_of, key_parts

IMAGES = "data/prepared/mnist/train_images.npy"
CELL = "train_density/mnist/iwae-L1-k50"
FUNCTION = "relatent.data.streams"
SETTINGS = {"k": 50, "seeds": [0, 1]}


def checkpoint(steps: int, seed: int = 0) -> bytes:
    """As density training keeps it."""
    notes = {"run": {}, "seeds": {seed: {"step": steps}}}
    return save({"weights": np.full(3, steps, np.float32)}, {"state": json.dumps(notes)})


def begin(steps: int | None = 100, settings=SETTINGS, cell: str = CELL, function: str = FUNCTION) -> Work:
    """A job's work as it is when the job is killed after so many steps of seed 0."""
    receipt = f"results/iwae/{cell}/receipt.json"
    inputs = {IMAGES: FileRecord.of(Path(IMAGES)).sha256}
    parts = key_parts(settings, inputs.values(), function, "cpu", 1)
    name = cell.partition("/")[2]
    work = Work(key_of(parts), begun=Begun(receipt, name, function, inputs, parts, environment_record()))
    path = work.checkpoint("seed0.safetensors")
    if steps is not None:
        path.write_bytes(checkpoint(steps))
    return work


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two machines' working directories, `there` and `here`; both know the same data and plan the same job."""
    monkeypatch.delenv("RELATENT_WORK", raising=False)
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for place in ("workflow/Snakefile", "config/iwae.yaml", IMAGES):
            Path(place).parent.mkdir(parents=True)
            Path(place).write_bytes(b"study: iwae" if place.endswith(".yaml") else b"images")
        made = Receipt("prepare", "relatent.cli.prepare", "mnist", {}, "c", "e", (), (FileRecord.of(Path(IMAGES)),))
        write_receipt(Path(IMAGES).with_name("receipt.json"), made)
    plan(monkeypatch)
    return tmp_path


def plan(monkeypatch, settings=SETTINGS, inputs=(IMAGES,)) -> None:
    """What the graph here says of any cell."""

    def expand(study, targets):
        if settings is None:
            raise RelatentError(f"{study.config}: the graph does not stand:\nNo rule to produce {targets[0]}")
        command = f"python -m relatent.cli.t --settings '{json.dumps(settings)}'"
        return [PlannedJob("t", tuple(inputs), (targets[0],), command)]

    monkeypatch.setattr(resume, "expand", expand)


@pytest.fixture
def packed(folders, monkeypatch) -> Path:
    """A tar of one cell at step 100, made there; now we are here."""
    begin()
    pack_unfinished("iwae", [CELL], folders / "x.tar")
    monkeypatch.chdir(folders / "here")
    return folders / "x.tar"


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
    return not list(Path(".relatent").rglob("*.safetensors")) and not list(Path(".relatent/incoming").glob("*"))


def here_is(steps: int) -> bool:
    (path,) = Path(".relatent/work").glob("*/seed0.safetensors")
    return path.read_bytes() == checkpoint(steps)


# Out


def test_a_checkpoint_arrives_under_its_key_with_what_it_is_for(packed, folders):
    """The next job looks for it there; a second time is no complaint."""
    assert holds_unfinished(packed)
    (work,) = adopt_unfinished(packed)
    assert str(work).endswith(": seed0.safetensors at 100 steps; in place")
    there = folders / "there/.relatent/work" / work.key
    for name in ("seed0.safetensors", "begun.json"):
        assert Path(".relatent/work", work.key, name).read_bytes() == (there / name).read_bytes()
    adopt_unfinished(packed)
    assert here_is(100)


def test_equal_checkpoints_give_an_equal_tar(packed, folders):
    """No times, no owners; and what arrived can be packed on."""
    adopt_unfinished(packed)
    pack_unfinished("iwae", ["mnist/iwae-L1-k50"], folders / "again.tar")
    assert (folders / "again.tar").read_bytes() == packed.read_bytes()


def test_work_is_packed_while_a_job_is_at_it(folders):
    """A checkpoint is renamed into place whole, so a copy is whole; temporary files and the lock stay behind."""
    work = begin()
    (work.folder / ".seed0.77.ab.safetensors").write_bytes(b"half")
    with work.lock():
        (found,) = pack_unfinished("iwae", [CELL], folders / "x.tar")
    assert "a job is at work on it: packed as of its last checkpoint" in str(found)
    assert {Path(name).name for name in members(folders / "x.tar")} == {
        "begun.json",
        "manifest.json",
        "seed0.safetensors",
    }


def test_of_several_works_the_one_that_goes_on_here_is_packed(folders, monkeypatch):
    """A changed setting or line leaves the older work behind; by name alone it would be a matter of luck."""
    old = begin(900, {**SETTINGS, "k": 5})
    os.utime(old.folder / "seed0.safetensors", (1, 1))
    begin(100)
    (found,) = pack_unfinished("iwae", [CELL], folders / "x.tar")
    assert found.checkpoints == {"seed0.safetensors": (100, "steps")}
    assert "left here: 1 begun earlier" in str(found)
    monkeypatch.setattr(unfinished, "code_and_machine", lambda *_: {**found.begun.key_parts, "code": "newer"})
    (found,) = pack_unfinished("iwae", [CELL], folders / "x.tar")
    assert "not as this checkout would go on: it was begun with other code of relatent.data.streams" in str(found)


def test_what_there_is_not_is_named(folders):
    """A cell that has not begun, one without a checkpoint yet, a finished one, a wrong name."""
    begin(cell="train_density/mnist/vae-L1-k1", settings={"k": 1})
    begin(None)
    with pytest.raises(MissingDataError, match=r"no unfinished work .* there is train_density/mnist/vae-L1-k1\. A "):
        pack_unfinished("iwae", [CELL], folders / "x.tar")
    begin().keep({"images": Path(IMAGES)})
    with pytest.raises(MissingDataError, match="A finished cell is packed without --unfinished"):
        pack_unfinished("iwae", [CELL], folders / "x.tar")
    (begin(settings={"k": 7}).folder / "begun.json").unlink()
    with pytest.raises(MissingDataError, match="1 here do not say what they are for; a job says so when it is next"):
        pack_unfinished("iwae", [CELL], folders / "x.tar")
    with pytest.raises(ConfigError, match="not the name of a cell"):
        pack_unfinished("iwae", ["../../etc"], folders / "x.tar")
    assert not (folders / "x.tar").exists()


# Would it go on here?


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("code", "0", "other code of relatent.data.streams; `git checkout [0-9a-f]{40}` has its code"),
        ("torch", "9.9", "torch '.*', here is '9.9'; install that version"),
    ],
)
def test_work_of_another_checkout_or_torch_is_refused(packed, monkeypatch, name, value, said):
    """Its key would never be looked for: hours would be lost without a word."""
    real = unfinished.code_and_machine
    monkeypatch.setattr(unfinished, "code_and_machine", lambda *of: {**real(*of), name: value})
    with pytest.raises(RelatentError, match=f"iwae-L1-k50 would begin afresh here: it was begun with {said}"):
        adopt_unfinished(packed)
    assert nothing_arrived()


@pytest.mark.parametrize("name", ["cpu", "cpu_family", "cpu_vectors"])
def test_work_of_another_processor_is_refused(packed, monkeypatch, name):
    """Also where only the vector instructions differ, which a key does not know of: the sums may round otherwise."""
    monkeypatch.setattr(unfinished, "environment_record", lambda: {**environment_record(), name: "other"})
    with pytest.raises(RelatentError, match="begun on another kind of processor"):
        adopt_unfinished(packed)
    assert nothing_arrived()


def test_work_of_other_settings_is_refused(packed, monkeypatch):
    """In both directions: a setting that only one of them has, counts."""
    plan(monkeypatch, {"k": 5, "seeds": [0, 1], "new": 1})
    with pytest.raises(
        RelatentError, match=r"with k = 50, config/iwae.yaml says 5; .* new = None, .* says 1\. Nothing"
    ):
        adopt_unfinished(packed)
    plan(monkeypatch, {"k": 50})
    with pytest.raises(RelatentError, match=r"with seeds = \[0, 1\], config/iwae.yaml says None"):
        adopt_unfinished(packed)
    plan(monkeypatch, None)
    with pytest.raises(RelatentError, match=r"config/iwae.yaml makes no results/.*/receipt.json; list the cell under"):
        adopt_unfinished(packed)
    assert nothing_arrived()


def test_work_on_other_data_is_refused_and_on_data_to_come_is_not(packed, monkeypatch):
    """Data not yet prepared here may still come out the same; nothing is lost by waiting for them."""
    write_receipt(
        Path(IMAGES).with_name("receipt.json"), Receipt("p", "c", "m", {}, "c", "e", (), (FileRecord(IMAGES, "ff", 1),))
    )
    with pytest.raises(RelatentError, match=f"begun with another {IMAGES}: sha256 "):
        adopt_unfinished(packed)
    for path in Path(IMAGES).parent.iterdir():
        path.unlink()
    plan(monkeypatch, inputs=[])
    with pytest.raises(RelatentError, match="which the job does not read here"):
        adopt_unfinished(packed)
    assert nothing_arrived()
    plan(monkeypatch)
    (work,) = adopt_unfinished(packed)
    assert f"{IMAGES} is not here yet" in str(work)


def test_finished_work_is_left_as_it_is(packed):
    """Whatever else would differ."""
    work = begin(None)
    work.keep({"images": Path(IMAGES)})
    (found,) = adopt_unfinished(packed)
    assert str(found).endswith("finished here already, nothing to do")
    assert not (work.folder / "seed0.safetensors").exists()


def test_a_checkpoint_further_along_is_not_overwritten_unasked(packed):
    """An older one is; of an equal step with other bytes nobody knows which is right."""
    for steps in (101, 100):
        begin(steps)
        if steps == 100:
            next(Path(".relatent/work").glob("*/seed0.safetensors")).write_bytes(checkpoint(100, seed=5))
        with pytest.raises(RelatentError, match=f"is here already, at {steps} steps; the tar's is at 100 steps"):
            adopt_unfinished(packed)
    adopt_unfinished(packed, replace=True)
    assert here_is(100)
    begin(99)
    adopt_unfinished(packed)
    assert here_is(100)


def test_nothing_is_put_under_a_running_job(packed):
    """It would write its own checkpoint over it, and end with that."""
    work = begin(50)
    with work.lock(), pytest.raises(RelatentError, match="a job here is at train_density/mnist/iwae-L1-k50 now"):
        adopt_unfinished(packed)
    assert here_is(50)


@pytest.mark.workflow
@pytest.mark.slow
def test_the_real_graph_says_all_that_a_key_is_made_of(monkeypatch):
    """Whole settings, defaults too, and the inputs: so they can be held against those the work was begun with."""
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    study, cell = study_place("demo"), "results/demo/train_density/digits/{}/receipt.json"
    job = resume._planned(study, cell.format("vae-L1-k5"))
    assert job.settings() == DensityCell.model_validate_json(json.dumps(job.settings())).model_dump(mode="json")
    assert "data/prepared/digits/train_images.npy" in job.inputs
    assert resume._planned(study, cell.format("vae-L9-k5")) is None


# A tar from outside


@pytest.mark.parametrize(
    "name",
    [
        "/etc/cron.d/x.npz",
        ".relatent/work/../../outside.npz",
        ".relatent/work/0123456789abcdef0123456789abcdeg/x.npz",
        ".relatent/work/0123456789abcdef0123456789abcdef/../x.npz",
        ".relatent/work/0123456789abcdef0123456789abcdef/.hidden.npz",
        ".relatent/work/0123456789abcdef0123456789abcdef/finished.json",
        ".relatent/work/0123456789abcdef0123456789abcdef/lock",
        ".relatent/work/0123456789abcdef0123456789abcdef/x.pkl",
        ".relatent/work/0123456789abcdef0123456789abcdef/x.npy",
        ".relatent/work/0123456789abcdef0123456789abcdef/outputs/x.npz",
        ".relatent/work/0123456789abcdef0123456789abcdef/x y.npz",
        ".relatent/work/0123456789abcdef0123456789abcdef/x.npz\n",
        "results/iwae/train_density/mnist/iwae-L1-k50/receipt.json",
    ],
)
def test_nothing_but_checkpoints_below_their_keys(packed, folders, name):
    """No finished work, which would need no training; no file that a loader would unpickle; no path out."""
    tar = write_tar(folders / "bad.tar", {**members(packed), name: b"x"})
    with pytest.raises(DataIntegrityError, match=r"does not lie below \.relatent/work/<key>/"):
        adopt_unfinished(tar)
    assert nothing_arrived()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_only_plain_files_are_taken(packed, folders, kind):
    """A link could point a later member anywhere."""
    link = tarfile.TarInfo(f"{next(iter(members(packed))).rpartition('/')[0]}/link.npz")
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(DataIntegrityError, match="is not a plain file"):
        adopt_unfinished(write_tar(folders / "bad.tar", members(packed), link))
    assert nothing_arrived()


def test_a_tar_has_bounds(packed, monkeypatch):
    """As for finished cells."""
    monkeypatch.setattr("relatent.bridge.tars.MAX_FILES", 2)
    with pytest.raises(DataIntegrityError, match="is one too many"):
        adopt_unfinished(packed)
    assert nothing_arrived()


def forged(packed: Path, folders: Path, name: str, content: bytes | None, *, listed: bool = False) -> Path:
    """The tar with one file changed, added or left out; with `listed` the manifest says so too."""
    files = members(packed)
    folder = next(iter(files)).rpartition("/")[0]
    files[f"{folder}/{name}"] = content
    files = {path: content for path, content in files.items() if content is not None}
    if listed:
        (folders / "one").write_bytes(content)
        manifest = json.loads(files[f"{folder}/manifest.json"])
        others = [record for record in manifest["files"] if record["path"] != f"{folder}/{name}"]
        record = {"path": f"{folder}/{name}", "sha256": FileRecord.of(folders / "one").sha256, "size_bytes": 1}
        files[f"{folder}/manifest.json"] = canonical_json({"files": [*others, record]}).encode()
    return write_tar(folders / "forged.tar", files)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("seed0.safetensors", b"other", "is not what the manifest says"),
        ("seed0.safetensors", None, "is in the manifest but not in the tar"),
        ("seed1.safetensors", b"x", "is not in the manifest"),
        ("manifest.json", None, "is not there, so nothing can be checked"),
        ("manifest.json", b"[]", "is not a list of files"),
        ("manifest.json", b"[" * 100_000, "is not a list of files"),
        ("begun.json", None, "is in the manifest but not in the tar"),
    ],
)
def test_every_file_is_in_the_manifest_with_its_bytes(packed, folders, name, content, said):
    """A bit that fell over on the way is noticed before it becomes a result."""
    with pytest.raises(DataIntegrityError, match=said):
        adopt_unfinished(forged(packed, folders, name, content))
    assert nothing_arrived()


def npz(**arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def deflated() -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, a=np.zeros(10**6))
    return content.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(name, content)
    return whole.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("parts.npz", npz(a=np.array([{}], dtype=object)), "pickled objects"),
        ("parts.npz", deflated(), "unpacks to more than its size"),
        ("parts.npz", zipped("a.npy", b"\x80\x04K\x01."), "not a checkpoint"),
        ("parts.npz", b"\x80\x04K\x01.", "not a checkpoint"),
        ("parts.npz", npz(a=np.zeros(100))[:300], "not a checkpoint"),
        ("seed0.safetensors", b"", "not a checkpoint"),
        ("seed0.safetensors", (2**60).to_bytes(8, "little") + b"{}", "header is larger than the file"),
        ("seed0.safetensors", (2).to_bytes(8, "little") + b"[]", "not a checkpoint"),
        (
            "seed0.safetensors",
            (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(60),
            "a tensor lies outside the file",
        ),
        ("begun.json", b"{}", "not a description of unfinished work"),
        ("begun.json", b"[" * 100_000, "not a description of unfinished work"),
        ("begun.json", b"\xff", "not readable as JSON"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(packed, folders, name, content, said):
    """Even if the manifest vouches for it: whoever wrote the one wrote the other."""
    with pytest.raises(DataIntegrityError, match=said):
        adopt_unfinished(forged(packed, folders, name, content, listed=True))
    assert nothing_arrived()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key_parts": {"settings": {}}}, "or one of other work than its folder's"),
        ({"function": "/etc/passwd"}, "does not say for which cell"),
        ({"function": "relatent./etc/passwd"}, "does not say for which cell"),
        ({"receipt": "results/iwae/../../x/receipt.json"}, "does not say for which cell"),
        ({"receipt": "results/iwae/train_density/$(reboot)/receipt.json"}, "does not say for which cell"),
        ({"receipt": 7}, "not a whole description"),
        ({"environment": None}, "not a whole description"),
        ({"inputs": {"/etc/passwd": "0"}}, "not a whole description"),
        ({"commit": ["HEAD"]}, "not a whole description"),
    ],
)
def test_a_description_that_is_not_of_its_work_is_refused(packed, folders, changes, said):
    """Its words go to Snakemake, to the code digest and to the screen."""
    (name,) = (name for name in members(packed) if name.endswith("begun.json"))
    content = canonical_json({**json.loads(members(packed)[name]), **changes}).encode()
    with pytest.raises(DataIntegrityError, match=said):
        adopt_unfinished(forged(packed, folders, "begun.json", content, listed=True))
    assert nothing_arrived()


def test_a_description_names_its_folder_by_what_it_says(folders):
    """A key is the digest of what the description says, so neither can be passed off for another's."""
    work = begin()
    begun = Begun.read(work.folder)
    assert work.folder.name == digest_of(begun.key_parts)[:32]
    other = replace(begun, key_parts={**begun.key_parts, "threads": 2})
    (work.folder / "begun.json").write_text(other.text())
    with pytest.raises(DataIntegrityError, match="other work than its folder's"):
        Begun.read(work.folder)


def test_two_studies_do_not_share_a_tar(packed, folders):
    """As for finished cells."""
    files = members(packed)
    (folder,) = {name.rpartition("/")[0] for name in files}
    begun = json.loads(files[f"{folder}/begun.json"])
    begun["receipt"] = begun["receipt"].replace("/iwae/", "/dcgan/")
    begun["key_parts"]["threads"] = 2
    other = f".relatent/work/{key_of(begun['key_parts'])}"
    added = {"begun.json": canonical_json(begun).encode(), "x.npz": npz(a=np.zeros(2))}
    records = []
    for name, content in added.items():
        (folders / "one").write_bytes(content)
        records.append({"path": f"{other}/{name}", "sha256": FileRecord.of(folders / "one").sha256})
        files[f"{other}/{name}"] = content
    files[f"{other}/manifest.json"] = canonical_json({"files": records}).encode()
    with pytest.raises(DataIntegrityError, match="holds work of 2 studies"):
        adopt_unfinished(write_tar(folders / "two.tar", files))
    assert nothing_arrived()


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b compressed"])
def test_what_is_no_tar_is_not_taken_for_one(tmp_path, content):
    """The command then reads it as one of finished cells, and says what is wrong with it."""
    (tmp_path / "x.tar").write_bytes(content)
    assert not holds_unfinished(tmp_path / "x.tar")
    assert not holds_unfinished(tmp_path / "nowhere.tar")


def test_checkpoints_say_how_far_they_are(tmp_path):
    """Each kind in its own words: what is further is not overwritten by what is less far."""
    for name, content, progress in (
        ("gan.safetensors", save({"w": np.zeros(2)}, {"counters": '{"step": 7}'}), (7, "steps")),
        ("autoencoder.safetensors", save({"w": np.zeros(2), "epochs_done": np.array(3)}), (3, "epochs")),
        ("nearest.safetensors", save({"seen": np.array(500)}), (500, "samples")),
        ("weights.safetensors", save({"w": np.zeros(2)}), None),
        ("parts.npz", npz(a=np.zeros((2, 3)), b=np.zeros(4)), (10, "numbers")),
    ):
        (tmp_path / name).write_bytes(content)
        assert read_progress(tmp_path / name) == progress
