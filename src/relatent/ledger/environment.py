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

# Vector instructions that change which kernels run: x86, then Arm.
VECTORS = ("avx", "fma", "f16c", "amx_", "asimd", "sve", "bf16")


@cache
def environment_record() -> dict[str, Any]:
    """Versions, processor and GPU of this machine, read without importing any of the libraries.

    A model name alone does not tell the arithmetic: clouds give many processors one name, and the libraries choose
    their kernels, hence their order of summation, by family, model and vector instructions.
    """
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        **_processor(_cpuinfo()),
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


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _processor(cpuinfo: str) -> dict[str, Any]:
    """Name, family and model, and vector instructions of the first processor in `cpuinfo`, Linux's text."""
    fields: dict[str, str] = {}
    for line in cpuinfo.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    # x86 has "flags", Arm "Features" with numbers for names of the maker and the part.
    flags = f"{fields.get('flags', '')} {fields.get('Features', '')}".split()
    family = [fields.get(name) for name in ("cpu family", "model", "CPU implementer", "CPU part")]
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cpu_family": " ".join(part for part in family if part),
        "cpu_vectors": sorted(flag for flag in set(flags) if flag.startswith(VECTORS)),
    }


def _gpu_models() -> list[str]:
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text().splitlines():
            if line.startswith("Model:"):
                found.append(line.partition(":")[2].strip())
    return found
