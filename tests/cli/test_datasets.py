"""fetch, prepare and check_data as a user and as the rules call them, on datasets made for the purpose."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from relatent.cli import check_data, fetch, fetch_dataset, prepare, prepare_dataset
from relatent.cli.job import run
from relatent.config.registry import load_registry
from relatent.data.fetch import Fetcher, Wanted
from relatent.errors import ConfigError
from relatent.ledger.receipts import check_outputs

# The faulty server stands beside the tests of the fetcher.
sys.path.append(str(Path(__file__).parents[1] / "data"))
import faulty_server as play

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
MIRROR = Path(os.environ.get("RELATENT_MIRROR", ".")).resolve()  # as this test run was given it


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty checkout: the registry, no data; no mirror."""
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data/registry.yaml", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for name in ("RELATENT_MIRROR", "RELATENT_REGISTRY", "RELATENT_WORK", "RELATENT_ACCEPT_TERMS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def toy(place: Path, monkeypatch, labels: np.ndarray | None = None, consent: str | None = None) -> None:
    """A dataset of the user's own, added by a registry entry alone; its file lies in a mirror."""
    images = RNG.integers(0, 256, (30, 8, 8), np.uint8)
    labels = np.arange(30) % 3 if labels is None else labels
    (place / "mirror/toy").mkdir(parents=True)
    np.savez(place / "mirror/toy/toy.npz", x=images, y=labels)
    sha256 = hashlib.sha256((place / "mirror/toy/toy.npz").read_bytes()).hexdigest()
    part = {"format": "npz", "file": "toy.npz", "images": "x", "labels": "y", "n_images": 30}
    entry = {
        "title": "a toy",
        "citation": "nobody",
        "terms": {"licence": "CC0", "source": "here", "consent": consent},
        "files": [{"name": "toy.npz", "sha256": sha256, "urls": ["http://127.0.0.1:1/toy.npz"]}],
        "prepare": {
            "shape": [1, 8, 8],
            "classes": ["a", "b", "c"],
            "notes": "none",
            "parts": {"all": {**part, "shuffle": {"kind": "stream", "seed": 1}}},
            "splits": {"train": {"part": "all", "stop": 20}, "test": {"part": "all", "start": 20}},
        },
    }
    (place / "mine.yaml").write_text(yaml.safe_dump({"datasets": {"toy": entry}}))
    monkeypatch.setenv("RELATENT_REGISTRY", "mine.yaml")
    monkeypatch.setenv("RELATENT_MIRROR", str(place / "mirror"))


def test_a_dataset_of_the_user_s_needs_an_entry_alone(place, monkeypatch, capsys):
    """Fetched from the mirror, prepared, checked; every file proven by a receipt."""
    toy(place, monkeypatch)
    assert run(prepare.main, ["toy"]) == 0
    assert "data/prepared/toy: 1×8×8 uint8, train 20, test 10" in capsys.readouterr().out
    for receipt in ("raw/toy/receipt.json", "prepared/toy/receipt.json", "prepared/toy/checks.receipt.json"):
        check_outputs(Path("data", receipt))
    assert not list(Path(".relatent/work").glob("*/*_images*"))  # no scratch is left behind


def test_prepared_twice_gives_the_same_bytes(place, monkeypatch):
    """Receipts included: equal work, equal bytes."""
    toy(place, monkeypatch)
    run(prepare.main, ["toy"])
    first = {path: path.read_bytes() for path in Path("data/prepared").rglob("*") if path.is_file()}
    shutil.rmtree("data/prepared")
    run(prepare.main, ["toy"])
    assert {path: path.read_bytes() for path in Path("data/prepared").rglob("*") if path.is_file()} == first


def test_checks_count_duplicates_within_and_across_splits(place, monkeypatch):
    """Planted: an exact copy in train, one of train in test, and a brighter copy of a train image in test."""
    toy(place, monkeypatch)
    run(prepare.main, ["toy"])
    folder = Path("data/prepared/toy")
    train, test = np.load(folder / "train_images.npy") // 2, np.load(folder / "test_images.npy") // 2
    train[5], test[0], test[1] = train[4], train[7], train[8] + 20
    np.save(folder / "train_images.npy", train)
    np.save(folder / "test_images.npy", test)
    receipt = json.loads((folder / "receipt.json").read_text())
    for record in receipt["outputs"]:
        record["sha256"] = hashlib.sha256(Path(record["path"]).read_bytes()).hexdigest()
    (folder / "receipt.json").write_text(json.dumps(receipt))
    registry = load_registry()
    assert run(check_data.main, prepare.check_arguments(registry, "toy")) == 0
    checks = {name: entry["value"] for name, entry in json.loads((folder / "checks.json").read_text()).items()}
    assert checks["duplicates_train"] == 1
    assert checks["duplicates_test_in_train"] == 1
    assert checks["near_duplicates_test_in_train"] == 2
    assert checks["inconsistent_labels_train"] in (0, 1)
    assert checks["n_train"] == 20
    assert checks["mean_train"] == pytest.approx(train.mean() / 255)
    assert sum(checks["labels_train"]) == 20
    assert len(checks["test_binarisation"]) == 64


def test_a_flipped_bit_in_a_raw_file_is_refused(place, monkeypatch, capsys):
    """The receipt of the fetch says what was fetched."""
    toy(place, monkeypatch)
    run(fetch.main, ["toy"])
    path = Path("data/raw/toy/toy.npz")
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.unlink()
    path.write_bytes(content)
    assert run(prepare.main, ["toy"]) == 1
    assert "data/raw/toy/toy.npz: sha256 is" in capsys.readouterr().err


def test_a_label_outside_the_classes_is_refused_by_name(place, monkeypatch, capsys):
    toy(place, monkeypatch, labels=np.array([0, 1, 2] * 9 + [0, 11, 2]))
    assert run(prepare.main, ["toy"]) == 1
    assert "toy: all: label 11 at image 28 is outside 0..2" in capsys.readouterr().err


def test_offline_every_missing_file_is_named_and_the_exit_is_3(place, monkeypatch):
    """As a program: no traceback; each file with its URL, size, checksum, and where to put it."""
    toy(place, monkeypatch)
    shutil.rmtree("mirror")
    done = subprocess.run([sys.executable, "-m", "relatent.cli.fetch", "toy"], capture_output=True, text=True)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    for part in (
        "data/raw/toy/toy.npz",
        "http://127.0.0.1:1/toy.npz",
        "sha256",
        "FOLDER/toy/toy.npz",
        "RELATENT_MIRROR=",
    ):
        assert part in done.stderr
    assert not Path("data/raw/toy/toy.npz").exists()


def test_an_interrupted_fetch_ends_at_once_and_keeps_what_came(place, monkeypatch):
    """Ctrl-C: exit 130, no traceback, no file under its name; the next run goes on behind the bytes that came."""
    toy(place, monkeypatch)
    content = Path("mirror/toy/toy.npz").read_bytes()
    shutil.rmtree("mirror")
    with play.serving({"/toy.npz": content}, [play.drips(10_000, 0.05)]) as server:
        entry = Path("mine.yaml").read_text().replace("http://127.0.0.1:1/toy.npz", server.url("/toy.npz"))
        Path("mine.yaml").write_text(entry)
        command = [sys.executable, "-m", "relatent.cli.fetch", "toy"]
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )
        deadline = time.monotonic() + 120  # a busy machine takes its time to import
        while time.monotonic() < deadline and not server.requests:
            time.sleep(0.01)
        time.sleep(1)  # some twenty of the 2,000 bytes come; the whole would take two minutes
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=20)[1]
        assert process.returncode == 130
        assert "run it again to go on where it stopped" in message
        assert "Traceback" not in message
        assert not Path("data/raw/toy/toy.npz").exists()
        assert run(fetch.main, ["toy"]) == 0
        assert server.requests[-1][1] is not None  # a range, not the whole file
    assert Path("data/raw/toy/toy.npz").read_bytes() == content


def test_an_interrupt_between_two_transfers_waits_for_neither(place, monkeypatch):
    """Ctrl-C may fall while the second file is handed to a thread and the first one's bytes are coming."""
    toy(place, monkeypatch)
    monkeypatch.delenv("RELATENT_MIRROR")
    content = Path("mirror/toy/toy.npz").read_bytes()
    with play.serving({"/toy.npz": content}, [play.drips(10_000, 0.05)]) as server:

        class InterruptedPool(ThreadPoolExecutor):
            def submit(self, *work):
                if server.requests:
                    raise KeyboardInterrupt
                future = super().submit(*work)
                while not server.requests:
                    time.sleep(0.01)
                return future

        monkeypatch.setattr(fetch_dataset, "ThreadPoolExecutor", InterruptedPool)
        sha256 = hashlib.sha256(content).hexdigest()
        wanted = [Wanted(name, len(content), sha256, None, [server.url("/toy.npz")], name) for name in ("a", "b")]
        with pytest.raises(KeyboardInterrupt):
            fetch_dataset.fetch_all("toy", wanted, place / "data/raw/toy")
    partial = Fetcher().kept(wanted[0]).with_name(f"{sha256}.part")
    assert not partial.exists() or partial.stat().st_size < len(content)
    assert not any(Path("data/raw/toy").iterdir())


def test_the_plan_downloads_nothing(place, monkeypatch, capsys):
    """URL, bytes, and what is there already."""
    toy(place, monkeypatch)
    assert run(fetch.main, ["--plan", "mnist", "digits", "toy", "lsun_bedroom"]) == 0
    shown = capsys.readouterr().out
    assert "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz" in shown
    assert "9,912,422 bytes  to download" in shown
    assert "comes with sklearn" in shown
    assert "in the mirror" in shown
    assert "to download: 45,934,332,402 of" in shown
    assert not Path("data/raw").exists()


def test_terms_are_shown_once_and_never_agreed_to_silently(place, monkeypatch, capsys):
    """Without the user's word nothing is fetched; with it, the answer is kept and not asked for again."""
    toy(place, monkeypatch, consent="You may only use it on Tuesdays.")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(fetch.main, ["toy"]) == 2
    assert "only use it on Tuesdays" in capsys.readouterr().err
    assert not Path("data/raw/toy/toy.npz").exists()
    assert run(fetch.main, ["toy", "--accept-terms"]) == 0
    shutil.rmtree("data/raw")
    assert run(fetch.main, ["toy"]) == 0
    assert "Tuesdays" not in capsys.readouterr().err.splitlines()[-1]


def test_the_job_refuses_without_consent_too(place, monkeypatch):
    """A rule must not do silently what the command asks for; an environment variable names the datasets agreed to."""
    toy(place, monkeypatch, consent="Only on Tuesdays.")
    arguments = fetch.job_arguments(load_registry(), "toy")
    with pytest.raises(ConfigError, match="--accept-terms"):
        fetch_dataset.main(arguments)
    monkeypatch.setenv("RELATENT_ACCEPT_TERMS", "mnist,toy")
    fetch_dataset.main(arguments)


def test_a_folder_of_images_becomes_a_dataset(place, capsys):
    """By class sub-folders; the broken file is left out, counted and named."""
    from PIL import Image

    for index in range(200):
        path = place / "pets" / ("cat" if index % 2 else "dog") / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    (place / "pets/cat/101.png").write_bytes(b"broken")
    assert run(prepare.main, [f"folder:{place / 'pets'}", "--size", "16", "--workers", "1"]) == 0
    assert "1 unreadable images left out" in capsys.readouterr().out
    manifest = json.loads(Path("data/prepared/pets/manifest.json").read_text())
    assert manifest["classes"] == ["cat", "dog"]
    names = (Path("data/prepared/pets/train_names.txt")).read_text().splitlines()
    labels = np.load("data/prepared/pets/train_labels.npy")
    assert [name.split("/")[0] for name in names] == [manifest["classes"][label] for label in labels]
    assert sum(entry["n"] for entry in manifest["splits"].values()) == 199
    assert "cat/101.png" not in names
    assert load_registry()["pets"].prepare.classes == "folders"
    before = Path("data/prepared/pets/train_images.npy").read_bytes()
    shutil.rmtree("data/prepared")
    shutil.rmtree(place / "pets")  # decoding took long, so its outputs are kept in the scratch store
    assert run(prepare.main, ["pets", "--workers", "1"]) == 0
    assert Path("data/prepared/pets/train_images.npy").read_bytes() == before


def folder_of_images(place: Path, name: str) -> str:
    from PIL import Image

    for index in range(20):
        path = place / name / ("cat" if index % 2 else "dog") / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    return f"folder:{place / name}"


@pytest.mark.parametrize("name", ["img_align_celeba", "ILSVRC2012"])
def test_a_folder_of_a_set_with_terms_needs_consent(place, monkeypatch, capsys, name):
    """CelebA and ImageNet come as folders; their terms are the same whoever copied them."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    folder = folder_of_images(place, name)
    assert run(fetch.main, [folder]) == 2
    assert "non-commercial research" in capsys.readouterr().err
    assert not list(Path("data").glob("raw/*/listing.tsv"))
    assert run(fetch.main, [folder, "--accept-terms"]) == 0
    assert load_registry()[name.lower()].terms.redistribution is False


def test_a_folder_entered_twice_keeps_what_the_user_wrote(place, capsys):
    """Comments and entries of the user's own stay; another size for the same name is refused, not ignored."""
    assert run(fetch.main, [folder_of_images(place, "pets"), "--size", "16"]) == 0
    mine = Path("data/registry.local.yaml").read_text().replace("0.9", "0.8") + "# mine\n"
    Path("data/registry.local.yaml").write_text(mine)
    assert run(fetch.main, [folder_of_images(place, "more"), "--size", "16"]) == 0
    assert Path("data/registry.local.yaml").read_text().startswith(mine)
    assert {"pets", "more"} <= set(load_registry().names())
    assert run(fetch.main, [f"folder:{place / 'pets'}", "--size", "32"]) == 2
    assert "entered in data/registry.local.yaml with images of 16 pixels" in capsys.readouterr().err


def test_a_folder_that_cannot_become_a_dataset_is_not_entered(place, capsys):
    """It is looked at first; and no images have no pixels, nor are they taken for the 64 of the default."""
    empty = place / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no image")
    assert run(fetch.main, [f"folder:{empty}"]) == 3
    assert f"{empty}: holds no image (.jpeg, .jpg, .png, .webp); nothing was entered" in capsys.readouterr().err
    folder = folder_of_images(place, "pets")
    for size in ("0", "-8", "large"):
        with pytest.raises(SystemExit) as refused:
            fetch.main([folder, "--size", size])
        assert refused.value.code == 2
        assert f"{size} is no side of an image; give 1 pixel or more" in capsys.readouterr().err
    assert not Path("data/registry.local.yaml").exists()


@pytest.mark.parametrize("name", ["2020 faces", "写真"])
def test_a_folder_whose_name_can_be_none_of_a_dataset_s_is_refused_before_it_is_entered(place, capsys, name):
    folder = folder_of_images(place, name)
    assert run(fetch.main, [folder]) == 2
    assert "give one with --name" in capsys.readouterr().err
    assert not Path("data/registry.local.yaml").exists()
    assert run(fetch.main, [folder, "--name", "faces"]) == 0
    assert "faces" in load_registry().names()


def test_the_plan_says_what_is_not_known(place, monkeypatch, capsys):
    """A file of unknown size has its URL; one of another size is not *there*; a mirror by URL is named first."""
    monkeypatch.setenv("RELATENT_MIRROR", "http://mirror.invalid/sets")
    Path("data/raw/mnist").mkdir(parents=True)
    Path("data/raw/mnist/t10k-labels-idx1-ubyte.gz").write_bytes(b"half")
    assert run(fetch.main, ["--plan", "omniglot", "mnist", "svhn"]) == 0
    shown = capsys.readouterr().out
    assert "http://mirror.invalid/sets/omniglot/chardata.mat\n    https://raw.githubusercontent.com/yburda" in shown
    assert "there, but of another size: to download" in shown
    assert "needs your consent: SVHN may be used for non-commercial purposes only." in shown
    assert "and 1 of unknown size" in shown


def test_sets_that_may_not_be_passed_on_are_never_pushed(place, monkeypatch):
    """By terms that need consent, or that say so."""
    from relatent.bridge.render import private_datasets

    assert private_datasets() == {"svhn", "lsun_bedroom"}


MISTAKES = {
    "no checksum": (lambda e: e["files"][0].pop("sha256"), "give the published sha256 or md5"),
    "a short checksum": (lambda e: e["files"][0].update(sha256="abc"), "files.0.sha256"),
    "no source": (lambda e: e["files"][0].update(urls=[]), "give at least one URL"),
    "a file: URL": (lambda e: e["files"][0].update(urls=["file:///etc/passwd"]), "must start with http"),
    "a path for a name": (lambda e: e["files"][0].update(name="../x"), "files.0.name"),
    "a mirror path that climbs": (lambda e: e["files"][0].update(mirror="../../x"), "without .."),
    "an unknown key": (lambda e: e.update(colour="red"), "colour: unknown key"),
    "an unknown format": (lambda e: e["prepare"]["parts"]["all"].update(format="pickle"), "'pickle'"),
    "an unknown part": (lambda e: e["prepare"]["splits"]["train"].update(part="other"), "no part 'other'"),
    "an unknown split": (lambda e: e["prepare"]["splits"].update(tset={"part": "all"}), "tset"),
    "no terms": (lambda e: e.pop("terms"), "terms are missing"),
    "neither files nor raw_of": (lambda e: e.update(files=[]), "give one of files"),
    "a share the wrong way round": (
        lambda e: e["prepare"]["splits"].update(test={"part": "all", "share": [0.9, 0.1]}),
        "share must be two fractions",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_registry_entry_is_one_line_with_its_key_and_file(place, monkeypatch, mistake):
    toy(place, monkeypatch)
    change, reason = MISTAKES[mistake]
    values = yaml.safe_load(Path("mine.yaml").read_text())
    change(values["datasets"]["toy"])
    Path("mine.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError) as caught:
        load_registry()
    assert "mine.yaml: datasets.toy" in str(caught.value)
    assert reason in str(caught.value)


def test_a_dataset_cannot_be_defined_twice(place, monkeypatch):
    """The user's file must not silently replace what a study was published on."""
    values = yaml.safe_load(Path("data/registry.yaml").read_text())["datasets"]["mnist"]
    Path("mine.yaml").write_text(yaml.safe_dump({"datasets": {"mnist": values}}))
    monkeypatch.setenv("RELATENT_REGISTRY", "mine.yaml")
    with pytest.raises(ConfigError, match=r"mine.yaml: datasets.mnist: already defined in data/registry.yaml"):
        load_registry()


def test_every_shipped_file_is_pinned_sized_and_has_terms():
    """Sizes are published for all but one file; sha256 for all but that one too, which has an md5."""
    registry = load_registry([ROOT / "data/registry.yaml"])
    for name, entry in registry.datasets.items():
        for file in entry.files:
            assert (file.sha256 and file.size_bytes) or (file.name == "chardata.mat" and file.md5), (
                f"{name}/{file.name}"
            )
        assert entry.terms is not None or entry.raw_of is not None
        for part in entry.prepare.parts.values():
            assert part.n_images is not None or name == "lsun_bedroom"


@pytest.mark.mirror
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "binarized_mnist", "cifar10"])
def test_the_real_sets_prepare_to_the_pinned_arrays(place, monkeypatch, name):
    """Counts, labels and every pixel: the registry pins them, so a run that ends is right."""
    monkeypatch.setenv("RELATENT_MIRROR", str(MIRROR))
    assert run(fetch.main, [name]) == 0
    assert run(prepare_dataset.main, prepare.prepare_arguments(load_registry(), name, 1)) == 0
