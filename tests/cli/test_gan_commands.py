"""The GAN's commands as a rule calls them: from proven inputs to outputs with a receipt, twice the same bytes."""

import json
from pathlib import Path

import numpy as np
import pytest

from relatent.cli import guided_features, latent_arithmetic, nearest_neighbour, sample_gan, train_gan
from relatent.cli.job import run
from relatent.config.gan import GanSection
from relatent.config.sample import SampleSection, gan_sample_settings, nearest_neighbour_settings
from relatent.config.visual import ArithmeticSection, GuidedSection, VisualSection, arithmetic_cell, guided_cell
from relatent.ledger.receipts import FileRecord, Receipt, check_outputs, write_receipt

DATA = Path("data/prepared/tiny")
CELL = "tiny/mnist_conditional-w4"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a prepared dataset of 120 + 60 noisy images of ten kinds, and a scratch store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELATENT_WORK", str(tmp_path / "work"))
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (10, 1, 28, 28))
    DATA.mkdir(parents=True)
    for split, count in (("train", 120), ("test", 60)):
        labels = np.arange(count) % 10
        noisy = kinds[labels] + rng.normal(0, 20, (count, 1, 28, 28))
        np.save(DATA / f"{split}_images.npy", noisy.clip(0, 255).astype(np.uint8))
        np.save(DATA / f"{split}_labels.npy", labels.astype(np.int64))
    Path("results/s/dedup/tiny").mkdir(parents=True)
    np.save("results/s/dedup/tiny/kept.npy", np.arange(0, 120, 1, dtype=np.int64)[:110])
    _receipt("data/prepared/tiny/receipt.json", *sorted(DATA.glob("*.npy")))
    _receipt("results/s/dedup/tiny/receipt.json", Path("results/s/dedup/tiny/kept.npy"))
    return tmp_path


def _receipt(path, *outputs):
    made = [FileRecord.of(output) for output in outputs]
    write_receipt(Path(path), Receipt("r", "c", "x", {}, "code", "environment", [], made))


GAN = GanSection(run=[CELL], epochs=2, batch_size=16, history_every=4, snapshot_epochs=[1, 2])
SAMPLE = SampleSection(run=[CELL], nearest_neighbour=[CELL], nn_samples=[100], judged_samples=64, paths=2, path_steps=4)


def trained(folder="results/s/train_gan/" + CELL, **changes):
    arguments = (
        f"--cell {CELL} --images {DATA}/train_images.npy --labels {DATA}/train_labels.npy"
        " --kept results/s/dedup/tiny/kept.npy"
        f" --receipts {DATA}/receipt.json results/s/dedup/tiny/receipt.json"
        f" --model {folder}/model.safetensors --early {folder}/early.safetensors --history {folder}/history.csv"
        f" --receipt {folder}/receipt.json"
    ).split()
    settings = GAN.settings_of(CELL).model_copy(update=changes)
    return run(train_gan.main, [*arguments, "--settings", settings.model_dump_json()])


def sampled(folder="results/s/train_gan/" + CELL, out="results/s/sample/" + CELL):
    arguments = (
        f"--cell {CELL} --model {folder}/model.safetensors --early-model {folder}/early.safetensors"
        f" --train-images {DATA}/train_images.npy --heldout-images {DATA}/test_images.npy"
        f" --receipts {DATA}/receipt.json {folder}/receipt.json --samples {out}/samples.npy --early {out}/early.npy"
        f" --interpolation {out}/interpolation.npy --metrics {out}/metrics.json --receipt {out}/receipt.json"
    ).split()
    settings = gan_sample_settings(SAMPLE, GAN, CELL).model_dump_json()
    return run(sample_gan.main, [*arguments, "--settings", settings])


def classified(folder="results/s/train_gan/" + CELL, **changes):
    arguments = (
        f"--cell {CELL} --model {folder}/model.safetensors --train-images {DATA}/train_images.npy"
        f" --train-labels {DATA}/train_labels.npy --test-images {DATA}/test_images.npy"
        f" --test-labels {DATA}/test_labels.npy --receipts {DATA}/receipt.json {folder}/receipt.json"
        " --metrics nn/metrics.json --receipt nn/receipt.json"
    ).split()
    settings = nearest_neighbour_settings(SAMPLE, GAN, CELL).model_copy(update=changes)
    return run(nearest_neighbour.main, [*arguments, "--settings", settings.model_dump_json()])


ARITHMETIC = ArithmeticSection(draws=200, share=0.5, exemplars=[1, 2], pictured=2, triples=3)


def added_up(folder="results/s/train_gan/" + CELL, out="arithmetic", labels=True, **changes):
    arguments = (
        f"--cell {CELL} --model {folder}/model.safetensors --train-images {DATA}/train_images.npy"
        f" {f'--train-labels {DATA}/train_labels.npy' if labels else ''}"
        f" --receipts {DATA}/receipt.json {folder}/receipt.json --pictures {out}/arithmetic.npz"
        f" --metrics {out}/metrics.json --receipt {out}/receipt.json"
    ).split()
    settings = arithmetic_cell(VisualSection(arithmetic=ARITHMETIC), GAN, CELL).model_copy(update=changes)
    return run(latent_arithmetic.main, [*arguments, "--settings", settings.model_dump_json()])


def outputs(folder):
    return {
        path.name: path.read_bytes()
        for path in Path(folder).iterdir()
        if path.is_file() and path.name != "receipt.json"
    }


def test_training_twice_gives_the_same_bytes_with_and_without_the_scratch_store(home, monkeypatch, capsys):
    assert trained("a") == 0
    assert trained("b") == 0  # taken from finished work
    monkeypatch.setenv("RELATENT_WORK", str(home / "another"))
    assert trained("c") == 0  # trained again
    assert outputs("a") == outputs("b") == outputs("c")
    receipt = check_outputs(Path("a/receipt.json"))
    assert receipt.torch_threads == 1
    assert receipt.settings["net"] == "mnist_conditional-w4"
    assert {Path(record.path).name for record in receipt.inputs} == {"train_images.npy", "train_labels.npy", "kept.npy"}


def test_the_whole_chain_of_a_conditional_net(home):
    out = f"results/s/sample/{CELL}"
    assert trained() == 0
    assert sampled() == 0
    found = outputs(out)
    assert sampled() == 0
    assert outputs(out) == found
    assert np.load(f"{out}/samples.npy").shape == np.load(f"{out}/early.npy").shape == (64, 1, 28, 28)
    assert np.load(f"{out}/interpolation.npy").shape == (4, 4, 1, 28, 28)
    metrics = json.loads(found["metrics.json"])
    assert "kid_real" in metrics
    assert len(metrics["realness"]["per_image"]) == 64
    assert classified() == 0
    metrics = json.loads(Path("nn/metrics.json").read_text())
    assert metrics["nn_error_real_100"]["value"] == 0  # ten kinds far apart
    assert 0 <= metrics["nn_error_100"]["value"] <= 1
    assert "nn_error_100_validation" not in metrics
    check_outputs(Path("nn/receipt.json"))


def test_arithmetic_on_z_of_every_class(home, capsys):
    """Ten classes with three triples each; the same bytes twice; a concept too rare is named with its class."""
    assert trained() == 0
    assert added_up() == 0
    assert added_up(out="again") == 0
    assert outputs("arithmetic") == outputs("again")
    metrics = json.loads(Path("arithmetic/metrics.json").read_text())
    for way in ("latent", "prior_length", "random_step", "pixels"):
        for k in (1, 2):
            assert metrics[f"success_{way}_k{k}"]["n_images"] == 30
            assert metrics[f"success_{way}_k{k}"]["value"] <= metrics[f"target_{way}_k{k}"]["value"]
    with np.load("arithmetic/arithmetic.npz") as shown:
        assert shown["label"].tolist() == list(range(10))
        assert shown["exemplars"].shape == (10, 3, 2, 1, 28, 28)
        assert shown["results"].shape == (10, 9, 1, 28, 28)
    assert added_up(exemplars=[2, 190]) == 2
    assert f"{CELL}, class 0: only" in capsys.readouterr().err
    check_outputs(Path("arithmetic/receipt.json"))


def test_features_of_a_trained_net_beside_the_net_it_began_as(home):
    """The never-trained net is the one that the training started from: at a learning rate of nothing they are equal."""
    images = np.zeros((120, 1, 32, 32), np.uint8)
    images[:, :, 2:30, 2:30] = np.load(DATA / "train_images.npy")
    np.save(DATA / "train_images.npy", images)
    _receipt("data/prepared/tiny/receipt.json", *sorted(DATA.glob("*.npy")))
    cell = "tiny/svhn32-w4"
    gan = GanSection(run=[cell], epochs=1, batch_size=16, learning_rate=1e-30, seed=3)
    inputs = f"--train-images {DATA}/train_images.npy --kept results/s/dedup/tiny/kept.npy"
    receipts = f"{DATA}/receipt.json results/s/dedup/tiny/receipt.json"
    arguments = (
        f"--cell {cell} {inputs.replace('train-images', 'images')} --receipts {receipts} --model m/model.safetensors"
        " --early m/early.safetensors --history m/history.csv --receipt m/receipt.json"
    )
    settings = gan.settings_of(cell).model_dump_json()
    assert run(train_gan.main, [*arguments.split(), "--settings", settings]) == 0
    visual = VisualSection(guided=GuidedSection(run=[cell], images=100, strongest=3, features=6))
    for out in ("a", "b"):
        arguments = (
            f"--cell {cell} {inputs} --receipts {receipts} m/receipt.json --model m/model.safetensors"
            f" --pictures {out}/guided.npz --metrics {out}/metrics.json --receipt {out}/receipt.json"
        )
        settings = guided_cell(visual, gan, cell).model_dump_json()
        assert run(guided_features.main, [*arguments.split(), "--settings", settings]) == 0
    assert outputs("a") == outputs("b")
    metrics = json.loads(Path("a/metrics.json").read_text())
    assert metrics["with_untrained_plain"]["value"] == pytest.approx(1, abs=1e-6)
    with np.load("a/guided.npz") as shown:
        assert shown["guided_trained"].shape == shown["images_random"].shape == (6, 3, 1, 32, 32)
        assert np.array_equal(shown["images_trained"], images[shown["index_trained"]])
        assert shown["index_trained"].max() < 110  # kept images only


def test_held_out_images_are_not_trained_on_and_have_an_error_of_their_own(home):
    """Other pixels among the held-out images change no weight, and the test error stands as without them."""
    assert trained("a", validation=40) == 0
    images = np.load(DATA / "train_images.npy")
    images[80:] = 255 - images[80:]
    np.save(DATA / "train_images.npy", images)
    _receipt("data/prepared/tiny/receipt.json", *sorted(DATA.glob("*.npy")))
    assert trained("b", validation=40) == 0
    assert outputs("a") == outputs("b")
    assert classified("b", validation=40, nn_samples=[60]) == 0
    metrics = json.loads(Path("nn/metrics.json").read_text())
    assert metrics["nn_error_60_validation"]["n_images"] == 40
    assert metrics["nn_error_real_validation"]["value"] > 0.5  # negatives, classified by positives
    assert metrics["nn_error_real_60"]["n_samples"] == 60


def test_forged_images_are_refused(home, capsys):
    images = np.load(DATA / "train_images.npy")
    images[0, 0, 0, 0] ^= 1
    np.save(DATA / "train_images.npy", images)
    assert trained() == 1
    assert "train_images.npy: sha256 is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 128}, "110 images are too few for one batch of 128; lower batch_size"),
        ({"net": "svhn32-w4"}, "makes 32×32 images, the data are 28×28"),
        ({"processes": 2}, "processes is 2 in the settings, but 1 run"),
    ],
)
def test_settings_that_do_not_fit_are_one_line_and_exit_2(home, capsys, changes, message):
    assert trained(**changes) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_weights_of_another_net_are_refused(home, capsys):
    assert trained() == 0
    assert classified(net="mnist_conditional-w8") == 1
    assert "they are of another net, width or number of channels" in capsys.readouterr().err
