"""Makes results again with their own commands, in a folder of links to the inputs, and compares what comes out."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from relatent.audit.verdict import NOT_MADE, Level, detection_power
from relatent.errors import RelatentError
from relatent.ledger.environment import environment_record
from relatent.ledger.files import digest_of, read_json
from relatent.ledger.jobs import PlannedJob, is_receipt
from relatent.ledger.receipts import read_receipt
from relatent.ledger.remedies import Remedies
from relatent.ledger.verify import Finding

# Phases whose jobs each level makes again. L2 makes all of them, L3 and L4 a sample.
PHASES = {
    "L2": ("tables", "figures"),
    "L3": ("evaluate_nll", "probe", "sample", "features"),
    "L4": ("train_density", "train_gan", "dedup"),
}
# Text is the same wherever it is made; pictures and arithmetic only in an equal environment.
EVERYWHERE = (".csv", ".md", ".tex", ".html")
SIGMAS = 4.0  # elsewhere a metric may differ by so many of its standard errors
RELATIVE = 1e-3  # or, where it has none, by this much


def remade(
    name: str,
    jobs: Sequence[PlannedJob],
    root: Path,
    sample: int | None = None,
    seed: str = "",
    make: str = "snakemake",
) -> Level:
    """Make the jobs of a level again and compare.

    Args:
        name: "L2", "L3" or "L4".
        root: the repository, whose files are only read.
        sample: how many of the jobs, None for all.
        seed: what decides which: the commit's hash, which the author of a number cannot choose.
        make: the command that makes the study, for the remedies.
    """
    level, remedies = Level(name), Remedies(make)
    candidates = [job for job in jobs if job.phase in PHASES[name] and job.command]
    chosen = candidates if sample is None else _chosen(candidates, sample, seed)
    waiting = [job for job in chosen if any(not (root / path).is_file() for path in job.inputs)]
    if waiting:
        message = f"{len(waiting)} of {len(chosen)} jobs cannot be made again: files they read are not here, see L0"
        level.findings.append(Finding(NOT_MADE, waiting[0].outputs[0], message))
    chosen = [job for job in chosen if job not in waiting]
    compared = elsewhere = 0
    with _mirror(root) as mirror:
        for job in chosen:
            try:
                _run(job, mirror, root)
            except RelatentError as error:
                level.findings.append(Finding("remake", job.outputs[0], str(error)))
                continue
            same = _same_environment(job, root)
            elsewhere += not same
            for path in job.outputs:
                finding = _difference(path, mirror, root, same, remedies)
                compared += 1
                if finding is not None:
                    level.findings.append(finding)
    level.checked = f"{compared} files of {len(chosen)} jobs" if candidates else "no job of this level in the study"
    if sample is not None and candidates:
        level.notes.append(detection_power(len(chosen), len(candidates)))
        level.notes += [f"made again: {job.outputs[0]}" for job in chosen]
    if elsewhere:
        level.notes.append(
            f"{elsewhere} of these were made in another environment: text is compared byte for byte, metrics within "
            f"{SIGMAS:g} standard errors, pictures and weights not"
        )
    return level


def _chosen(jobs: Sequence[PlannedJob], sample: int, seed: str) -> list[PlannedJob]:
    ranked = sorted(jobs, key=lambda job: hashlib.sha256(f"{seed} {job.outputs[0]}".encode()).digest())
    return ranked[:sample]


@contextmanager
def _mirror(root: Path) -> Iterator[Path]:
    """A temporary root with links to all that commands read; what they write is real and stays in it."""
    with tempfile.TemporaryDirectory(prefix="relatent-audit-") as name:
        mirror = Path(name)
        hidden = {"results", "data", "logs"}
        for entry in root.iterdir():
            if entry.name not in hidden and not entry.name.startswith("."):
                (mirror / entry.name).symlink_to(entry.resolve())
        for top in ("results", "data"):
            for folder, _, files in os.walk(root / top):
                place = mirror / Path(folder).relative_to(root)
                place.mkdir(parents=True, exist_ok=True)
                for file in files:
                    (place / file).symlink_to((Path(folder) / file).resolve())
        yield mirror


def _run(job: PlannedJob, mirror: Path, root: Path) -> None:
    for path in job.outputs:
        (mirror / path).unlink(missing_ok=True)
        (mirror / path).parent.mkdir(parents=True, exist_ok=True)
    for path in job.log:
        (mirror / path).parent.mkdir(parents=True, exist_ok=True)
    variables = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root / "src"), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RELATENT_WORK": str(mirror / ".relatent-work"),  # empty: nothing is taken from scratch
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", job.command],
        cwd=mirror,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        logs = [(mirror / path).read_text(errors="replace") for path in job.log if (mirror / path).is_file()]
        said = "\n".join([*logs, done.stderr]).strip().splitlines()[-5:]
        raise RelatentError(f"could not be made again (exit {done.returncode}): {' / '.join(said)}")
    absent = [path for path in job.outputs if not (mirror / path).is_file()]
    if absent:
        raise RelatentError(f"its command no longer makes {', '.join(absent)}")


def _same_environment(job: PlannedJob, root: Path) -> bool:
    try:
        return read_receipt(root / str(job.receipt)).environment == digest_of(environment_record())
    except RelatentError:
        return False


def _difference(path: str, mirror: Path, root: Path, same: bool, remedies: Remedies) -> Finding | None:
    try:
        ours, again = (root / path).read_bytes(), (mirror / path).read_bytes()
    except FileNotFoundError:
        return Finding(NOT_MADE, path, f"not there to compare with. {remedies.missing(path)}")
    if ours == again or (is_receipt(path) and not same):
        return None
    if same or path.endswith(EVERYWHERE):
        message = f"made again from the same inputs it is different. {remedies.changed(path)}"
        return Finding("remake", path, message)
    if path.endswith("metrics.json"):
        off = metrics_off(read_json(root / path), read_json(mirror / path))
        if off:
            return Finding("remake", path, f"measured again, {off}. {remedies.changed(path)}")
    return None


def metrics_off(ours: dict[str, object], again: dict[str, object]) -> str:
    """Which metrics differ by more than chance and arithmetic allow, in words; "" if none does."""
    wrong = []
    for name in sorted(set(ours) | set(again)):
        first, second = ours.get(name), again.get(name)
        if not isinstance(first, dict) or not isinstance(second, dict):
            if type(first) is not type(second):
                wrong.append(f"{name} is there only once")
            continue
        a, b = first.get("value"), second.get("value")
        if isinstance(a, (int, float)) and isinstance(b, (int, float)):
            allowed = max(SIGMAS * float(first.get("stderr") or 0.0), RELATIVE * max(abs(a), abs(b)))
            if abs(a - b) > allowed:
                wrong.append(f"{name} is {b:.6g} instead of {a:.6g}")
    return ", ".join(wrong)
