"""The environment record: what besides code, data and settings can change bits. Kept once, named by its digest."""

import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from relatent.ledger.files import digest_of, write_json

# Distributions whose version can change a number or a picture; snakemake and dvc cannot, and conda envs lack them.
DISTRIBUTIONS = (
    "jinja2",
    "matplotlib",
    "numpy",
    "pandas",
    "pillow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
)


@cache
def environment_record() -> dict[str, Any]:
    """Versions, processor and GPU of this machine, read without importing any of the libraries."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "cpu": _cpu_model(),
        "gpu": _gpu_models(),
        "versions": {name: _version(name) for name in DISTRIBUTIONS},
    }


def keep_environment(receipt: Path) -> str:
    """Write the record into the `environments/` folder that serves `receipt`, once; return its digest."""
    record = environment_record()
    digest = digest_of(record)
    path = environments_folder(receipt) / f"{digest[:16]}.json"
    if not path.exists():
        write_json(path, record)
    return digest


def environments_folder(receipt: Path) -> Path:
    """`results/<study>/environments` or `data/environments`; beside the receipt for work done by hand elsewhere."""
    parts = receipt.parts
    for index, part in enumerate(parts[:-1]):
        if part == "results" and index + 1 < len(parts) - 1:
            return Path(*parts[: index + 2], "environments")
        if part == "data":
            return Path(*parts[: index + 1], "environments")
    return receipt.parent / "environments"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu_models() -> list[str]:
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text().splitlines():
            if line.startswith("Model:"):
                found.append(line.partition(":")[2].strip())
    return found
