"""Each known format becomes a dataset by a registry entry alone: fetched from a mirror, prepared, proven."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from relatent.cli import prepare
from relatent.cli.job import run
from relatent.ledger.receipts import check_outputs

# The makers of small files stand beside the tests of the readers.
sys.path.append(str(Path(__file__).parents[1] / "data"))
import made

RNG = np.random.default_rng(0)
LABELS = np.arange(12, dtype=np.uint8) % 3


def idx(folder: Path) -> dict:
    images = RNG.integers(0, 256, (12, 8, 8), np.uint8)
    (folder / "x.gz").write_bytes(made.gz(made.idx(images)))
    (folder / "y.gz").write_bytes(made.gz(made.idx(LABELS)))
    return {"shape": [1, 8, 8], "part": {"images": "x.gz", "labels": "y.gz"}, "expected": images[:, None]}


def mat(folder: Path) -> dict:
    images = RNG.integers(0, 256, (8, 8, 3, 12), np.uint8)
    made.mat({"X": images, "y": np.where(LABELS == 0, 10, LABELS)[:, None]}, folder / "x.mat")
    part = {"file": "x.mat", "images": "X", "labels": "y", "axes": "height width channel", "label_of_zero": 10}
    return {"shape": [3, 8, 8], "part": part, "expected": images.transpose(3, 2, 0, 1)}


def cifar_binary(folder: Path) -> dict:
    images = RNG.integers(0, 256, (12, 3, 32, 32), np.uint8)
    records = np.concatenate([LABELS[:, None], images.reshape(12, -1)], 1).astype(np.uint8)
    (folder / "x.tar.gz").write_bytes(made.tarred({"b/one.bin": records.tobytes()}))
    return {"shape": [3, 32, 32], "part": {"archive": "x.tar.gz", "members": ["b/one.bin"]}, "expected": images}


def npz(folder: Path) -> dict:
    images = RNG.integers(0, 256, (12, 8, 8, 3), np.uint8)
    np.savez(folder / "x.npz", a=images, b=LABELS)
    part = {"file": "x.npz", "images": "a", "labels": "b"}
    return {"shape": [3, 8, 8], "part": part, "expected": images.transpose(0, 3, 1, 2)}


def amat(folder: Path) -> dict:
    images = RNG.integers(0, 2, (12, 64), np.uint8)
    (folder / "x.amat").write_bytes(made.amat(images))
    return {
        "shape": [1, 8, 8],
        "part": {"file": "x.amat"},
        "expected": images.reshape(12, 1, 8, 8) * 255,
        "labels": False,
    }


def lmdb(folder: Path) -> dict:
    library = pytest.importorskip("lmdb")
    from relatent.data.images import small_image

    images = [made.encoded(made.photograph(seed=index), "WEBP") for index in range(12)]
    with (
        library.open(str(folder / "db"), subdir=False, map_size=1 << 24) as database,
        database.begin(write=True) as put,
    ):
        for index, content in enumerate(images):
            put.put(f"{index:03}".encode(), content)
    (folder / "x.zip").write_bytes(made.zipped({"bedroom/data.mdb": (folder / "db").read_bytes()}))
    for path in folder.glob("db*"):
        path.unlink()
    part = {"file": "x.zip", "member": "bedroom/data.mdb", "size": 16}
    expected = np.stack([small_image(content, 16) for content in images])
    return {"shape": [3, 16, 16], "part": part, "expected": expected, "labels": False}


@pytest.mark.parametrize("make", [idx, mat, cifar_binary, npz, amat, lmdb], ids=lambda make: make.__name__)
def test_a_known_format_needs_an_entry_alone(tmp_path, monkeypatch, make):
    """Pixels, labels and splits come out as they went in; shuffled, and cut into train and test."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mirror" / "mine"
    folder.mkdir(parents=True)
    given = make(folder)
    files = [
        {
            "name": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "urls": ["http://127.0.0.1:1/"],
        }
        for path in sorted(folder.iterdir())
    ]
    labelled = given.get("labels", True)
    recipe = {
        "shape": given["shape"],
        "notes": "none",
        "parts": {"all": {"format": make.__name__, **given["part"], "shuffle": {"kind": "stream", "seed": 3}}},
        "splits": {"train": {"part": "all", "stop": 8}, "test": {"part": "all", "start": 8}},
        **({"classes": ["a", "b", "c"]} if labelled else {}),
    }
    terms = {"licence": "CC0", "source": "here"}
    entry = {"title": "t", "citation": "c", "terms": terms, "files": files, "prepare": recipe}
    (tmp_path / "data").mkdir()
    (tmp_path / "data/registry.yaml").write_text(yaml.safe_dump({"datasets": {"mine": entry}}))
    monkeypatch.setenv("RELATENT_MIRROR", str(tmp_path / "mirror"))
    assert run(prepare.main, ["mine", "--workers", "1"]) == 0
    check_outputs(Path("data/prepared/mine/receipt.json"))
    prepared = Path("data/prepared/mine")
    images = np.concatenate([np.load(prepared / f"{split}_images.npy") for split in ("train", "test")])
    order = [int(np.flatnonzero((given["expected"] == image).all(axis=(1, 2, 3)))[0]) for image in images]
    assert sorted(order) == list(range(12))
    assert order != list(range(12))
    if labelled:
        labels = np.concatenate([np.load(prepared / f"{split}_labels.npy") for split in ("train", "test")])
        np.testing.assert_array_equal(labels, LABELS[order])
    assert not list(Path(".relatent/work").rglob("*.partial"))
