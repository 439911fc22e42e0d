"""The commands of density evaluation: what they write, refuse, and take up again."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from density_models import model_with
from safetensors.torch import save_file

from relatent.cli import (
    anneal_density,
    density_files,
    evaluate_nll,
    exact_likelihood,
    posterior_grid,
    remove_units,
    repeat_nll,
    sample_density,
    train_minus_test,
)
from relatent.cli.job import run
from relatent.config.evaluation_section import EvaluationSection
from relatent.config.exact import ExactSection
from relatent.ledger.receipts import FileRecord, Receipt, check_outputs, write_receipt
from relatent.progress import Progress

IMAGES = Path("data/prepared/tiny")
MODEL = Path("results/tiny/train_density/tiny/vae-L1-k1")


def prove(folder: Path, *names: str) -> None:
    """A receipt for files that a test made up."""
    outputs = [FileRecord.of(folder / name) for name in names]
    write_receipt(folder / "receipt.json", Receipt("made up", "test", "tiny", {}, "", "", (), outputs))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A repository with sixty 3x4 images and a cell of two seeds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELATENT_WORK", str(tmp_path / "work"))
    rng = np.random.default_rng(0)
    IMAGES.mkdir(parents=True)
    for split in ("train", "test"):
        np.save(IMAGES / f"{split}_images.npy", rng.integers(0, 256, (60, 1, 3, 4), dtype=np.uint8))
    prove(IMAGES, "train_images.npy", "test_images.npy")
    write_model({0: model_with(dtype=torch.float32), 1: model_with(seed=1, dtype=torch.float32)})
    return tmp_path


def write_model(models):
    MODEL.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"seed{seed}.{name}": value for seed, model in models.items() for name, value in model.state_dict().items()
    }
    save_file(tensors, MODEL / "model.safetensors")
    prove(MODEL, "model.safetensors")


def evaluate_arguments(out="out", **settings):
    values = {"seeds": [0, 1], "k": 50, "train_images": 10, **settings}
    return [
        *("--cell", "tiny/vae-L1-k1", "--settings", json.dumps(values)),
        *("--model", str(MODEL / "model.safetensors")),
        *("--test-images", str(IMAGES / "test_images.npy"), "--train-images", str(IMAGES / "train_images.npy")),
        *("--receipts", str(MODEL / "receipt.json"), str(IMAGES / "receipt.json")),
        *("--metrics", f"{out}/metrics.json", "--per-image", f"{out}/per_image.npz"),
        *("--activity", f"{out}/activity.csv", "--receipt", f"{out}/receipt.json"),
    ]


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def test_evaluation_writes_what_its_receipt_names(tiny):
    assert run(evaluate_nll.main, evaluate_arguments()) == 0
    receipt = check_outputs(Path("out/receipt.json"))
    assert receipt.seeds == [0, 1]
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["nll_nats"]["n_images"] == 60
    lines = Path("out/activity.csv").read_text().splitlines()
    assert lines[0] == "seed,layer,unit,variance,variance_code"
    assert len(lines) == 1 + 2 * 5
    with np.load("out/per_image.npz") as arrays:
        assert arrays["log_px_hat"].shape == (2, 60)


def test_same_work_gives_same_bytes_with_and_without_the_scratch_store(tiny):
    run(evaluate_nll.main, evaluate_arguments())
    first = files("out")
    shutil.rmtree("out")
    run(evaluate_nll.main, evaluate_arguments())  # taken back from the store
    assert files("out") == first
    shutil.rmtree("out")
    shutil.rmtree("work")
    run(evaluate_nll.main, evaluate_arguments())  # computed again
    assert files("out") == first


def test_threads_change_nothing_but_the_settings(tiny):
    run(evaluate_nll.main, evaluate_arguments("one"))
    run(evaluate_nll.main, evaluate_arguments("two", threads=2))
    for name in ("metrics.json", "per_image.npz", "activity.csv"):
        assert files("one")[name] == files("two")[name]


@pytest.mark.slow
def test_killed_evaluation_ends_in_the_same_bytes(tiny):
    """SIGKILL once something has been saved; the second run goes on there."""
    arguments = evaluate_arguments(k=5000)
    code = "import sys; from relatent.cli import density_files, evaluate_nll; density_files.SAVE_EVERY_S = 0; "
    code += "evaluate_nll.main(sys.argv[1:])"
    environment = {**os.environ, "RELATENT_WORK": str(tiny / "other")}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while not list(Path("other").glob("*/parts.npz")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    interrupted = not Path("out/receipt.json").exists()
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True, capture_output=True)
    resumed = files("out")
    shutil.rmtree("out")
    run(evaluate_nll.main, arguments)
    assert interrupted
    assert files("out") == resumed


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"seeds": [0, 7]}, 1, "no tensors of seed 7.*another setting or damaged"),
        ({"seeds": [0, 0]}, 2, "seed 0 is given twice"),
        ({"k": 0}, 2, "--settings: k: .*greater than or equal to 1"),
        ({"kk": 5}, 2, "--settings: kk: unknown key"),
    ],
)
def test_wrong_settings_are_one_clear_line(tiny, capsys, change, code, message):
    assert run(evaluate_nll.main, evaluate_arguments(**change)) == code
    assert re.search(message, capsys.readouterr().err)


def test_checkpoint_of_another_dataset_is_refused(tiny, capsys):
    write_model({seed: model_with(pixels=16, seed=seed, dtype=torch.float32) for seed in (0, 1)})
    assert run(evaluate_nll.main, evaluate_arguments()) == 1
    assert "the checkpoint belongs to another dataset" in capsys.readouterr().err


def test_diverged_checkpoint_is_named_before_any_work(tiny, capsys):
    model = model_with(dtype=torch.float32)
    with torch.no_grad():
        model.p_x_given_z1.logits.bias[2] = float("nan")
    write_model({0: model, 1: model_with(seed=1, dtype=torch.float32)})
    assert run(evaluate_nll.main, evaluate_arguments()) == 1
    assert "p_x_given_z1.logits.bias of seed 0 is not finite" in capsys.readouterr().err


def test_damaged_checkpoint_is_refused_even_with_a_receipt(tiny, capsys):
    (MODEL / "model.safetensors").write_bytes(b"not a checkpoint")
    prove(MODEL, "model.safetensors")
    assert run(evaluate_nll.main, evaluate_arguments()) == 1
    error = capsys.readouterr().err
    assert "model.safetensors" in error and "run `snakemake" in error


def test_flipped_byte_is_refused_by_the_receipt(tiny, capsys):
    path = IMAGES / "test_images.npy"
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(bytes(body))
    assert run(evaluate_nll.main, evaluate_arguments()) == 1
    assert "sha256" in capsys.readouterr().err


def test_samples_are_repeatable_pictures_of_the_right_shape(tiny):
    def arguments(out):
        return [
            *(
                "--cell",
                "tiny/vae-L1-k1",
                "--settings",
                '{"model_seed": 1, "n_samples": 7, "paths": 2, "path_steps": 3}',
            ),
            *("--model", str(MODEL / "model.safetensors"), "--test-images", str(IMAGES / "test_images.npy")),
            *("--receipts", str(MODEL / "receipt.json"), str(IMAGES / "receipt.json")),
            *("--samples", f"{out}/samples.npy", "--interpolation", f"{out}/interpolation.npy"),
            *("--filters", f"{out}/filters.npz", "--metrics", f"{out}/metrics.json", "--receipt", f"{out}/r.json"),
        ]

    assert run(sample_density.main, arguments("a")) == 0
    assert run(sample_density.main, arguments("b")) == 0
    assert np.load("a/samples.npy").shape == (7, 1, 3, 4)
    assert np.load("a/interpolation.npy").shape == (2, 3, 1, 3, 4)
    with np.load("a/filters.npz") as filters:
        assert filters["encoder"].shape == filters["decoder"].shape == (7, 1, 3, 4)
    for name in ("samples.npy", "interpolation.npy", "filters.npz"):
        assert files("a")[name] == files("b")[name]


def test_posterior_grid_sums_to_one_and_refuses_other_latents(tiny, capsys):
    def arguments():
        return [
            *("--cell", "tiny/vae-L1-k1-2d", "--settings", '{"model_seed": 0, "images": 4, "points": 101}'),
            *("--model", str(MODEL / "model.safetensors"), "--images", str(IMAGES / "train_images.npy")),
            *("--receipts", str(MODEL / "receipt.json"), str(IMAGES / "receipt.json")),
            *("--posterior", "out/posterior.npz", "--metrics", "out/metrics.json", "--receipt", "out/receipt.json"),
        ]

    assert run(posterior_grid.main, arguments()) == 2
    assert "two latents" in capsys.readouterr().err
    write_model({0: model_with(latents=(2,), dtype=torch.float32)})
    assert run(posterior_grid.main, arguments()) == 0
    with np.load("out/posterior.npz") as found:
        cell = (found["axis"][1] - found["axis"][0]) ** 2
        np.testing.assert_allclose(np.exp(found["log_posterior"]).sum((1, 2)) * cell, 1, rtol=1e-4)
        assert found["reconstructions"].shape == (4, 5, 1, 3, 4)


def test_annealing_stands_beside_the_evaluation_of_the_same_images(tiny):
    run(evaluate_nll.main, evaluate_arguments("results/e"))
    settings = {
        "model_seed": 1,
        "k": 50,
        "images": 25,
        "simulated": 6,
        "temperatures": 10,
        "chains": 2,
        "pilot_chains": 2,
    }
    arguments = [
        *("--cell", "tiny/vae-L1-k1", "--settings", json.dumps(settings)),
        *("--model", str(MODEL / "model.safetensors"), "--test-images", str(IMAGES / "test_images.npy")),
        *("--evaluation", "results/e/per_image.npz"),
        *("--receipts", str(MODEL / "receipt.json"), str(IMAGES / "receipt.json"), "results/e/receipt.json"),
        *("--metrics", "out/metrics.json", "--per-image", "out/per_image.npz", "--receipt", "out/receipt.json"),
    ]
    assert run(anneal_density.main, arguments) == 0
    with np.load("results/e/per_image.npz") as evaluated, np.load("out/per_image.npz") as annealed:
        images = annealed["image"]
        assert list(images) == sorted(set(images)) and len(images) == 25 and images[-1] >= 25  # drawn, not the first
        np.testing.assert_array_equal(annealed["bound"], evaluated["log_px_hat"][1, images])
        nll = -evaluated["log_px_hat"][1].mean()
    metrics = json.loads(Path("out/metrics.json").read_text())
    gap = metrics["simulated_ais_gap_nats"]
    assert gap["value"] > -4 * gap["stderr"]
    assert gap["n_images"] == 6
    above = metrics["ais_above_bound_nats"]
    assert (above["n_images"], above["n_scored"]) == (60, 25)
    assert metrics["ais_nll_nats"]["value"] == pytest.approx(nll - above["value"])
    settings["images"] = 61
    arguments[3] = json.dumps(settings)
    assert run(anneal_density.main, arguments) == 0
    assert json.loads(Path("out/metrics.json").read_text())["ais_above_bound_nats"]["n_scored"] == 60


def gap_arguments():
    return [
        *("--cell", "tiny/vae-L1-k1", "--settings", '{"seeds": [0, 1], "k": 50, "control_k": 8}'),
        *("--model", str(MODEL / "model.safetensors"), "--train-images", str(IMAGES / "train_images.npy")),
        *("--evaluation", "results/e/per_image.npz"),
        *("--receipts", str(MODEL / "receipt.json"), str(IMAGES / "receipt.json"), "results/e/receipt.json"),
        *("--metrics", "out/metrics.json", "--receipt", "out/receipt.json"),
    ]


def test_the_gap_of_all_training_images_agrees_with_scoring_them_all(tiny):
    run(evaluate_nll.main, evaluate_arguments("results/e", train_images=30))
    assert run(train_minus_test.main, gap_arguments()) == 0
    gap = json.loads(Path("out/metrics.json").read_text())["test_minus_train_nats"]
    assert (gap["n_train"], gap["n_scored"], gap["k"], gap["control_k"]) == (60, 30, 50, 8)
    run(evaluate_nll.main, evaluate_arguments("results/all", train_images=None))
    whole = json.loads(Path("results/all/metrics.json").read_text())["test_minus_train_nats"]
    assert abs(gap["value"] - whole["value"]) < 4 * gap["stderr"]


def test_a_gap_without_scored_training_images_is_refused(tiny, capsys):
    run(evaluate_nll.main, evaluate_arguments("results/e", train_images=0))
    assert run(train_minus_test.main, gap_arguments()) == 1
    assert (
        "L_k of 0 training images of 60; evaluate the cell with evaluate_nll.train_images of 3"
        in capsys.readouterr().err
    )


def repeated_arguments(images):
    return [
        *("--cell", "tiny/vae-L1-k1", "--settings", json.dumps({"seeds": [0, 1], "k": 2000, "images": images})),
        *("--model", str(MODEL / "model.safetensors"), "--test-images", str(IMAGES / "test_images.npy")),
        *("--evaluation", "results/e/per_image.npz"),
        *("--receipts", str(MODEL / "receipt.json"), str(IMAGES / "receipt.json"), "results/e/receipt.json"),
        *("--metrics", "out/metrics.json", "--per-image", "out/per_image.npz", "--receipt", "out/receipt.json"),
    ]


def test_repeated_scores_are_of_the_images_that_were_evaluated(tiny):
    run(evaluate_nll.main, evaluate_arguments("results/e", k=2000))
    assert run(repeat_nll.main, repeated_arguments(40)) == 0
    with np.load("results/e/per_image.npz") as evaluated, np.load("out/per_image.npz") as repeated:
        np.testing.assert_array_equal(repeated["first"], evaluated["log_px_hat"][:, repeated["image"]])
        assert np.corrcoef(repeated["first"][0], repeated["again"][0])[0, 1] > 0.6  # 0 for other images
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["repetition_shift_nats"]["n_repeated"] == 40
    assert abs(metrics["repetition_shift_nats"]["value"]) < 4 * metrics["repetition_shift_nats"]["stderr"]
    assert run(repeat_nll.main, repeated_arguments(61)) == 0
    assert json.loads(Path("out/metrics.json").read_text())["repetition_shift_nats"]["n_repeated"] == 60


def removal_arguments(images):
    return [
        *("--cell", "tiny/vae-L1-k1", "--settings", json.dumps({"seeds": [1, 0], "k": 50, "seed": 123} | images)),
        *("--model", str(MODEL / "model.safetensors"), "--test-images", str(IMAGES / "test_images.npy")),
        *("--evaluation", "results/e/per_image.npz", "--activity", "results/e/activity.csv"),
        *("--receipts", str(MODEL / "receipt.json"), str(IMAGES / "receipt.json"), "results/e/receipt.json"),
        *("--metrics", "out/metrics.json", "--receipt", "out/receipt.json"),
    ]


@pytest.mark.parametrize(("images", "scored"), [({"images": 20}, 20), ({"images": None}, 60), ({}, 60)])
def test_units_that_are_idle_are_removed_from_the_images_that_were_evaluated(tiny, images, scored):
    """One unit of seed 0 has the prior as its posterior and is not heard: its removal moves no image; seed 1 has none.

    Beside the bounds of other images the change would be that of images, a hundred times as large.
    """
    models = {0: model_with(dtype=torch.float32), 1: model_with(seed=1, dtype=torch.float32)}
    with torch.no_grad():
        for head in (models[0].q_z1_given_x.mean, models[0].q_z1_given_x.log_sd):
            head.weight[1], head.bias[1] = 0, 0
        models[0].p_x_given_z1.hidden1.weight[:, 1] = 0
    write_model(models)
    run(evaluate_nll.main, evaluate_arguments("results/e"))
    assert run(remove_units.main, removal_arguments(images)) == 0
    change = json.loads(Path("out/metrics.json").read_text())["nll_change_without_inactive_nats"]
    assert change["removed_units"] == [0, 1] and change["n_images"] == scored
    assert change["per_seed"] == pytest.approx([0, 0], abs=1e-5) and change["stderr"] < 1e-5


BESIDE = {
    "train_minus_test": (train_minus_test.main, gap_arguments()),
    "repeated": (repeat_nll.main, repeated_arguments(60)),
    "removed": (remove_units.main, removal_arguments({"images": 60})),
}


@pytest.mark.parametrize("measure", BESIDE)
def test_an_interrupted_measure_goes_on_where_it_stopped(tiny, monkeypatch, measure):
    """In its second block of twenty images; the second run does the forty that are left, to the same bytes."""
    main, arguments = BESIDE[measure]
    run(evaluate_nll.main, evaluate_arguments("results/e", train_images=30))
    assert run(main, arguments) == 0
    whole = files("out")
    shutil.rmtree("out")
    shutil.rmtree("work")
    counted = []

    def counting(progress, images):
        counted.append(images)
        if stop_after and sum(counted) > stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", counting)
    monkeypatch.setattr(density_files, "SAVE_EVERY_S", 0)
    stop_after = 20
    assert run(main, arguments) == 130
    stop_after = 0
    counted.clear()
    assert run(main, arguments) == 0
    assert sum(counted) == 40 and files("out") == whole


@pytest.mark.parametrize("model", ["mixture", "bernoulli", "linear-gaussian"])
def test_exact_likelihood_command_agrees_with_itself(tiny, model):
    section = ExactSection.model_validate(
        {
            "run": [model],
            "ks": [1, 5, 50],
            "draws": 500,
            "bernoulli": {"latents": 4, "hidden": 8, "epochs": 3, "encoder_epochs": 3},
            "linear_gaussian": {"latents": 3},
        }
    )
    arguments = [
        *("--cell", f"exact/{model}", "--settings", section.settings_of(model).model_dump_json()),
        *("--train-images", str(IMAGES / "train_images.npy"), "--test-images", str(IMAGES / "test_images.npy")),
        *("--receipts", str(IMAGES / "receipt.json"), "--metrics", "out/metrics.json", "--receipt", "out/receipt.json"),
    ]
    assert run(exact_likelihood.main, arguments) == 0
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["bound_k1_nats"]["value"] < metrics["bound_k50_nats"]["value"]
    assert metrics["bound_k50_nats"]["agrees"]


def test_sections_check_themselves():
    """Duplicates, k: 0, a k larger than the draws: a sentence each."""
    with pytest.raises(ValueError, match="run lists mixture twice"):
        ExactSection(run=["mixture", "mixture"])
    with pytest.raises(ValueError, match="more than the 100 draws; raise draws"):
        ExactSection(ks=[1, 500], draws=100)
    with pytest.raises(ValueError, match="k"):
        EvaluationSection(k=0)
    assert EvaluationSection(k=7).settings_of([1, 2]).k == 7
