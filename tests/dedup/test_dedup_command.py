"""The command: from prepared arrays to the kept index, the same bytes each time, clear refusals."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from relatent.cli.dedup import OUTPUTS, main
from relatent.cli.job import run
from relatent.config.base import checked
from relatent.config.dedup import DedupSection, DedupSettings
from relatent.errors import ConfigError
from relatent.ledger.files import sha256_of
from relatent.ledger.receipts import FileRecord, Receipt, check_outputs, write_receipt

SUFFIX = {"autoencoder": "safetensors", "codes": "npy", "kept": "npy", "metrics": "json", "contact_sheet": "png"}
SETTINGS = {"epochs": 3, "planted": {"copies": 40}, "ablation_radii": [0, 3]}


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A study's folder with 200 digits at 16x16, ten of them twice, and a test split that holds five of them."""
    from sklearn.datasets import load_digits

    monkeypatch.chdir(tmp_path)
    digits = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[:, None].repeat(2, 2).repeat(2, 3)
    train = np.concatenate([digits[:200], digits[20:30]])
    save(train, digits[[900, 901, 902, 5, 6, 7, 8, 9]])
    return train


def save(train, test):
    folder = Path("data/prepared/small")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{split}_images.npy" for split in ("train", "test")]
    for path, images in zip(paths, (train, test), strict=True):
        np.save(path, images)
    records = [FileRecord.of(path) for path in paths]
    write_receipt(folder / "receipt.json", Receipt("prepare", "-", "small", {}, "", "", (), records))


def arguments(folder="out", settings=SETTINGS, **more):
    names = [part for name in OUTPUTS for part in (f"--{name.replace('_', '-')}", output(folder, name))]
    prepared = "data/prepared/small"
    images = ["--train-images", f"{prepared}/train_images.npy", "--test-images", f"{prepared}/test_images.npy"]
    job = ["--cell", "small", "--receipts", f"{prepared}/receipt.json", "--receipt", f"{folder}/receipt.json"]
    extra = [part for name, value in more.items() for part in (f"--{name}", value)]
    return [*images, *job, "--settings", json.dumps(settings), *extra, *map(str, names)]


def output(folder, name):
    return Path(folder) / f"{name}.{SUFFIX.get(name, 'csv')}"


def test_copies_are_left_out_and_leaks_counted(prepared):
    """The ten repeated images have equal codes whatever the network; so have the five test images."""
    assert run(main, arguments()) == 0
    kept, codes = np.load(output("out", "kept")), np.load(output("out", "codes"))
    assert kept.dtype == np.int64 and (np.diff(kept) > 0).all()
    assert codes.shape == (210, 2) and codes.dtype == np.uint64
    assert not set(range(200, 210)) & set(kept.tolist())
    rows = [tuple(map(int, line.split(","))) for line in output("out", "clusters").read_text().splitlines()[1:]]
    assert {(20 + i, 20 + i, 1) for i in range(10)} | {(200 + i, 20 + i, 0) for i in range(10)} <= set(rows)
    assert {index for index, _, is_kept in rows if not is_kept} == set(range(210)) - set(kept.tolist())
    metrics = json.loads(output("out", "metrics").read_text())
    assert metrics["n_duplicates"]["value"] == 210 - len(kept)
    assert metrics["n_leaked"]["value"] >= 5 and metrics["leak_recall"]["n_pairs"] >= 5
    assert metrics["n_pixel_copies"]["n_images"] == 8
    assert output("out", "contact_sheet").stat().st_size < 300_000
    check_outputs(Path("out/receipt.json"))


def test_equal_work_gives_equal_bytes(prepared, monkeypatch):
    """Also with an empty scratch store, so that the second autoencoder is fitted anew."""
    assert run(main, arguments()) == 0
    monkeypatch.setenv("RELATENT_WORK", "elsewhere")
    assert run(main, arguments("again")) == 0
    for name in OUTPUTS:
        assert sha256_of(output("out", name)) == sha256_of(output("again", name)), name


def test_human_verdicts_are_counted_beside_the_judge(prepared):
    Path("verdicts.csv").write_text("a,b,same\n20,200,1\n21,201,1\n22,202,0\n")
    assert run(main, arguments(verdicts="verdicts.csv")) == 0
    human = json.loads(output("out", "metrics").read_text())["precision_human"]
    assert human["value"] == pytest.approx(2 / 3) and human["n_pairs"] == 3


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (np.zeros((4, 2, 16, 16), dtype=np.uint8), "images of 2 channels"),
        (np.zeros((4, 1, 16, 16), dtype=np.float32), "float32 \\(4, 1, 16, 16\\)"),
        (np.zeros((1, 1, 16, 16), dtype=np.uint8), "1 image; two are needed"),
    ],
)
def test_images_that_cannot_be_compared_are_refused_in_one_line(prepared, capsys, train, said):
    save(train, np.zeros((2, 1, 16, 16), dtype=np.uint8))
    assert run(main, arguments()) == 1
    error = capsys.readouterr().err
    assert re.search(said, error) and error.count("\n") == 1
    assert not Path("out/receipt.json").exists()


def test_test_images_of_another_size_are_refused(prepared, capsys):
    save(prepared, np.zeros((2, 1, 8, 8), dtype=np.uint8))
    assert run(main, arguments()) == 1
    assert "test_images.npy: images of (1, 8, 8), the train split has (1, 16, 16)" in capsys.readouterr().err


def test_a_damaged_array_is_refused(prepared, capsys):
    path = Path("data/prepared/small/train_images.npy")
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert run(main, arguments()) == 1
    assert "data/prepared/small/train_images.npy: sha256 is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"run": ["photos", "photos"]}, "run lists photos twice"),
        ({"run": ["photos"], "radius": 17}, "radius"),
        (
            {"run": ["photos"], "per_dataset": {"lsun": {"epochs": 1}}},
            "per_dataset names lsun, which run does not list",
        ),
        ({"run": ["photos"], "planted": {"jpeg": [0]}}, "jpeg 0 is outside 1 to 95"),
        ({"run": ["photos"], "ablation_radii": [2, 2]}, "lists a radius twice"),
        ({"run": ["photos"], "noise": 0.3}, "unknown key"),
    ],
)
def test_wrong_settings_are_one_line_that_names_the_key(values, said):
    with pytest.raises(ConfigError, match=said):
        checked(DedupSection, values, "study.yaml")


def test_a_dataset_may_differ_from_the_others():
    section = checked(DedupSection, {"run": ["a", "b"], "epochs": 5, "per_dataset": {"b": {"epochs": 9}}}, "study.yaml")
    assert section.cells() == ["a", "b"]
    assert [section.settings_of(cell).epochs for cell in "ab"] == [5, 9]
    assert checked(DedupSettings, json.loads(section.settings_of("a").model_dump_json()), "-") == section.settings_of(
        "a"
    )
