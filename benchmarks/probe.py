"""The L2-SVM against scikit-learn's LinearSVC: time and memory on features of the size of the paper's.

python benchmarks/probe.py              n = 4,000, d = 28,672: one C, then seven; and the SVHN protocol's 170 fits
python benchmarks/probe.py --large      50,000 x 28,672 within memory (6 GB of features, tens of minutes on one core)

One thread. Every measurement is a process of its own that loads the features from a file: CPU seconds of the fit, and
the process's peak memory, libraries and features included. Ratios are within one run, since the machine's state moves
both sides. The limit is the Gram matrix's multiplications, symmetry used, at the rate of a large float32 product here.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

C_GRID = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2]


def make_features(path: Path, n: int, d: int) -> None:
    """Made-up features: 256 hidden directions of falling strength through a leaky ReLU, so none is exactly zero."""
    rng = np.random.default_rng(0)
    strengths = np.arange(1, 257, dtype=np.float32) ** -0.5
    to_label = rng.standard_normal((256, 10), dtype=np.float32)
    to_feature = rng.standard_normal((256, d), dtype=np.float32)
    features = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    labels = np.empty(n, int)
    for start in range(0, n, 1000):
        rows = min(1000, n - start)
        hidden = rng.standard_normal((rows, 256), dtype=np.float32) * strengths
        noise = rng.standard_normal((rows, 10), dtype=np.float32)
        labels[start : start + rows] = (hidden @ to_label + 0.6 * noise).argmax(axis=1)
        block = hidden @ to_feature + 0.3 * rng.standard_normal((rows, d), dtype=np.float32)
        features[start : start + rows] = 0.3 * np.maximum(block, 0.2 * block)
    features.flush()
    np.save(path.with_suffix(".labels.npy"), labels)


def child(what: str, path: Path, n: int, C_values: list[float]) -> dict:
    """One measurement, in this process."""
    X, y = np.load(path, mmap_mode="r")[:n], np.load(path.with_suffix(".labels.npy"))[:n]
    X = np.array(X)
    if what == "rate":
        block = X[: min(n, 3000), :4096].copy()
        started = time.process_time()
        _ = block @ block.T
        return {"gflops": len(block) ** 2 * block.shape[1] / (time.process_time() - started) / 1e9}
    if what == "peer":
        from sklearn.svm import LinearSVC

        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models = [LinearSVC(C=C).fit(X, y) for C in C_values]
        seconds, gap = time.process_time() - started, None
    else:
        from relatent.probe.l2svm import fit_path

        started = time.process_time()
        if what == "draws":
            models = []
            for draw in range(110):
                rows = np.random.default_rng(draw).choice(n, 1000, replace=False)
                models += fit_path(X[rows], y[rows], C_GRID if draw < 10 else [C_GRID[3]])
        else:
            models = fit_path(X, y, C_values)
        seconds = time.process_time() - started
        gap = max(float((model.gap_ / model.objective_).max()) for model in models)
    return {
        "cpu_s": seconds,
        "peak_GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "worst_relative_gap": gap,
        "fits": len(models),
        "newton_steps": [getattr(model, "n_iter_", 0) for model in models][:7],
        "predictions": models[-1].predict(X[:2000]).tolist(),
    }


def measure(what: str, path: Path, n: int, C_values: list[float]) -> dict:
    """One measurement, in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps([what, str(path), n, C_values])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def small(folder: Path) -> None:
    """The table of the README."""
    path = folder / "features.npy"
    make_features(path, 4000, 28672)
    rate = measure("rate", path, 4000, [])["gflops"]
    limit = 4000**2 * 28672 / rate / 1e9
    size = 4000 * 28672 * 4 / 2**30
    ours, peer = measure("ours", path, 4000, [1e-2]), measure("peer", path, 4000, [1e-2])
    seven = measure("ours", path, 4000, C_GRID)
    same = np.mean(np.array(ours["predictions"]) == np.array(peer["predictions"]))
    print(f"n = 4,000, d = 28,672, 10 classes, one thread; features {size:.2f} GiB; Gram matrix alone {limit:.1f} s")
    print(f"{'':24}{'ours':>18}{'LinearSVC':>18}{'ratio':>9}")
    print(f"{'one C, CPU s':24}{ours['cpu_s']:>18.1f}{peer['cpu_s']:>18.1f}{peer['cpu_s'] / ours['cpu_s']:>9.1f}")
    print(
        f"{'peak GiB':24}{ours['peak_GiB']:>18.2f}{peer['peak_GiB']:>18.2f}{peer['peak_GiB'] / ours['peak_GiB']:>9.1f}"
    )
    sevenfold = 7 * peer["cpu_s"]
    print(f"{'seven C, CPU s':24}{seven['cpu_s']:>18.1f}{sevenfold:>16.1f} *{sevenfold / seven['cpu_s']:>9.1f}")
    print(
        f"* seven times one C. Equal predictions: {100 * same:.2f} %; our proven gap {ours['worst_relative_gap']:.0e}"
    )
    path = folder / "svhn.npy"
    make_features(path, 6000, 7168)
    draws = measure("draws", path, 6000, [])
    print(f"SVHN protocol, {draws['fits']} fits of 1,000 rows and 7,168 features: {draws['cpu_s']:.0f} CPU s")


def large(folder: Path) -> None:
    """50,000 x 28,672: does it finish, in what memory, in what time."""
    path = folder / "large.npy"
    make_features(path, 50_000, 28672)
    found = measure("ours", path, 50_000, [1e-3])
    size = 50_000 * 28672 * 4 / 2**30
    print(
        f"50,000 x 28,672, one C: {found['cpu_s']:.0f} CPU s, peak {found['peak_GiB']:.2f} GiB = "
        f"{found['peak_GiB'] / size:.2f} x the float32 features, Newton steps {found['newton_steps']}, "
        f"proven gap {found['worst_relative_gap']:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--folder", type=Path, help="for the features; a temporary one if not given")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        what, path, n, C_values = json.loads(arguments.child)
        print(json.dumps(child(what, Path(path), n, C_values)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        (large if arguments.large else small)(Path(folder))


if __name__ == "__main__":
    main()
