"""A made-up study on disk in the formats of the phases: seeded numbers, real receipts."""

from pathlib import Path

import numpy as np

from relatent.ledger.files import sha256_of, write_json
from relatent.ledger.receipts import FileRecord, Receipt, write_receipt
from relatent.probe.diagnostics import confusion
from relatent.probe.pixels import filter_pictures

SEEDS = (0, 1, 2)
DENSITY = [
    "vae-L1-k1",
    *(f"{o}-L{layers}-k{k}" for layers in (1, 2) for o in ("vae", "iwae") for k in (5, 50)),
    "vae-L2-k1",
]
NLL = {"vae-L1-k1": 23.9, "vae-L1-k5": 23.8, "vae-L1-k50": 23.75, "iwae-L1-k5": 23.5, "iwae-L1-k50": 23.2}
PROBE = {
    "pixels": (0.968, 0.86, 1024),
    "pca": (0.965, 0.85, 64),
    "kmeans": (0.985, 0.90, 1600),
    "random": (0.988, 0.92, 1792),
    "dcgan": (0.988, 0.91, 1792),
}
EXACT = {"mixture": -3.1, "bernoulli": -20.4, "linear-gaussian": -30.2}


def receipt(root: Path, folder: Path, rule: str, cell: str, **more) -> None:
    made = [path for path in sorted(folder.iterdir()) if not path.name.endswith("receipt.json")]
    outputs = [FileRecord(path.relative_to(root).as_posix(), sha256_of(path), path.stat().st_size) for path in made]
    write_receipt(
        folder / more.get("name", "receipt.json"),
        Receipt(rule, f"relatent.cli.{rule}", cell, more.get("settings", {}), "0" * 64, "0" * 64, [], outputs),
    )


def make_density(root: Path, study: str = "demo", dataset: str = "digits", cells=DENSITY, seeds=SEEDS) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 4, 400)
    for cell in cells:
        base = NLL.get(cell.replace("L2", "L1"), 23.9) - (0.3 if "L2" in cell else 0)
        noise = np.array([0.05, -0.04, -0.01])[: len(seeds), None]
        log_px = -(base + images + noise + rng.normal(0, 0.3, (len(seeds), 400)))
        folder = root / f"results/{study}/evaluate_nll/{dataset}/{cell}"
        folder.mkdir(parents=True)
        np.savez(folder / "per_image.npz", log_px_hat=log_px)
        per_seed = (-log_px.mean(axis=1)).tolist()
        metrics = {
            "nll_nats": {
                "value": float(np.mean(per_seed)),
                "per_seed": per_seed,
                "stderr": 0.003,
                "test_sampling_stderr": 0.3,
                "unit": "nats",
                "k": 5000,
                "n_images": 400,
                "binarisation": "12ab34cd" * 8,
            },
            "train_nll_nats": {"value": 23.0, "test_sampling_stderr": 0.4, "unit": "nats"},
            "nll_change_without_inactive_nats": {"value": -0.01, "stderr": 0.005, "unit": "nats"},
            "test_minus_train_nats": {"value": 0.4, "per_seed": [0.41, 0.39, 0.4][: len(seeds)], "unit": "nats"},
            "ess": {"value": 801.2, "unit": "count"},
            "active_units_z1": active_units(cell, len(seeds)),
        }
        if "L2" in cell:
            metrics["active_units_z2"] = {"value": 4.0, "per_seed": [4, 4, 4][: len(seeds)], "unit": "units"}
            metrics["active_units_z2_code"] = {"value": 9.0, "per_seed": [9, 9, 9][: len(seeds)], "unit": "units"}
        write_json(folder / "metrics.json", metrics)
        lines = ["seed,layer,unit,variance,variance_code"]
        for seed in seeds:
            for unit in range(50):
                value = float(np.exp(rng.normal(-0.5, 0.6) if unit < 14 else rng.normal(-7.5, 0.5)))
                lines.append(f"{seed},1,{unit},{value:.9g},{value:.9g}")
        (folder / "activity.csv").write_text("\n".join(lines) + "\n")
        receipt(root, folder, "evaluate_nll", f"{dataset}/{cell}")


def active_units(cell: str, seeds: int) -> dict:
    more = {"iwae-L1-k5": 10, "iwae-L1-k50": 20}.get(cell.replace("L2", "L1"), 0)
    per_seed = [13 + more, 14 + more, 14 + more][:seeds]
    return {"value": sum(per_seed) / seeds, "per_seed": per_seed, "unit": "units"}


def make_exact(root: Path, study: str = "demo") -> None:
    for model, exact in EXACT.items():
        folder = root / f"results/{study}/evaluate_nll/exact/{model}"
        folder.mkdir(parents=True)
        metrics = {"log_px_nats": {"value": exact, "unit": "nats", "n_images": 400}}
        for k in (1, 5, 50, 500, 5000):
            metrics[f"bound_k{k}_nats"] = {
                "value": exact - 0.9 / k,
                "stderr": 0.9 / k**0.5 / 20,
                "unit": "nats",
                "k": k,
                "bias_first_order": -0.9 / k,
            }
        write_json(folder / "metrics.json", metrics)
        receipt(root, folder, "exact_likelihood", f"exact/{model}")


def make_dedup(root: Path, study: str = "demo") -> None:
    for dataset, n in (("photos", 2000), ("digits32", 1297)):
        folder = root / f"results/{study}/dedup/{dataset}"
        folder.mkdir(parents=True)
        fraction = {"unit": "fraction", "low": 0.6, "high": 0.8}
        metrics = {
            "n_images": {"value": n, "unit": "count"},
            "n_duplicates": {"value": 37, "unit": "count"},
            "n_clusters": {"value": 21, "unit": "count"},
            "largest_cluster": {"value": 4, "unit": "count"},
            "radius_bits": {"value": 4 if dataset == "photos" else 0, "unit": "bits"},
            "precision": {"value": 0.97, "n_pairs": 37, **fraction, "low": 0.86, "high": 0.99},
            **{f"recall_{kind}": {"value": 0.7, **fraction} for kind in ("jpeg", "shift", "brightness", "resize")},
            **{
                f"{kind}_entropy_bits": {"value": v, "unit": "bits"}
                for kind, v in (("code", 61.2), ("collision", 24.4), ("needed", 17.0))
            },
        }
        write_json(folder / "metrics.json", metrics)
        receipt(root, folder, "dedup", dataset)


def make_probe(root: Path, study: str = "demo") -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(400) % 10
    for row, (full, few, units) in PROBE.items():
        folder = root / f"results/{study}/probe/digits32/{row}"
        folder.mkdir(parents=True)
        draws = (few + rng.normal(0, 0.01, 10)).tolist()
        metrics = {
            "accuracy_full": {
                "value": full,
                "unit": "fraction",
                "n_images": 400,
                "confusion": confusion(np.where(rng.random(400) < full, labels, rng.integers(0, 10, 400)), labels),
            },
            "accuracy_few": {
                "value": float(np.mean(draws)),
                "per_draw": draws,
                "sd": 0.01,
                "unit": "fraction",
                "n_labels": 100,
                "n_images": 400,
            },
            "feature_units": {"value": units, "unit": "units"},
        }
        for count, loss in ((1, 0.2), (5, 0.06), (10, 0.0)):
            metrics[f"accuracy_at_{count}"] = {
                "value": few - loss,
                "low": few - loss - 0.01,
                "high": few - loss + 0.01,
                "interval": "draws",
            }
        if row in ("random", "dcgan"):
            for layer in (1, 2, 3):
                metrics[f"accuracy_full_layer{layer}"] = {
                    "value": full - 0.02 / layer,
                    "unit": "fraction",
                    "n_images": 400,
                }
                metrics[f"accuracy_few_layer{layer}"] = {"value": few - 0.05 / layer, "low": few - 0.06, "high": few}
            images = rng.integers(0, 256, (8, 6, 1, 32, 32), dtype=np.uint8)
            near, shown = rng.integers(0, 1297, (8, 5)), rng.integers(0, 10, (8, 6))
            np.savez(folder / "pictures.npz", images=images, labels=shown, shown=np.arange(8), neighbours=near)
            receipt(root, folder, "probe_pictures", f"digits32/{row}", name="pictures.receipt.json")
        write_json(folder / "metrics.json", metrics)
        receipt(root, folder, "probe", f"digits32/{row}")


def make_filters(root: Path, study: str = "demo") -> None:
    rng = np.random.default_rng(2)
    for row, count in (("kmeans", 64), ("random", 16), ("dcgan", 16)):
        folder = root / f"results/{study}/features/digits32/{row}"
        folder.mkdir(parents=True)
        layout = {"features": 4 * count, "units": count, "filters": filter_pictures(rng.normal(size=(count, 3, 5, 5)))}
        write_json(folder / "layout.json", layout)
        receipt(root, folder, "features", f"digits32/{row}")


def make_prepared(root: Path) -> None:
    for dataset in ("digits", "photos"):
        folder = root / f"data/prepared/{dataset}"
        folder.mkdir(parents=True, exist_ok=True)
        metrics = {f"n_{split}": {"value": n, "unit": "count"} for split, n in (("train", 1297), ("test", 400))}
        metrics["mean_train"] = {"value": 0.3053, "unit": "fraction", "n_images": 1297}
        metrics["duplicates_test_in_train"] = {"value": 0, "unit": "count"}
        metrics["alike_test_in_train"] = {"value": 3, "unit": "count", "correlation": 0.95}
        metrics["labels_train"] = {"value": [1200, 97], "unit": "count", "classes": ["a", "b"]}
        metrics["sha256_train"] = {"value": "ab" * 32, "unit": "sha256"}
        metrics["test_binarisation"] = {"value": "0" * 64, "unit": "sha256", "seed": 123}
        write_json(folder / "checks.json", metrics)
        receipt(root, folder, "check_data", dataset, name="checks.receipt.json")


def make_trained(root: Path, study: str = "demo") -> None:
    """Histories and samples: blobs for the density models, strokes and noise for the GAN."""
    rng = np.random.default_rng(2)
    for cell in DENSITY:
        folder = root / f"results/{study}/train_density/digits/{cell}"
        folder.mkdir(parents=True)
        base = NLL.get(cell.replace("L2", "L1"), 23.9)
        lines = ["seed,stage,epoch,learning_rate,train_bound_nats"]
        for seed in SEEDS:
            for epoch in range(1, 31):
                value = -(base + 16 / epoch + rng.normal(0, 0.1))
                lines.append(f"{seed},0,{epoch},0.001,{value:.9g}")
        (folder / "history.csv").write_text("\n".join(lines) + "\n")
        receipt(root, folder, "train_density", f"digits/{cell}")
        make_samples(root / f"results/{study}/sample/digits/{cell}", rng, 1, 8, 4)
        receipt(root, root / f"results/{study}/sample/digits/{cell}", "sample", f"digits/{cell}")
    folder = root / f"results/{study}/train_gan/digits32/svhn32-w16"
    folder.mkdir(parents=True)
    lines = ["step,epoch,images_seen,d_loss,g_loss,d_grad_norm,g_grad_norm"]
    for step in range(1, 401):
        d, g = 1.3 * np.exp(-step / 200) + 0.3 + 0.1 * rng.random(), 1 + step / 200 + 0.3 * rng.random()
        lines.append(f"{step},{step // 10},{step * 128},{d:.6g},{g:.6g},{1 + rng.random():.6g},{2 + rng.random():.6g}")
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    receipt(root, folder, "train_gan", "digits32/svhn32-w16", settings={"snapshot_epochs": [2, 1]})
    folder = root / f"results/{study}/sample/digits32/svhn32-w16"
    make_samples(folder, rng, 1, 32, 6)
    np.save(folder / "early.npy", rng.integers(0, 256, (64, 1, 32, 32), dtype=np.uint8))
    make_judged(folder)
    receipt(root, folder, "sample", "digits32/svhn32-w16")


def make_judged(folder: Path) -> None:
    """Metrics of a GAN's samples."""
    values = {"kid": 0.0312, "precision": 0.71, "recall": 0.44, "two_sample_accuracy": 0.83, "ms_ssim": 0.231}
    metrics = {
        name + suffix: {"value": value * scale, "unit": "fraction" if name in ("precision", "recall") else "1"}
        for name, value in values.items()
        for suffix, scale in (("", 1.0), ("_real", 0.9))
    }
    metrics["memorising_gap"] = {"value": -0.0123, "stderr": 0.002, "unit": "grey levels / 255"}
    metrics["realness"] = {"value": 0.5, "unit": "logit", "per_image": [i % 7 / 7 for i in range(100)]}
    metrics["copies"] = {"value": 0.01, "unit": "fraction", "n_images": 400}
    write_json(folder / "metrics.json", metrics)


def make_conditional(root: Path, study: str = "demo") -> None:
    """A 1-NN classifier trained on samples of a conditional net."""
    folder = root / f"results/{study}/sample/mnist/mnist_conditional-w16/nearest_neighbour"
    folder.mkdir(parents=True)
    errors = {"nn_error_50k": (0.041, 50_000), "nn_error_real_50k": (0.031, 50_000)}
    write_json(
        folder / "metrics.json",
        {
            name: {"value": error, "stderr": 0.002, "unit": "fraction", "n_samples": n, "n_images": 10_000}
            for name, (error, n) in errors.items()
        },
    )
    receipt(root, folder, "nearest_neighbour", "mnist/mnist_conditional-w16")


def make_arithmetic(root: Path, study: str = "demo") -> None:
    """Sums of z that succeed more often the more exemplars there are."""
    folder = root / f"results/{study}/sample/mnist/mnist_conditional-w16/arithmetic"
    folder.mkdir(parents=True)
    metrics = {}
    for name in ("drawn", "drawn_target", *(f"{way}_k{k}" for way in ("latent", "pixels") for k in (1, 3))):
        share = 0.9 if name == "latent_k3" else 0.25
        for what in ("success", "target", "outer", "kept"):
            metrics[f"{what}_{name}"] = {"value": share, "unit": "fraction", "n_images": 200}
        for what in ("length", "distance", "greyness")[name.startswith("pixels") :]:
            metrics[f"{what}_{name}"] = {"value": 0.17, "stderr": 0.01, "interval": "test sampling", "unit": "1"}
    metrics["beyond_three"] = {"value": -0.05, "stderr": 0.01, "interval": "test sampling", "unit": "fraction"}
    write_json(folder / "metrics.json", metrics)
    rng = np.random.default_rng(6)
    shapes = {"exemplars": (5, 3, 3), "means": (5, 3), "results": (5, 9), "pixels": (5,)}
    shown = {name: rng.integers(0, 256, (*shape, 1, 28, 28), dtype=np.uint8) for name, shape in shapes.items()}
    np.savez(folder / "arithmetic.npz", label=np.arange(5), succeeded=np.arange(5) % 2 == 0, **shown)
    receipt(root, folder, "latent_arithmetic", "mnist/mnist_conditional-w16")


def make_guided(root: Path, study: str = "demo") -> None:
    """Six features of a net and of the same net before its training."""
    folder = root / f"results/{study}/sample/digits32/svhn32-w16/guided"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    nets, kinds = ("trained", "random"), ("images", "guided", "plain")
    shown = {f"{kind}_{net}": rng.integers(0, 256, (6, 4, 3, 32, 32), dtype=np.uint8) for kind in kinds for net in nets}
    index = {f"index_{net}": rng.integers(0, 1297, (6, 4)) for net in nets}
    np.savez(folder / "guided.npz", **shown, **index)
    metrics = {
        f"{what}_{rule}_{net}": {"value": 0.07, "stderr": 0.01, "interval": "features", "unit": "1"}
        for what in ("half_area", "with_image", "with_next_feature")
        for rule in ("guided", "plain")
        for net in nets
    }
    write_json(folder / "metrics.json", metrics)
    receipt(root, folder, "guided_features", "digits32/svhn32-w16")


def make_ablation(root: Path, study: str = "demo") -> None:
    """Samples of a net and of two with a rule taken away."""
    rng = np.random.default_rng(4)
    for net in ("svhn32-w16", "svhn32-w16-nobn", "svhn32-w16-relu"):
        folder = root / f"results/{study}/sample/cifar10/{net}"
        make_samples(folder, rng, 3, 32, 6)
        np.save(folder / "early.npy", np.load(folder / "samples.npy")[::-1])
        make_judged(folder)
        receipt(root, folder, "sample", f"cifar10/{net}")


def make_samples(folder: Path, rng: np.random.Generator, channels: int, side: int, rows: int) -> None:
    folder.mkdir(parents=True)
    y, x = np.mgrid[:side, :side] / side
    centres = rng.random((100, 2, 1, 1))
    blobs = 255 * np.exp(-((x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2) * 20)
    np.save(folder / "samples.npy", np.repeat(blobs[:, None], channels, 1).astype(np.uint8))
    paths = [np.linspace(blobs[2 * row], blobs[2 * row + 1], 9) for row in range(2 * rows)]
    np.save(folder / "interpolation.npy", np.repeat(np.array(paths)[:, :, None], channels, 2).astype(np.uint8))
    if channels == 1:
        weights = rng.normal(0, 1, (64, 1, side, side)) * rng.gamma(1, 1, (64, 1, 1, 1))
        np.savez(folder / "filters.npz", encoder=weights, decoder=weights[:50])


def make_pictures(root: Path, study: str = "demo") -> None:
    """Images of the prepared data, and clusters that point into them."""
    rng = np.random.default_rng(3)
    for dataset, channels in (("photos", 3), ("digits32", 1)):
        folder = root / f"data/prepared/{dataset}"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "train_images.npy", rng.integers(0, 256, (300, channels, 32, 32), dtype=np.uint8))
        write_json(folder / "manifest.json", {"classes": [f"class {label}" for label in range(10)]})
        receipt(root, folder, "prepare", dataset)
        lines = ["index,cluster,kept"]
        for index in range(300):
            cluster = index - index % 4 if index < 24 else index
            cluster = 24 if 24 <= index < 36 else cluster  # of twelve, more than a row holds
            lines.append(f"{index},{cluster},{int(index == cluster)}")
        folder = root / f"results/{study}/dedup/{dataset}"
        (folder / "clusters.csv").write_text("\n".join(lines) + "\n")
        receipt(root, folder, "dedup", dataset)


TWO_LATENTS = ("vae-L1-k1-2d", "iwae-L1-k5-2d", "iwae-L1-k50-2d")


def make_posteriors(root: Path, study: str = "demo") -> None:
    """Posteriors that look less and less like an ellipse, and annealing of one cell."""
    rng = np.random.default_rng(5)
    axis = np.linspace(-7, 7, 141)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    for bend, cell in enumerate(TWO_LATENTS):
        folder = root / f"results/{study}/sample/digits/{cell}/posterior"
        folder.mkdir(parents=True)
        centres = rng.uniform(-2, 2, (6, 2))
        log = np.array([-((x - a) ** 2) * 2 - (y - b - bend * 0.4 * (x - a) ** 2) ** 2 * 4 for a, b in centres])
        log -= np.log(np.exp(log).sum((1, 2), keepdims=True) * (axis[1] - axis[0]) ** 2)
        images = rng.integers(0, 2, (6, 1, 8, 8), dtype=np.uint8)
        np.savez(
            folder / "posterior.npz",
            axis=axis,
            log_posterior=log.astype(np.float32),
            log_px=np.full(6, -30.0),
            kl=np.arange(6.0),
            q_mean=centres,
            q_sd=np.full((6, 2), 0.5),
            images=images,
            reconstructions=np.clip(images[:, None] + rng.normal(0, 0.2, (6, 5, 1, 8, 8)), 0, 1).astype(np.float32),
        )
        receipt(root, folder, "posterior_grid", f"digits/{cell}")
    folder = root / f"results/{study}/evaluate_nll/digits/vae-L1-k1/annealing"
    folder.mkdir(parents=True)
    metrics = {"ais_nll_nats": 23.1, "ais_above_bound_nats": 0.6, "simulated_ais_gap_nats": 0.02}
    write_json(
        folder / "metrics.json",
        {
            name: {"value": value, "stderr": 0.01, "interval": "test sampling", "unit": "nats", "n_images": 100}
            for name, value in metrics.items()
        },
    )
    receipt(root, folder, "anneal_density", "digits/vae-L1-k1")
