"""The audit's own test: forge things on a copy of a study and see which level notices. No detector is trusted untried.

The last forgeries refresh the receipts they break, as a careful forger would. What no level up to L2 can see is a study
forged from its weights on, with every receipt and lock refreshed: only L3 and L4, or a stranger's run, see that.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from relatent.audit.levels import integrity, inventory, md5_of
from relatent.audit.remake import remade
from relatent.audit.verdict import Level
from relatent.ledger.files import read_json, write_json
from relatent.ledger.jobs import PlannedJob
from relatent.ledger.receipts import FileRecord, read_receipt, write_receipt

Jobs = Sequence[PlannedJob]


@dataclass(frozen=True)
class Forgery:
    """One way to cheat. `forge` changes files and returns the file it forged, None where the study has no such file."""

    name: str
    forge: Callable[[Jobs, Sequence[str]], str | None]
    changes_graph: bool = False


def self_test(study: str, jobs: Jobs, dvc_files: Sequence[str], expand: Callable[[], Jobs]) -> int:
    """Try every forgery on a copy of the repository; print what noticed it; exit code 1 if one goes unnoticed."""
    unnoticed = 0
    with _copy(study, jobs) as copy, contextlib.chdir(copy):
        sound = _levels(study, jobs, dvc_files)
        if not all(level.passed for level in sound):
            failed = next(level for level in sound if not level.passed)
            print(f"{study}: not sound to begin with, so the self-test can say nothing. First: {failed.findings[0]}")
            return 1
        for forgery in FORGERIES:
            with _undone(copy, study, jobs):
                forged = forgery.forge(jobs, dvc_files)
                if forged is None:
                    print(f"{forgery.name}: no such file in this study")
                    continue
                now = expand() if forgery.changes_graph else jobs
                caught = next((level for level in _levels(study, now, dvc_files) if not level.passed), None)
                if caught is None:
                    unnoticed += 1
                    print(f"{forgery.name}: NOT NOTICED ({forged})")
                else:
                    print(f"{forgery.name}: noticed at {caught.name}: {caught.findings[0]}")
    tried = len(FORGERIES)
    print(
        f"{study}: {tried - unnoticed} of {tried} forgeries noticed" if unnoticed else f"{study}: every forgery noticed"
    )
    return 1 if unnoticed else 0


def _levels(study: str, jobs: Jobs, dvc_files: Sequence[str]) -> list[Level]:
    """Levels up to the first that fails."""
    levels = [inventory(study, jobs, dvc_files)]
    if levels[-1].passed:
        levels.append(integrity(study, jobs, dvc_files))
    if levels[-1].passed:
        levels.append(remade("L2", jobs, Path.cwd()))
    return levels


@contextlib.contextmanager
def _copy(study: str, jobs: Jobs):  # type: ignore[no-untyped-def]
    """A copy of all that the audit reads, to forge in."""
    root = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="relatent-forgeries-") as name:
        copy = Path(name)
        for entry in root.iterdir():
            if entry.name in ("Snakefile", "dvc.yaml", "dvc.lock") and entry.is_file():
                shutil.copyfile(entry, copy / entry.name)
            elif entry.name in ("workflow", "profiles", "config", "src"):
                shutil.copytree(entry, copy / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
        wanted = {path for job in jobs for path in (*job.inputs, *job.outputs)}
        kept = [*Path("results").joinpath(study).rglob("*"), *Path("data/environments").rglob("*")]
        kept += [path for path in Path("data").glob("*") if path.is_file()]
        for path in {*(Path(path) for path in wanted), *kept}:
            if path.is_file() and not (copy / path).exists():
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy / path)
        yield copy


@contextlib.contextmanager
def _undone(copy: Path, study: str, jobs: Jobs):  # type: ignore[no-untyped-def]
    """Puts back whatever a forgery touched: text and arrays of the copy, not its sources of code."""
    watched = [path for top in ("results", "data", "config") for path in (copy / top).rglob("*") if path.is_file()]
    watched += list(copy.glob("dvc.*"))
    with tempfile.TemporaryDirectory(prefix="relatent-before-") as name:
        before = Path(name)
        for path in watched:
            (before / path.relative_to(copy)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, before / path.relative_to(copy))
        try:
            yield
        finally:
            for path in watched:
                shutil.copy2(before / path.relative_to(copy), path)
            for top in ("results", "data", "config"):
                for path in (copy / top).rglob("*"):
                    if path.is_file() and path not in set(watched):
                        path.unlink()


# The files to forge


def _output(jobs: Jobs, phases: Sequence[str], suffix: str) -> str | None:
    for job in jobs:
        if job.phase in phases:
            for path in job.outputs:
                if path.endswith(suffix) and Path(path).is_file():
                    return path
    return None


def _job_of(jobs: Jobs, path: str) -> PlannedJob:
    return next(job for job in jobs if path in job.outputs)


def _flip(path: str) -> str:
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)
    return path


# The forgeries


def _weight(jobs: Jobs, _: Sequence[str]) -> str | None:
    for suffix in (".safetensors", ".npy"):
        path = _output(jobs, ("train_density", "train_gan"), suffix)
        if path is not None:
            return _flip(path)
    return None


def _metric_path(jobs: Jobs) -> str | None:
    """A metric that a table reads."""
    read = {path for job in jobs if job.phase == "tables" for path in job.inputs}
    return next((path for path in sorted(read) if path.endswith("/metrics.json") and Path(path).is_file()), None)


def _better(path: str) -> str:
    """Improve every number of a metrics file by one percent."""
    metrics = read_json(Path(path))
    for metric in metrics.values():
        if isinstance(metric, dict) and isinstance(metric.get("value"), (int, float)):
            metric["value"] = metric["value"] * 0.99
            metric["per_seed"] = [value * 0.99 for value in metric.get("per_seed") or []]
    write_json(Path(path), metrics)
    return path


def _metric(jobs: Jobs, _: Sequence[str]) -> str | None:
    path = _metric_path(jobs)
    return _better(path) if path else None


def _seeds(jobs: Jobs, _: Sequence[str]) -> str | None:
    path = _metric_path(jobs)
    if path is None:
        return None
    receipt = Path(str(_job_of(jobs, path).receipt))
    write_receipt(receipt, replace(read_receipt(receipt), seeds=(97, 98, 99)))
    return receipt.as_posix()


def _config(jobs: Jobs, _: Sequence[str]) -> str | None:
    """Another value of a setting in a receipt: what was run is not what the study says."""
    path = _metric_path(jobs)
    if path is None:
        return None
    receipt = Path(str(_job_of(jobs, path).receipt))
    body = read_receipt(receipt)
    if not body.settings:
        return None
    name = next(iter(body.settings))
    write_receipt(receipt, replace(body, settings={**body.settings, name: "another"}))
    return receipt.as_posix()


def _code(jobs: Jobs, _: Sequence[str]) -> str | None:
    path = _metric_path(jobs)
    if path is None:
        return None
    receipt = Path(str(_job_of(jobs, path).receipt))
    write_receipt(receipt, replace(read_receipt(receipt), code="0" * 64))
    return receipt.as_posix()


def _rows(jobs: Jobs, _: Sequence[str]) -> str | None:
    """The numbers of two rows of a table change places."""
    path = _output(jobs, ("tables",), ".csv")
    if path is None:
        return None
    lines = Path(path).read_text().splitlines()
    lines[1], lines[-1] = lines[-1], lines[1]
    Path(path).write_text("\n".join(lines) + "\n")
    return path


def _truncated(jobs: Jobs, _: Sequence[str]) -> str | None:
    path = _output(jobs, ("prepare",), ".npy")
    if path is None:
        return None
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:-16])
    return path


def _environment(jobs: Jobs, _: Sequence[str]) -> str | None:
    path = next(iter(sorted(Path("results").glob("*/environments/*.json"))), None)
    if path is None:
        return None
    record = json.loads(path.read_text())
    write_json(path, {**record, "cpu": "a better one"})
    return path.as_posix()


def _removed(jobs: Jobs, _: Sequence[str]) -> str | None:
    path = _metric_path(jobs)
    if path is not None:
        Path(path).unlink()
    return path


def _stray(jobs: Jobs, _: Sequence[str]) -> str | None:
    path = _metric_path(jobs)
    if path is None:
        return None
    stray = Path(path).with_name("metrics_best.json")
    shutil.copyfile(path, stray)
    return stray.as_posix()


def _refreshed_metric(jobs: Jobs, dvc_files: Sequence[str]) -> str | None:
    """As `_metric`, with the receipt refreshed to match: the receipts downstream still have the old sha256."""
    path = _metric(jobs, dvc_files)
    if path is not None:
        _refresh_receipt(_job_of(jobs, path))
    return path


def _refreshed_table(jobs: Jobs, dvc_files: Sequence[str]) -> str | None:
    """As `_rows`, with receipt and dvc.lock refreshed: all hashes agree, and only making it again can tell."""
    path = _rows(jobs, dvc_files)
    if path is not None:
        job = _job_of(jobs, path)
        _refresh_receipt(job)
        _refresh_lock(job.outputs, dvc_files)
    return path


def _refresh_receipt(job: PlannedJob) -> None:
    receipt = Path(str(job.receipt))
    body = read_receipt(receipt)
    write_receipt(receipt, replace(body, outputs=[FileRecord.of(Path(record.path)) for record in body.outputs]))


def _refresh_lock(paths: Sequence[str], dvc_files: Sequence[str]) -> None:
    for dvc_file in dvc_files:
        lock = Path(dvc_file).with_suffix(".lock")
        if not lock.is_file():
            continue
        body = yaml.safe_load(lock.read_text())
        for stage in body["stages"].values():
            for record in (*stage.get("outs", ()), *stage.get("deps", ())):
                if record["path"] in paths:
                    record["md5"] = md5_of(Path(record["path"]))
        lock.write_text(yaml.safe_dump(body, sort_keys=False))


FORGERIES = (
    Forgery("a bit of the weights flipped", _weight),
    Forgery("a metric improved by one percent", _metric),
    Forgery("other seeds in a receipt", _seeds),
    Forgery("another setting in a receipt", _config),
    Forgery("results of older code", _code),
    Forgery("two rows of a table swapped", _rows),
    Forgery("a data array cut short", _truncated),
    Forgery("an environment record edited", _environment),
    Forgery("a metric removed", _removed),
    Forgery("a stray file among the results", _stray),
    Forgery("a metric improved, its receipt refreshed", _refreshed_metric),
    Forgery("a table edited, its receipt and dvc.lock refreshed", _refreshed_table),
)
