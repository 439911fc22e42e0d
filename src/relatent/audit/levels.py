"""The levels of an audit. Each takes the planned jobs and looks at the files; none changes any."""

import hashlib
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from relatent.audit.verdict import NOT_MADE, Level
from relatent.errors import DataIntegrityError, RelatentError
from relatent.ledger.jobs import PlannedJob, is_data, made_by
from relatent.ledger.lineage import ReceiptBook
from relatent.ledger.receipts import read_receipt
from relatent.ledger.remedies import Remedies, has_remote
from relatent.ledger.verify import Finding, adopted_receipts, verify_jobs

RUN_CACHE = Path(".dvc/cache/runs")


def inventory(study: str, jobs: Sequence[PlannedJob], dvc_files: Sequence[str], make: str = "snakemake") -> Level:
    """L0: every file of the graph is there, and nothing else lies in the study's folder or its datasets'.

    Args:
        make: the command that makes the study, for the remedy.
    """
    level = Level("L0")
    wanted = {path for job in jobs for path in job.outputs} | {path for job in jobs for path in job.inputs}
    missing = sorted(path for path in wanted if not Path(path).is_file())
    level.findings += absent_findings(missing, _remedies(jobs, make))
    known = wanted | books(study, jobs, dvc_files)
    folders = [Path("results") / study, *sorted({Path(path).parent for path in wanted if is_data(path)})]
    strays = sorted(
        {path.as_posix() for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.is_file()}
        - known
    )
    for path in strays:
        message = "in no job's outputs: of a cell that has left the study, or put there by hand. Remove it."
        level.findings.append(Finding("stray", path, message))
    level.checked = f"{len(wanted)} files of {len(jobs)} jobs, {len(missing)} missing, {len(strays)} strays"
    return level


def _remedies(jobs: Sequence[PlannedJob], make: str) -> Remedies:
    return Remedies(make, made_by(jobs).__contains__)


def absent_findings(missing: Sequence[str], remedies: Remedies) -> list[Finding]:
    """Of files that are not there: one for each that Git keeps or that no job makes, one for all others together."""
    kept = _in_git(missing)
    found = [
        Finding("missing", path, f"not there, though Git keeps it. Restore it with `git checkout -- {path}`.")
        for path in missing
        if path in kept
    ]
    found += [
        Finding("missing", path, f"not there. {remedies.missing(path)}")
        for path in missing
        if path not in kept and not remedies.made(path)
    ]
    left = [path for path in missing if path not in kept and remedies.made(path)]
    if left:
        others = f", the first of {len(left)} such files" if len(left) > 1 else ""
        pull = ", or `dvc pull` them," if has_remote() else ""
        message = (
            f"not kept in Git and not made here yet{others}. Make them with `{remedies.make}`{pull} and audit again."
        )
        found.append(Finding(NOT_MADE, left[0], message))
    return found


def _in_git(paths: Sequence[str]) -> set[str]:
    """Which of these Git keeps; none outside Git."""
    if not paths:
        return set()
    try:
        asked = ["git", "ls-files", "-z", "--", *paths]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return set()
    return set(done.stdout.split("\0"))


def books(study: str, jobs: Sequence[PlannedJob], dvc_files: Sequence[str]) -> set[str]:
    """Files of a study that no job declares: environment records, digests, DVC's, the report's page, adopted cells."""
    folder = Path("results") / study
    environments = {path.as_posix() for path in (folder / "environments").glob("*.json")}
    locks = {str(Path(path).with_suffix(".lock")) for path in dvc_files}
    own = {f"{folder}/code/digests.json", f"{folder}/report.html", f"{folder}/.gitignore", "data/.gitignore"}
    return environments | locks | set(dvc_files) | own | adopted_files(jobs)


def adopted_files(jobs: Sequence[PlannedJob]) -> set[str]:
    """What the receipts of adopted cells name: in Git as sources, whether or not a job reads all of it."""
    found: set[str] = set()
    for path in adopted_receipts(jobs):
        try:
            found |= {path, *(record.path for record in read_receipt(Path(path)).outputs)}
        except RelatentError:
            continue  # L1 says what is wrong with it
    return found


def integrity(
    study: str,
    jobs: Sequence[PlannedJob],
    dvc_files: Sequence[str],
    adopted: Mapping[str, Mapping[str, Any]] | None = None,
    make: str = "snakemake",
) -> Level:
    """L1: all bytes as in the receipts, the receipts a chain, code and settings today's, dvc.lock in accord.

    Args:
        adopted: as for `verify_jobs`.
        make: as for `inventory`.
    """
    level = Level("L1")
    remedies = _remedies(jobs, make)
    verified = verify_jobs(jobs, adopted=adopted, make=make)
    absent = {found.path for found in verified.findings if found.kind in ("missing", "receipt")}
    absent = {path for path in absent if not Path(path).is_file()}
    level.findings += [found for found in verified.findings if found.path not in absent and not found.again]
    level.findings += absent_findings(sorted(absent), remedies)
    level.findings += unchained(study, jobs, remedies)
    locked = 0
    for dvc_file in dvc_files:
        lock = Path(dvc_file).with_suffix(".lock")
        if not lock.is_file():
            level.notes.append(
                f"{lock} is not there: DVC knows nothing of these results; `relatent sync {study}` records"
            )
            continue
        findings, count = lock_findings(lock, jobs)
        level.findings += findings
        locked += count
    whole = all(Path(path).with_suffix(".lock").is_file() for path in dvc_files)
    sound = not any(finding.kind == "dvc.lock" for finding in level.findings)
    outside = unlocked(jobs, dvc_files) if whole and sound else []
    if outside:
        message = f"and {len(outside) - 1} other files are in no dvc.lock. Run `relatent sync {study}`."
        level.findings.append(Finding("dvc.lock", outside[0], message))
    if RUN_CACHE.exists():
        message = "DVC's run cache can bring back a file that was forged and then committed. Remove the folder."
        level.findings.append(Finding("run cache", RUN_CACHE.as_posix(), message))
    brought = sorted(set(verified.receipts) - {job.receipt for job in jobs})
    if brought:
        level.notes.append(f"adopted, made earlier or elsewhere: {', '.join(brought)}")
    level.checked = (
        f"{len(verified.receipts)} receipts, {len(verified.hashed)} files of {verified.hashed_bytes / 1e6:,.1f} MB, "
        f"{locked} outs of dvc.lock"
    )
    return level


def unchained(study: str, jobs: Iterable[PlannedJob], remedies: Remedies) -> list[Finding]:
    """Receipts that read other bytes than the step before says it made."""
    try:
        book = ReceiptBook.of_study(study, remedies)
    except DataIntegrityError as error:
        return [_chain_finding(error)]
    findings: dict[Finding, None] = {}  # many tables have the same steps behind them
    for job in jobs:
        if job.receipt in book.receipts and job.phase in ("tables", "figures"):
            try:
                book.chain(str(job.receipt))
            except DataIntegrityError as error:
                findings[_chain_finding(error)] = None
    return list(findings)


def _chain_finding(error: DataIntegrityError) -> Finding:
    path, _, message = str(error).partition(": ")
    return Finding("chain", path, message)


def lock_findings(lock: Path, jobs: Sequence[PlannedJob]) -> tuple[list[Finding], int]:
    """Outs of a dvc.lock that are not the files there are, for files of these jobs; and how many were compared."""
    try:
        stages: dict[str, Any] = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
        outs = [out for stage in stages.values() for out in stage.get("outs", ())]
        recorded = {out["path"]: out["md5"] for out in outs}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        return [Finding("dvc.lock", str(lock), f"not readable ({error!r}). Restore it with `git checkout {lock}`.")], 0
    findings = []
    # A data lock's paths are relative to its wdir, the root; those of a study likewise.
    ours = {path for job in jobs for path in job.outputs if Path(path).is_file()}
    compared = sorted(ours & recorded.keys())
    for path in compared:
        if md5_of(Path(path)) != recorded[path]:
            message = f"not the bytes that {lock} records. Run `dvc status` and see which of the two is right."
            findings.append(Finding("dvc.lock", path, message))
    return findings, len(compared)


def md5_of(path: Path) -> str:
    """Hex md5, DVC's key of a file; never used as proof by itself."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def unlocked(jobs: Sequence[PlannedJob], dvc_files: Sequence[str]) -> list[str]:
    """Outputs of the phases that no dvc.lock names."""
    recorded: set[str] = set()
    for dvc_file in dvc_files:
        lock = Path(dvc_file).with_suffix(".lock")
        if lock.is_file():
            stages = yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {})
            recorded |= {out["path"] for stage in stages.values() for out in stage.get("outs", ())}
    return sorted({path for job in jobs if job.phase for path in job.outputs} - recorded)
