"""Hours of training on two machines: killed on one, packed, adopted on the other, ended there in the same bytes."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from relatent.bridge import resume
from relatent.cli import adopt, pack, train_density
from relatent.cli.job import run
from relatent.config.density import DensitySection
from relatent.ledger.jobs import PlannedJob
from relatent.ledger.receipts import FileRecord, Receipt, write_receipt
from relatent.training.density import Trainer

CELL = "toy/iwae-L1-k3"
FOLDER = f"results/s/train_density/{CELL}"
IMAGES = "data/prepared/toy/train_images.npy"
SECTION = DensitySection(run=[CELL], seeds=[0, 1], epochs=150)
WORDS = [
    *("--cell", CELL, "--settings", SECTION.settings_of(CELL).model_dump_json(), "--images", IMAGES),
    *("--receipts", "data/prepared/toy/receipt.json", "--receipt", f"{FOLDER}/receipt.json"),
    *("--model", f"{FOLDER}/model.safetensors", "--optimiser", f"{FOLDER}/optimiser.safetensors"),
    *("--history", f"{FOLDER}/history.csv"),
]


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """Folders `there`, `here` and `unbroken` with the same data of 60 small images; we are there."""
    monkeypatch.delenv("RELATENT_WORK", raising=False)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 1, 4, 4)).astype(np.uint8)
    for name in ("unbroken", "here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for place in ("workflow/Snakefile", "config/s.yaml", IMAGES):
            Path(place).parent.mkdir(parents=True)
            Path(place).write_text("study: s")
        np.save(IMAGES, images)
        made = Receipt("prepare", "relatent.cli.prepare_dataset", "toy", {}, "", "", [], [FileRecord.of(Path(IMAGES))])
        write_receipt(Path("data/prepared/toy/receipt.json"), made)
    job = PlannedJob("train_density", (IMAGES,), (f"{FOLDER}/receipt.json",), shlex.join(WORDS))
    monkeypatch.setattr(resume, "expand", lambda study, targets: [job])
    return tmp_path


def content() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(FOLDER).iterdir()}


def count_steps(monkeypatch) -> list[None]:
    """Grows by one with each training step from now on."""
    steps: list[None] = []
    advance = Trainer.advance
    monkeypatch.setattr(Trainer, "advance", lambda trainer: steps.append(None) or advance(trainer))
    return steps


def test_a_training_killed_there_ends_here_in_the_bytes_of_an_unbroken_one(machines, monkeypatch, capsys):
    """The second seed was under way; the first is not trained again, and the receipts are equal too."""
    process = subprocess.Popen([sys.executable, "-m", "relatent.cli.train_density", *WORDS], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(Path(".relatent/work").glob("*/seed1.safetensors")) and time.monotonic() < deadline:
        assert process.poll() is None, "the command was over before it was killed; make it longer"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    tar = str(machines / "x.tar")
    assert run(pack.main, ["--unfinished", "s", CELL, "-o", tar]) == 0
    said = capsys.readouterr().out
    assert "1 works under way" in said and "seed0.safetensors at 450 steps" in said

    monkeypatch.chdir(machines / "here")
    assert run(adopt.main, [tar]) == 0
    said = capsys.readouterr().out
    assert "seed0.safetensors at 450 steps" in said and "in place" in said
    advanced = count_steps(monkeypatch)
    assert run(train_density.main, WORDS) == 0
    assert len(advanced) <= 450, "the first seed was trained again"
    resumed = content()

    monkeypatch.chdir(machines / "unbroken")
    assert run(train_density.main, WORDS) == 0
    assert content() == resumed
    assert len(advanced) > 900


def test_mistakes_are_one_line_with_the_exit_codes_of_the_neighbours(machines, capsys):
    """Nothing to pack: 3; a damaged tar: 1; a study that is not there: 3."""
    tar = str(machines / "x.tar")
    assert run(pack.main, ["--unfinished", "s", CELL, "-o", tar]) == 3
    assert "no unfinished work with a checkpoint in .relatent/work; there is none" in capsys.readouterr().err
    assert run(pack.main, ["--unfinished", "other", CELL, "-o", tar]) == 3
    assert "config/other.yaml: no such study" in capsys.readouterr().err
    (machines / "x.tar").write_bytes(b"torn")
    assert run(adopt.main, [tar]) == 1
    assert "not a whole, uncompressed tar" in capsys.readouterr().err
