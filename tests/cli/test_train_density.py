"""The command train_density: receipts, scratch, resume after SIGKILL, switches, seeds apart."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from relatent.cli import train_density
from relatent.cli.job import run
from relatent.config.density import DensitySection
from relatent.ledger.receipts import FileRecord, Receipt, read_receipt, write_receipt

OUTPUTS = ("model.safetensors", "optimiser.safetensors", "history.csv", "receipt.json")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a prepared dataset of 60 small images, and a scratch store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELATENT_WORK", str(tmp_path / "work"))
    images = Path("data/prepared/toy/train_images.npy")
    images.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 2, (3, 4, 4)) * 200 + 20
    np.save(images, prototypes[rng.integers(0, 3, 60)][:, None].astype(np.uint8))
    made_by = {"rule": "prepare", "command": "relatent.cli.prepare_dataset", "cell": "toy", "settings": {}}
    receipt = Receipt(**made_by, code="", environment="", inputs=[], outputs=[FileRecord.of(images)], seeds=())
    write_receipt(images.parent / "receipt.json", receipt)
    return tmp_path


def arguments(cell: str, folder: str, start: str | None = None, **section) -> list[str]:
    cells = DensitySection(run=[cell], adopted=["toy/vae-L1-k1"] if start else [], **{"epochs": 4, **section})
    words = ["--cell", cell, "--settings", cells.settings_of(cell).model_dump_json()]
    words += ["--images", "data/prepared/toy/train_images.npy", "--receipts", "data/prepared/toy/receipt.json"]
    words += [f"{start}/receipt.json"] if start else []
    for name in OUTPUTS:
        words += [f"--{name.partition('.')[0]}", f"{folder}/{name}"]
    return [*words, "--start", *([f"{start}/model.safetensors", f"{start}/optimiser.safetensors"] if start else [])]


def content(folder: str) -> dict[str, bytes]:
    return {name: Path(folder, name).read_bytes() for name in OUTPUTS[:3]}


def test_a_cell_is_trained_once_and_taken_back_from_scratch(place, monkeypatch):
    """Deleted outputs come back with the same bytes, without training."""
    assert run(train_density.main, arguments("toy/iwae-L2-k3", "out", seeds=[0, 1])) == 0
    first = content("out")
    receipt = read_receipt(Path("out/receipt.json"))
    assert (receipt.rule, receipt.cell, tuple(receipt.seeds)) == ("train_density", "toy/iwae-L2-k3", (0, 1))
    for name in OUTPUTS:
        Path("out", name).unlink()
    monkeypatch.setattr(train_density, "_train", lambda job: pytest.fail("trained again"))
    assert run(train_density.main, arguments("toy/iwae-L2-k3", "out", seeds=[0, 1])) == 0
    assert content("out") == first


def test_history_has_a_row_per_seed_and_epoch(place):
    """With the bound in full, and the schedule's stage and rate."""
    run(train_density.main, arguments("toy/vae-L1-k5", "out", seeds=[4, 2]))
    lines = Path("out/history.csv").read_text().splitlines()
    assert lines[0] == "seed,stage,epoch,learning_rate,train_bound_nats"
    assert [line.split(",")[:3] for line in lines[1:]] == [
        [seed, *row] for seed in ("4", "2") for row in (["0", "1"], ["1", "2"], ["1", "3"], ["1", "4"])
    ]
    assert all(float(line.split(",")[4]) < 0 for line in lines[1:])


def test_a_seeds_bytes_do_not_depend_on_the_other_seeds(place):
    """Seed 2 alone, and as the second of three."""
    from safetensors.numpy import load_file

    run(train_density.main, arguments("toy/iwae-L1-k3", "alone", seeds=[2]))
    run(train_density.main, arguments("toy/iwae-L1-k3", "among", seeds=[0, 2, 1]))
    alone, among = load_file("alone/model.safetensors"), load_file("among/model.safetensors")
    assert all(np.array_equal(value, among[name]) for name, value in alone.items())
    rows = Path("among/history.csv").read_text().splitlines()
    assert [row for row in rows if row.startswith("2,")] == Path("alone/history.csv").read_text().splitlines()[1:]


def test_a_command_killed_by_sigkill_ends_in_the_same_bytes(place, monkeypatch):
    """Killed in the middle of its second seed, after a stage; run again, it goes on from there."""
    words = arguments("toy/iwae-L1-k3", "out", seeds=[0, 1], epochs=150)
    process = subprocess.Popen([sys.executable, "-m", "relatent.cli.train_density", *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(Path("work").glob("*/seed1.safetensors")) and time.monotonic() < deadline:
        assert process.poll() is None, "the command was over before it was killed; make it longer"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path("out/model.safetensors").exists()
    assert run(train_density.main, words) == 0
    killed = content("out")
    monkeypatch.setenv("RELATENT_WORK", "fresh")
    assert run(train_density.main, arguments("toy/iwae-L1-k3", "out", seeds=[0, 1], epochs=150)) == 0
    assert content("out") == killed


def test_a_switch_goes_on_from_another_cells_files(place):
    """Its receipt names them, its history goes on, and a seed that the first cell lacks is refused."""
    run(train_density.main, arguments("toy/vae-L1-k1", "first", seeds=[0]))
    words = arguments("toy/vae-L1-k1-to-iwae-k3", "second", start="first", seeds=[0])
    assert run(train_density.main, words) == 0
    inputs = {record.path for record in read_receipt(Path("second/receipt.json")).inputs}
    assert {"first/model.safetensors", "first/optimiser.safetensors"} <= inputs
    epochs = [line.split(",")[1:3] for line in Path("second/history.csv").read_text().splitlines()[1:]]
    assert epochs == [["2", "5"], ["2", "6"], ["2", "7"]]


def test_mistakes_are_one_line(place, capsys):
    """A forged input, a missing seed, a batch larger than the set, settings of no kind."""
    run(train_density.main, arguments("toy/vae-L1-k1", "first", seeds=[0]))
    capsys.readouterr()
    words = arguments("toy/vae-L1-k1-to-iwae-k3", "second", start="first", seeds=[7])
    assert run(train_density.main, words) == 1
    assert "was not trained with seed 7" in capsys.readouterr().err
    assert run(train_density.main, arguments("toy/vae-L1-k1", "out", batch_size=61)) == 2
    assert "batch_size is 61, the training split has 60 images" in capsys.readouterr().err
    wrong = arguments("toy/vae-L1-k1", "out")
    wrong[3] = json.dumps({**json.loads(wrong[3]), "k": 0})
    assert run(train_density.main, wrong) == 2
    assert "--settings: k: " in capsys.readouterr().err
    wrong[3] = json.dumps({**json.loads(wrong[3]), "k": 5, "estimator": "dreg"})
    assert run(train_density.main, wrong) == 2
    assert "--settings: (top level): DReG of the VAE's bound is STL" in capsys.readouterr().err
    images = Path("data/prepared/toy/train_images.npy")
    images.write_bytes(images.read_bytes()[:-1] + b"\x01")
    assert run(train_density.main, arguments("toy/vae-L1-k1", "out")) == 1
    assert "train_images.npy" in capsys.readouterr().err


def test_a_start_of_another_model_is_one_line(place, capsys):
    """Its files, the tensor and both shapes; or how many files there should be."""
    run(train_density.main, arguments("toy/vae-L1-k1", "first", seeds=[0]))
    words = arguments("toy/vae-L1-k1-to-iwae-k3", "second", start="first", seeds=[0])
    settings = json.loads(words[3])
    capsys.readouterr()
    words[3] = json.dumps({**settings, "layers": 2})
    assert run(train_density.main, words) == 1
    assert capsys.readouterr().err.endswith(
        "first/model.safetensors and first/optimiser.safetensors: tensor q_z1_given_x.mean.weight is of shape "
        "(50, 200) there, (100, 200) in this run's model; go on from a model with the same layers, latents and image "
        "size, or start afresh without it\n"
    )
    words[3] = json.dumps(settings)
    assert run(train_density.main, words[:-1]) == 2
    assert "--start names 1 files; give model.safetensors and optimiser.safetensors" in capsys.readouterr().err
    words[3] = json.dumps({**settings, "switched": False})
    assert run(train_density.main, words) == 2
    assert "--start names 2 files" in capsys.readouterr().err


def test_the_validation_split_is_trained_on_where_the_study_says_so(place, capsys):
    """Ten more images are one more step an epoch; a file too few is refused."""
    from safetensors.numpy import load_file

    validation = Path("data/prepared/toy/validation_images.npy")
    np.save(validation, np.load("data/prepared/toy/train_images.npy")[:20])
    receipt = read_receipt(validation.parent / "receipt.json")
    outputs = [*receipt.outputs, FileRecord.of(validation)]
    write_receipt(validation.parent / "receipt.json", dataclasses.replace(receipt, outputs=outputs))
    words = arguments("toy/vae-L1-k1", "out", with_validation=True, seeds=[0])
    assert run(train_density.main, words) == 2
    assert "--images names 1 files" in capsys.readouterr().err
    words.insert(words.index("--receipts"), str(validation))
    assert run(train_density.main, words) == 0
    assert load_file("out/optimiser.safetensors")["seed0.step"] == 4 * (60 + 20) // 20
