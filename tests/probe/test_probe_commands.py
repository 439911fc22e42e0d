"""The commands on a made-up SVHN in the official format: features, probe, rivals, comparisons, each with a receipt."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from relatent.cli import compare_rows, features, learn_features, probe, probe_pictures, rival
from relatent.cli.job import run
from relatent.data.formats.mat5 import MatPart
from relatent.data.streams import stream
from relatent.ledger.files import read_json
from relatent.ledger.receipts import FileRecord, Receipt, read_receipt, write_receipt
from relatent.models.autoencoder import Autoencoder
from relatent.models.dcgan import build_discriminator, build_generator, initialise

DATA = Path("data/prepared/svhn")
FEW = {"labels_per_class": 4, "draws": 3, "choosing_draws": 2, "seed": 1, "honest_folds": 2}
PROTOCOL = {"C_values": [1e-3, 1e-2], "few": FEW, "curve": [2], "by_layer": True, "tol": 1e-8}


def receipt_of(folder: Path, files: list[Path]) -> None:
    """What the job before would have written."""
    records = [FileRecord.of(path) for path in files]
    write_receipt(folder / "receipt.json", Receipt("made up", "test", "test", {}, "0", "0", [], records))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Colour images of 32x32 in ten classes, a coarse pattern each; read from .mat files such as SVHN's."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("study")
    patch.chdir(folder)
    patch.setenv("RELATENT_WORK", str(folder / "work"))
    DATA.mkdir(parents=True)
    files = []
    coarse = stream(0, "patterns").integers(0, 256, (10, 3, 4, 4))
    patterns = np.repeat(np.repeat(coarse, 8, axis=2), 8, axis=3)
    for index, (split, n) in enumerate({"train": 80, "validation": 40, "test": 50}.items()):
        rng = stream(index, "made-up SVHN")
        labels = np.arange(n) % 10
        images = np.clip(patterns[labels] + rng.integers(-40, 40, (n, 3, 32, 32)), 0, 255).astype(np.uint8)
        path = folder / f"{split}_32x32.mat"
        savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
        part = MatPart(path, "X", "y", (3, 32, 32), "height width channel", 10)
        read = np.concatenate([block.images for block in part.blocks()])
        np.testing.assert_array_equal(read, images)
        for name, values in (("images", read), ("labels", part.labels)):
            files.append(DATA / f"{split}_{name}.npy")
            np.save(files[-1], values)
    receipt_of(DATA, files)
    yield folder
    patch.undo()


def images_of(settings: dict) -> list[str]:
    images = [f"--{split}-images {DATA}/{split}_images.npy" for split in ("train", "validation", "test")]
    return [*" ".join(images).split(), "--settings", json.dumps(settings)]


def labels_of() -> list[str]:
    return " ".join(f"--{split}-labels {DATA}/{split}_labels.npy" for split in ("train", "validation", "test")).split()


def make_features(row: str, settings: dict, command=features, weights: Path | None = None) -> Path:
    out = Path(f"results/s/features/svhn/{row}")
    receipts = [str(DATA / "receipt.json"), *([str(weights.parent / "receipt.json")] if weights else [])]
    arguments = ["--cell", f"svhn/{row}", *images_of({"row": settings, "threads": 1}), "--receipts", *receipts]
    arguments += ["--weights", str(weights)] if weights else []
    outputs = f"--train {out}/train.npy --test {out}/test.npy --layout {out}/layout.json --receipt {out}/receipt.json"
    assert run(command.main, [*arguments, *outputs.split()]) == 0
    return out


def make_probe(row: str) -> dict:
    from_, out = Path(f"results/s/features/svhn/{row}"), Path(f"results/s/probe/svhn/{row}")
    inputs = f"--train {from_}/train.npy --test {from_}/test.npy --layout {from_}/layout.json"
    receipts = f"--receipts {from_}/receipt.json {DATA}/receipt.json"
    outputs = f"--metrics {out}/metrics.json --predictions {out}/predictions.npz --receipt {out}/receipt.json"
    arguments = ["--cell", f"svhn/{row}", "--settings", json.dumps(PROTOCOL), *labels_of()]
    assert run(probe.main, [*arguments, *inputs.split(), *receipts.split(), *outputs.split()]) == 0
    return read_json(out / "metrics.json")


def make_rival(row: str, settings: dict, features_row: str | None) -> dict:
    out = Path(f"results/s/probe/svhn/{row}")
    if features_row:
        from_ = Path(f"results/s/features/svhn/{features_row}")
        inputs = f"--train {from_}/train.npy --test {from_}/test.npy"
        receipts = f"{from_}/receipt.json {DATA}/receipt.json"
    else:
        inputs = (
            f"--train {DATA}/train_images.npy --validation {DATA}/validation_images.npy --test {DATA}/test_images.npy"
        )
        receipts = f"{DATA}/receipt.json"
    values = {"row": settings, "validation": "split", "few": {**FEW, "draws": 2, "choosing_draws": 1}, "threads": 1}
    outputs = f"--metrics {out}/metrics.json --predictions {out}/predictions.npz --receipt {out}/receipt.json"
    arguments = ["--cell", f"svhn/{row}", "--settings", json.dumps(values), *labels_of(), *inputs.split()]
    assert run(rival.main, [*arguments, "--receipts", *receipts.split(), *outputs.split()]) == 0
    return read_json(out / "metrics.json")


def gan_weights() -> Path:
    """Weights of an untrained net in the form that training leaves them."""
    path = Path("results/s/train_gan/svhn/svhn32-w2/model.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = torch.Generator().manual_seed(5)
    tensors = {}
    for part, net in (
        ("generator", build_generator("svhn32-w2", 3)),
        ("discriminator", build_discriminator("svhn32-w2", 3)),
    ):
        initialise(net, rng)
        tensors |= {f"{part}.{name}": tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(tensors, path)
    receipt_of(path.parent, [path])
    return path


def test_every_kind_of_features_is_made_and_probed(study):
    """Principal components solve this set; metrics say how many draws, which kinds of error, and where C was chosen."""
    make_features("pixels", {"kind": "pixels"})
    make_features("pca", {"kind": "pca", "components": 8})
    make_features("kmeans", {"kind": "kmeans", "centroids": 8, "patches": 400, "iterations": 3})
    make_features("random", {"kind": "discriminator", "weights": "random", "net": "svhn32-w2"})
    make_features("dcgan", {"kind": "discriminator", "weights": "svhn/svhn32-w2"}, weights=gan_weights())
    autoencoder = Path("results/s/dedup/svhn/autoencoder.safetensors")
    autoencoder.parent.mkdir(parents=True, exist_ok=True)
    model = Autoencoder(3072, 16)
    model.initialise(torch.Generator().manual_seed(0))
    save_file(model.state_dict(), autoencoder)
    receipt_of(autoencoder.parent, [autoencoder])
    make_features("autoencoder", {"kind": "autoencoder", "weights": "svhn"}, weights=autoencoder)
    for row, count in (
        ("pixels", 3072),
        ("pca", 8),
        ("kmeans", 32),
        ("random", 224),
        ("dcgan", 224),
        ("autoencoder", 16),
    ):
        metrics = make_probe(row)
        assert metrics["features"]["value"] == count
        assert {"accuracy_full", "accuracy_few", "accuracy_few_honest", "error_few", "accuracy_at_2"} <= set(metrics)
        few = metrics["accuracy_few"]
        assert (few["n_draws"], few["n_labels"], few["n_choosing_draws"], len(few["per_draw"])) == (3, 40, 2, 3)
        assert metrics["accuracy_few_honest"]["n_choosing_draws"] == 0
        assert metrics["error_few"]["value"] == pytest.approx(1 - few["value"])
        assert metrics["accuracy_full"]["n_labels"] == 120
        assert ("accuracy_full_layer3" in metrics) == (row in ("random", "dcgan"))
    assert read_json(Path("results/s/probe/svhn/pca/metrics.json"))["accuracy_full"]["value"] > 0.95


def test_the_same_job_twice_gives_the_same_bytes(study):
    """Also when its results come back from the scratch store."""
    out = make_features("again", {"kind": "kmeans", "centroids": 8, "patches": 400, "iterations": 3})
    first = {record.path: record.sha256 for record in read_receipt(out / "receipt.json").outputs}
    make_features("again", {"kind": "kmeans", "centroids": 8, "patches": 400, "iterations": 3})
    assert {record.path: record.sha256 for record in read_receipt(out / "receipt.json").outputs} == first


@pytest.mark.parametrize(
    ("row", "settings", "of"),
    [
        ("knn", {"kind": "knn", "features": "pixels", "neighbours": [1, 3]}, "pixels"),
        ("tsvm", {"kind": "tsvm", "features": "pca", "C_values": [0.1], "unlabelled": 30}, "pca"),
        ("m1-m2", {"kind": "m2", "features": "m1", "epochs": 1, "hidden": 8, "latents": 2}, "m1"),
        ("swwae", {"kind": "swwae", "width": 2, "epochs": 1, "dropout": 0.5, "batch_size": 16}, None),
        ("supervised", {"kind": "supervised", "net": "svhn32-w2", "trials": 2, "epochs": 1, "batch_size": 16}, None),
    ],
)
def test_every_rival_prints_validation_and_test_error(study, row, settings, of):
    if of == "pixels":
        make_features("pixels", {"kind": "pixels"})
    if of == "pca":
        make_features("pca", {"kind": "pca", "components": 8})
    if of == "m1":
        make_features("m1", {"kind": "m1", "components": 8, "hidden": 8, "latents": 2, "epochs": 1}, learn_features)
    metrics = make_rival(row, settings, of)
    assert set(metrics) == {"accuracy_few", "error_few", "error_validation"}
    assert len(metrics["error_few"]["per_draw"]) == 2


FIELDS = {"pool": 3, "fields": 2, "size": 4, "centroids": 3}
LAYERED = {
    "kind": "kmeans-layers",
    "centroids": 8,
    "patches": 400,
    "iterations": 3,
    "layers": [FIELDS, {**FIELDS, "pool": 2}],
    "images": 30,
    "windows": 100,
}


@pytest.mark.parametrize(
    ("row", "settings", "count"),
    [
        ("dbn", {"kind": "dbn", "layers": [6, 4], "epochs": 1}, 10),
        ("iwae", {"kind": "m1", "k": 3, "components": 8, "hidden": 8, "latents": 2, "epochs": 1}, 2),
        ("exemplar", {"kind": "exemplar", "exemplars": 4, "width": 2, "steps": 2, "batch_size": 4}, 56),
        ("kmeans-2layer", {**LAYERED, "layers": [FIELDS], "members": "maps", "joined": False}, 4 * 6),
    ],
)
def test_learned_features_are_made(study, row, settings, count):
    assert np.load(make_features(row, settings, learn_features) / "test.npy").shape == (50, count)


def test_k_means_in_layers_is_made_probed_and_made_again_to_the_bit(study, monkeypatch):
    """Standardised as the one-layer row is; a layer's accuracy can be had by itself; units are the widest layer's."""
    out = make_features("kmeans-3layer", LAYERED, learn_features)
    layout = read_json(out / "layout.json")
    assert layout == {"features": 4 * (8 + 6 + 6), "units": 8, "layers": [32, 24, 24]}
    train = np.load(out / "train.npy")
    assert train.shape == (120, 80) and train.dtype == np.float32
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-4)
    first = {record.path: record.sha256 for record in read_receipt(out / "receipt.json").outputs}
    metrics = make_probe("kmeans-3layer")
    assert metrics["feature_units"]["value"] == 8 and "accuracy_full_layer3" in metrics
    assert metrics["accuracy_full"]["value"] > 0.5  # chance is 0.1
    make_features("kmeans-3layer", LAYERED, learn_features)  # from the scratch store
    assert {record.path: record.sha256 for record in read_receipt(out / "receipt.json").outputs} == first
    monkeypatch.setenv("RELATENT_WORK", str(study / "empty"))
    again = make_features("kmeans-again", LAYERED, learn_features)  # from nothing
    assert (again / "train.npy").read_bytes() == (out / "train.npy").read_bytes()


def test_layers_that_do_not_fit_the_images_are_refused_in_one_line(study, capsys):
    settings = {"row": {**LAYERED, "layers": [{**FIELDS, "pool": 14}]}, "threads": 1}
    arguments = ["--cell", "svhn/kmeans-3layer", *images_of(settings), "--receipts", f"{DATA}/receipt.json"]
    arguments += ["--train", "a.npy", "--test", "b.npy", "--layout", "c.json", "--receipt", "d.json"]
    assert run(learn_features.main, arguments) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "svhn/kmeans-3layer: layer 2 has windows of 2 positions a side on maps of 1; pool less" in last
    assert not Path("a.npy").exists()


def test_rows_are_compared_on_equal_draws_in_plain_words(study):
    for row, settings in (("pixels", {"kind": "pixels"}), ("pca", {"kind": "pca", "components": 8})):
        make_features(row, settings)
        make_probe(row)
    fewer = Path("results/s/probe/svhn/pca/predictions.npz")
    with np.load(fewer) as arrays:
        kept = {name: arrays[name][:2] if name == "few" else arrays[name] for name in arrays.files}
    np.savez(fewer, **kept)  # as of a dear row, which has the first draws only
    receipt_of(fewer.parent, [fewer])
    out = Path("results/s/probe/svhn/comparisons")
    values = {"pairs": [["pca", "pixels"]], "resamples": 100, "seed": 0, "labels_per_class": 4}
    folders = [Path(f"results/s/probe/svhn/{row}") for row in ("pca", "pixels")]
    arguments = ["--cell", "svhn/comparisons", "--settings", json.dumps(values)]
    arguments += ["--predictions", *(str(folder / "predictions.npz") for folder in folders)]
    arguments += ["--test-labels", f"{DATA}/test_labels.npy", "--receipts", f"{DATA}/receipt.json"]
    arguments += [*(str(folder / "receipt.json") for folder in folders)]
    arguments += ["--comparisons", str(out / "comparisons.json"), "--receipt", str(out / "receipt.json")]
    assert run(compare_rows.main, arguments) == 0
    found = read_json(out / "comparisons.json")
    assert [entry["protocol"] for entry in found] == ["full", "few", "honest"]
    assert [entry["n_draws"] for entry in found] == [1, 2, 3]
    assert found[1]["sentence"].startswith("With 4 labels per class, pca")


def test_pictures_show_an_image_and_its_neighbours(study):
    """In its own features a training image's nearest neighbour is itself; here: of the same class."""
    from_ = make_features("pixels", {"kind": "pixels"})
    inputs = f"--train {from_}/train.npy --test {from_}/test.npy --receipts {from_}/receipt.json {DATA}/receipt.json"
    out = "--pictures results/s/p/pictures.npz --receipt results/s/p/receipt.json"
    arguments = ["--cell", "svhn/pixels", *images_of({"shown": 6, "neighbours": 3}), *labels_of()]
    assert run(probe_pictures.main, [*arguments, *inputs.split(), *out.split()]) == 0
    with np.load("results/s/p/pictures.npz") as arrays:
        assert arrays["images"].shape == (6, 4, 3, 32, 32)
        assert (np.diff(arrays["distances"], axis=1) >= 0).all()
        assert (arrays["labels"][:, 0] == arrays["labels"][:, 1]).mean() > 0.8


def test_weights_of_another_net_are_refused_in_one_line(study, capsys):
    path = gan_weights()
    settings = {"row": {"kind": "discriminator", "weights": "svhn/svhn32-w4"}, "threads": 1}
    arguments = ["--cell", "svhn/dcgan", *images_of(settings), "--weights", str(path)]
    arguments += f"--receipts {DATA}/receipt.json {path.parent}/receipt.json --train a.npy --test b.npy".split()
    assert run(features.main, [*arguments, "--layout", "c.json", "--receipt", "d.json"]) == 1
    assert "another net" in capsys.readouterr().err


def test_features_changed_behind_their_receipt_are_refused(study, capsys):
    out = make_features("forged", {"kind": "pixels"})
    with (out / "test.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x99")
    inputs = f"--train {out}/train.npy --test {out}/test.npy --layout {out}/layout.json --receipts {out}/receipt.json"
    outputs = "--metrics m.json --predictions p.npz --receipt r.json"
    arguments = ["--cell", "svhn/forged", "--settings", json.dumps(PROTOCOL), *labels_of()]
    assert run(probe.main, [*arguments, *inputs.split(), f"{DATA}/receipt.json", *outputs.split()]) == 1
    assert "test.npy: sha256 is" in capsys.readouterr().err
