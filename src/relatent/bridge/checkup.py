"""What is missing on this machine, and how to get it: the checks behind `relatent doctor`."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from relatent.bridge.programs import environment, versions
from relatent.bridge.states import RUN_CACHE
from relatent.bridge.unfinished import unfinished_names
from relatent.ledger.work import work_root

OLDEST_PYTHON = (3, 11)
OLDEST_CONDA = (24, 7, 1)
NEEDED_GB = 5.0
SHOWN = 5  # unfinished works that are named
# A different version of these can change numbers or pictures; the other pins only keep an installation as it was.
DECISIVE = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib", "pillow", "safetensors")


@dataclass(frozen=True)
class Check:
    """One thing looked at. `missing` stops a study; `note` is good to know; `remedy` says what to do."""

    name: str
    state: Literal["ok", "note", "missing"]
    found: str
    remedy: str = ""


def check_machine() -> Iterator[Check]:
    """All checks, the quick ones first."""
    yield _python()
    yield from _programs()
    yield from _libraries()
    yield _torch()
    yield _conda()
    yield _disk()
    yield _memory()
    yield _mirror()
    yield from _repository()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", "missing", version, "needs 3.11 or newer: `make PYTHON=python3.12`")
    return Check("python", "ok", f"{version} at {sys.executable}")


def _programs() -> Iterator[Check]:
    found = versions(("git", "snakemake", "dvc"))
    for program, version in found.items():
        if version is None:
            remedy = "install git" if program == "git" else "run `make env`, or `pip install -e .`"
            yield Check(program, "missing", "not found", remedy)
        elif program != "git" and shutil.which(program) is None:
            beside = Path(sys.executable).parent
            remedy = f"a bare `dvc repro` calls it by name: `source {beside}/activate` first"
            yield Check(program, "note", f"{version}, but not on PATH", remedy)
        else:
            yield Check(program, "ok", version)


def _libraries() -> Iterator[Check]:
    """Installed versions beside constraints.txt, graded by what a difference can do."""
    path = Path("constraints.txt")
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), flags=re.MULTILINE)) if path.is_file() else {}
    absent, other = [], []
    for name, pinned in pins.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if installed.partition("+")[0] != pinned.partition("+")[0]:
            other.append((name, installed, pinned))
    decisive = [name for name in absent if name in DECISIVE]
    if decisive:
        yield Check("libraries", "missing", f"{', '.join(decisive)} not installed", "run `make env`")
    changed = [f"{name} {installed} for {pinned}" for name, installed, pinned in other if name in DECISIVE]
    if changed:
        remedy = "these can change numbers; `pip install -c constraints.txt -e .` gives the pinned ones"
        yield Check("libraries", "note", "; ".join(changed), remedy)
    elif not decisive:
        rest = f", {len(other)} others differ without consequence for numbers" if other else ""
        yield Check("libraries", "ok", f"those that decide numbers are as pinned{rest}")


def _torch() -> Check:
    """In a process of its own: a broken build can end the process that imports it."""
    program = (
        "import torch; n = torch.cuda.device_count() if torch.cuda.is_available() else 0;"
        "print(torch.__version__, torch.version.cuda, [torch.cuda.get_device_name(i) for i in range(n)], sep='|')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        return Check("torch", "missing", last, "run `make env`; without a GPU, see TORCH_INDEX in the Makefile")
    version, cuda, devices = done.stdout.strip().split("|")
    if devices != "[]":
        return Check("torch", "ok", f"{version}, CUDA {cuda}, {devices.strip('[]')}")
    if cuda != "None":
        remedy = "works; a build without CUDA is gigabytes smaller: see TORCH_INDEX in the Makefile"
        return Check("torch", "note", f"{version} built for CUDA {cuda}, but no GPU is seen", remedy)
    return Check("torch", "ok", f"{version}, CPU only; `paper` effort wants a GPU")


def _conda() -> Check:
    found = shutil.which("conda")
    if found is None:
        remedy = "leave `--use-conda` away: jobs then run in this environment. Else install conda 24.7.1 or newer"
        return Check("conda", "note", "not found", remedy)
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    numbers = re.findall(r"\d+", done.stdout)
    if done.returncode != 0 or tuple(map(int, numbers[:3])) < OLDEST_CONDA:
        return Check("conda", "note", done.stdout.strip(), "`--use-conda` needs 24.7.1 or newer; or leave it away")
    return Check("conda", "ok", done.stdout.strip())


def _disk() -> Check:
    free_gb = shutil.disk_usage(".").free / 1e9
    if free_gb < NEEDED_GB:
        remedy = "free some: DVC's cache keeps a second copy of data and weights; `dvc gc -w` drops old ones"
        return Check("disk", "note", f"{free_gb:.1f} GB free", remedy)
    return Check("disk", "ok", f"{free_gb:,.0f} GB free")


def _memory() -> Check:
    try:
        total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError):
        return Check("memory", "note", "unknown on this system")
    cores = os.cpu_count() or 1
    if total_gb < 4:
        return Check("memory", "note", f"{total_gb:.1f} GB for {cores} cores", "use fewer cores: `--cores 1`")
    return Check("memory", "ok", f"{total_gb:.0f} GB, {cores} cores")


def _mirror() -> Check:
    mirror = os.environ.get("RELATENT_MIRROR")
    if not mirror:
        remedy = "not needed for the demo; a folder or URL with <dataset>/<official file name> is tried first"
        return Check("mirror", "note", "RELATENT_MIRROR is not set", remedy)
    if "://" not in mirror and not Path(mirror).is_dir():
        return Check("mirror", "missing", f"RELATENT_MIRROR={mirror} is no folder", "correct it or unset it")
    there = sorted(path.name for path in Path(mirror).iterdir() if path.is_dir()) if "://" not in mirror else []
    return Check("mirror", "ok", f"{mirror}: {', '.join(there)}" if there else mirror)


def _repository() -> Iterator[Check]:
    if not Path("workflow/Snakefile").is_file():
        yield Check("repository", "missing", f"{Path.cwd()} is not its root", "change to the folder with the Snakefile")
        return
    if not Path(".git").exists():
        remedy = "dvc.yaml is rendered with .gitignore's help, and DVC wants Git: use a clone, not an archive"
        yield Check("repository", "note", "no .git here", remedy)
    if RUN_CACHE.exists():
        yield Check("run cache", "note", f"{RUN_CACHE} exists", "it can bring back forged files: `relatent sync` or rm")
    if Path(".snakemake/locks").is_dir() and any(Path(".snakemake/locks").iterdir()):
        remedy = "is a snakemake running? If not, `snakemake --unlock`"
        yield Check("lock", "note", "Snakemake's lock is held", remedy)
    if work_root().is_dir():
        yield _scratch()


def _scratch() -> Check:
    size_gb = sum(path.stat().st_size for path in work_root().rglob("*") if path.is_file()) / 1e9
    names = unfinished_names()
    if not names:
        return Check("scratch", "ok", f"{work_root()}: {size_gb:.2f} GB of finished work; safe to remove")
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    found = f"{work_root()}: {size_gb:.2f} GB; checkpoints of unfinished work, {len(names)} in all: {shown}"
    remedy = "removing it loses them, perhaps days of training; `relatent pack --unfinished` copies them first"
    return Check("scratch", "note", found, remedy)
