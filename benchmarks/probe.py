"""The L2-SVM against scikit-learn's LinearSVC: time and memory on features of the size of the paper's.

python benchmarks/probe.py --part one      n = 4,000, d = 28,672: one C, and LinearSVC at it (five minutes)
python benchmarks/probe.py --part seven    the same rows: seven C, and LinearSVC at as many as it takes (ten minutes)
python benchmarks/probe.py --part svhn     the SVHN protocol: 170 fits of 1,000 rows and 7,168 features (minutes)
python benchmarks/probe.py --part large    50,000 x 28,672 within memory (6 GB of features; half an hour)

One thread. Every measurement is a process of its own that reads the features from a file: CPU seconds of the fit, and
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
ENOUGH = 25  # times ours: LinearSVC is given no further C then, and the ratio printed is a lower bound


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


def child(what: str, path: Path, C_values: list[float]) -> dict:
    """One measurement, in this process."""
    X, y = np.load(path), np.load(path.with_suffix(".labels.npy"))
    if what == "rate":
        block = X[:3000, :4096].copy()
        started = time.process_time()
        _ = block @ block.T
        return {"gflops": len(block) ** 2 * block.shape[1] / (time.process_time() - started) / 1e9}
    fit = {"ours": ours, "peer": peer, "draws": draws}[what]
    started = time.process_time()
    models = fit(X, y, C_values)
    seconds = time.process_time() - started
    gaps = [float((model.gap_ / model.objective_).max()) for model in models if hasattr(model, "gap_")]
    return {
        "cpu_s": seconds,
        "peak_GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "worst_relative_gap": max(gaps, default=None),
        "fits": len(models),
        "newton_steps": [getattr(model, "n_iter_", 0) for model in models][:7],
        "predictions": [model.predict(X[:2000]).tolist() for model in models[:7]],
    }


def ours(X: np.ndarray, y: np.ndarray, C_values: list[float]) -> list:
    from relatent.probe.l2svm import fit_path

    return fit_path(X, y, C_values)


def peer(X: np.ndarray, y: np.ndarray, C_values: list[float]) -> list:
    """LinearSVC at its defaults."""
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [LinearSVC(C=C).fit(X, y) for C in C_values]


def draws(X: np.ndarray, y: np.ndarray, C_values: list[float]) -> list:
    """The SVHN protocol: ten draws of 1,000 rows at every C, a hundred at one."""
    from relatent.probe.l2svm import fit_path

    models = []
    for draw in range(110):
        rows = np.random.default_rng(draw).choice(len(X), 1000, replace=False)
        models += fit_path(X[rows], y[rows], C_values if draw < 10 else [C_values[3]])
    return models


def measure(what: str, path: Path, C_values: list[float]) -> dict:
    """One measurement, in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps([what, str(path), C_values])]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def side_by_side(folder: Path, C_values: list[float]) -> None:
    """Ours and LinearSVC on the same 4,000 rows."""
    path = folder / "features.npy"
    make_features(path, 4000, 28672)
    limit = 4000**2 * 28672 / measure("rate", path, [])["gflops"] / 1e9
    print(
        f"n = 4,000, d = 28,672, 10 classes, {len(C_values)} C, one thread; features "
        f"{4000 * 28672 * 4 / 2**30:.2f} GiB; limit, the Gram matrix alone: {limit:.1f} s"
    )
    mine = measure("ours", path, C_values)
    seconds, peak, agreed = 0.0, 0.0, []
    for place in reversed(range(len(C_values))):  # each a fit from scratch, as its users do; the dearest first
        other = measure("peer", path, C_values[place : place + 1])
        seconds, peak = seconds + other["cpu_s"], max(peak, other["peak_GiB"])
        agreed.append(np.mean(np.array(mine["predictions"][place]) == np.array(other["predictions"][0])))
        print(f"LinearSVC at C = {C_values[place]:g}: {other['cpu_s']:.0f} CPU s", flush=True)
        if seconds > ENOUGH * mine["cpu_s"]:
            break
    more = ">" if len(agreed) < len(C_values) else ""
    print(f"{'':16}{'ours':>12}{'LinearSVC':>12}{'ratio':>9}")
    for name, here, there, sign in (("CPU s", mine["cpu_s"], seconds, more), ("peak GiB", mine["peak_GiB"], peak, "")):
        print(f"{name:16}{here:>12.2f}{sign + format(there, '.2f'):>12}{sign + format(there / here, '.1f'):>9}")
    print(
        f"equal predictions at {len(agreed)} C: {100 * np.mean(agreed):.2f} %; our proven relative gap "
        f"{mine['worst_relative_gap']:.0e}"
    )


def svhn(folder: Path) -> None:
    """The SVHN protocol's 170 fits."""
    path = folder / "svhn.npy"
    make_features(path, 6000, 7168)
    found = measure("draws", path, C_GRID)
    print(f"SVHN protocol, {found['fits']} fits of 1,000 rows and 7,168 features: {found['cpu_s']:.0f} CPU s")


def large(folder: Path, n: int) -> None:
    """As many rows as CIFAR-10 has: does it finish, in what memory, in what time."""
    path = folder / "large.npy"
    make_features(path, n, 28672)
    found = measure("ours", path, [1e-3])
    size = n * 28672 * 4 / 2**30
    print(
        f"{n:,} x 28,672, one C: {found['cpu_s']:.0f} CPU s, peak {found['peak_GiB']:.2f} GiB = "
        f"{found['peak_GiB'] / size:.2f} x the float32 features, Newton steps {found['newton_steps']}, "
        f"proven relative gap {found['worst_relative_gap']:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("one", "seven", "svhn", "large"), default="one")
    parser.add_argument("--rows", type=int, default=50_000, help="of --part large")
    parser.add_argument("--folder", type=Path, help="for the features; a temporary one if not given")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        what, path, C_values = json.loads(arguments.child)
        print(json.dumps(child(what, Path(path), C_values)))
        return
    parts = {
        "one": lambda folder: side_by_side(folder, [1e-2]),
        "seven": lambda folder: side_by_side(folder, C_GRID),
        "svhn": svhn,
        "large": lambda folder: large(folder, arguments.rows),
    }
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        parts[arguments.part](Path(folder))


if __name__ == "__main__":
    main()
