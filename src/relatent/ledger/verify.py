"""Checks jobs against their receipts and both against today's code and settings. Every byte is hashed, none trusted.

Shared by `sync` and `adopt`, which act only on what passes, and by the audit, which reports what does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relatent.errors import ConfigError, RelatentError
from relatent.ledger.code import code_digest
from relatent.ledger.environment import environments_folder
from relatent.ledger.files import digest_of, read_json, sha256_of
from relatent.ledger.jobs import PlannedJob, is_receipt, made_by
from relatent.ledger.receipts import FileRecord, Receipt, read_receipt, receipt_text
from relatent.ledger.remedies import Remedies
from relatent.ledger.work import FINISHED, Work, work_key


@dataclass(frozen=True)
class Finding:
    """One thing that is not as claimed: of which kind, which file, and what to do.

    `again`: the same of a file that an earlier finding is about; another receipt says it too.
    """

    kind: str
    path: str
    message: str
    again: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass
class Verified:
    """What a verification found: receipts that stand, by path, and findings. `hashed` is files by sha256 and bytes."""

    receipts: dict[str, Receipt] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    hashed: dict[str, str | None] = field(default_factory=dict)
    hashed_bytes: int = 0
    remedies: Remedies = field(default_factory=Remedies)
    wrong: set[FileRecord] = field(default_factory=set)

    def sha256(self, path: str) -> str | None:
        """sha256 of a file as it is now, None if it is not there; each file is read once per verification."""
        if path not in self.hashed:
            file = Path(path)
            there = file.is_file()
            self.hashed[path] = sha256_of(file) if there else None
            self.hashed_bytes += file.stat().st_size if there else 0
        return self.hashed[path]


# Settings of an adopted cell that may differ from the study's: on what it was made, not what it is.
WHERE_MADE = ("device", "threads", "processes")


def verify_jobs(
    jobs: Iterable[PlannedJob],
    *,
    today: bool = True,
    adopted: Mapping[str, Mapping[str, Any]] | None = None,
    make: str = "snakemake",
) -> Verified:
    """Check every job's receipt, and those of adopted cells, whose files come in as sources.

    Args:
        today: also ask for today's code and settings; an audit of committed results by themselves does not.
        adopted: receipt of an adopted cell → its settings in the study, which must be those it was made with.
        make: the command that makes the study, for the remedies.
    """
    jobs = list(jobs)
    makers = made_by(jobs)
    found = Verified(remedies=Remedies(make, makers.__contains__))
    for path in adopted_receipts(jobs):  # before the jobs that read their files
        # Of a cell that came in by `adopt`: its files as they were made, its code as of that day (DESIGN 4.16).
        receipt = _readable(path, found)
        if receipt is not None:
            _verify_files(receipt.outputs, path, "output", found)
            found.findings += settings_findings(receipt, path, (adopted or {}).get(path, {}))
            found.receipts[path] = receipt
    for job in jobs:
        if job.receipt is not None:
            _verify_job(job, makers, found, today)
    return found


def settings_findings(receipt: Receipt, path: str, study: Mapping[str, Any]) -> list[Finding]:
    """An adopted cell is printed under its study's effort, so with its settings. A key it lacks came later."""
    message = (
        "adopted, and made with {} = {!r}, where the study says {!r}. Correct the study's YAML, or take the cell off "
        "its `adopted:` list."
    )
    return [Finding("settings", path, message.format(*change)) for change in other_settings(receipt, study)]


def other_settings(receipt: Receipt, study: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, as made, as in the study) of each setting of an adopted cell that differs."""
    known = {key: study[key] for key in study if key in receipt.settings and key not in WHERE_MADE}
    return differences(receipt.settings, known)


def adopted_receipts(jobs: Iterable[PlannedJob]) -> list[str]:
    """Receipts of adopted cells: those that jobs read without making them, and those that these were made from.

    A table reads the evaluation of an adopted cell; that the weights behind it are in the study, only the evaluation's
    receipt says.
    """
    jobs = list(jobs)
    makers = made_by(jobs)
    found: set[str] = set()
    left = [path for job in jobs for path in job.inputs if is_receipt(path) and path not in makers]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        try:
            inputs = read_receipt(Path(path)).inputs
        except RelatentError:
            continue  # who reads it next says what is wrong with it
        for record in inputs:
            beside = Path(record.path).with_name("receipt.json")
            if record.path not in makers and beside.is_file():
                left.append(beside.as_posix())
    return sorted(found)


def _verify_job(job: PlannedJob, makers: Mapping[str, PlannedJob], found: Verified, today: bool) -> None:
    path = job.receipt
    assert path is not None
    before = len(found.findings)
    receipt = _readable(path, found)
    if receipt is None:
        return
    _verify_files(receipt.outputs, path, "output", found)
    _verify_files(receipt.inputs, path, "input", found)
    _verify_lists(job, receipt, makers, found)
    _verify_environment(receipt, path, found)
    if today:
        _verify_today(job, receipt, found)
    if len(found.findings) == before:
        found.receipts[path] = receipt


def _readable(path: str, found: Verified) -> Receipt | None:
    try:
        receipt = read_receipt(Path(path))
    except RelatentError as error:
        remedy = found.remedies.changed(path) if Path(path).is_file() else found.remedies.missing(path)
        said = str(error).removeprefix(f"{path}: ").partition(". ")[0]
        found.findings.append(Finding("receipt", path, f"{said}. {remedy}"))
        return None
    if Path(path).read_text(encoding="utf-8") != receipt_text(receipt):
        message = f"not in the form in which receipts are written; it was edited. {found.remedies.changed(path)}"
        found.findings.append(Finding("receipt", path, message))
    return receipt


def _verify_files(records: Sequence[FileRecord], receipt: str, role: str, found: Verified) -> None:
    for record in records:
        now = found.sha256(record.path)
        if now is None:
            message = f"not there; {receipt} names it as {role}. {found.remedies.missing(record.path)}"
            found.findings.append(Finding("missing", record.path, message, record in found.wrong))
        elif now != record.sha256:
            message = (
                f"sha256 is {now[:12]}…, {receipt} says {record.sha256[:12]}… of its {role}. It was changed or "
                f"damaged after it was made. {found.remedies.changed(record.path)}"
            )
            found.findings.append(Finding("bytes", record.path, message, record in found.wrong))
        else:
            continue
        found.wrong.add(record)


def _verify_lists(job: PlannedJob, receipt: Receipt, makers: Mapping[str, PlannedJob], found: Verified) -> None:
    """The receipt names what the graph says the job reads and makes."""
    path = str(job.receipt)
    outputs = {record.path for record in receipt.outputs}
    inputs = {record.path for record in receipt.inputs}
    planned = set(job.outputs) - {path}
    needed = {name for name in job.inputs if name in makers and not is_receipt(name)}
    for names, message in (
        (planned - outputs, "made by this job in the graph, but not named in its receipt"),
        (outputs - planned, "named in the receipt as output, but not made by this job in the graph"),
        (needed - inputs, "read by this job in the graph, but not named in its receipt"),
        (inputs - set(job.inputs), "named in the receipt as input, but not read by this job in the graph"),
    ):
        for name in sorted(names):
            remedy = f"Remove {path} and run `{found.remedies.making(path)}`."
            found.findings.append(Finding("list", path, f"{name} is {message}. {remedy}"))
    if job.rule != receipt.rule and not job.rule.startswith(f"{receipt.rule}_"):  # fetch_digits is of rule fetch
        message = f"is of rule {receipt.rule}, the graph makes it by {job.rule}. Remove it and make it again."
        found.findings.append(Finding("list", path, message))


def _verify_environment(receipt: Receipt, path: str, found: Verified) -> None:
    record = environments_folder(Path(path)) / f"{receipt.environment[:16]}.json"
    try:
        if digest_of(read_json(record)) == receipt.environment:
            return
        message = f"its digest is not the one {path} names; it was edited. Restore it with `git checkout {record}`."
    except RelatentError:
        message = f"not there; {path} was made in this environment. Restore it with `git checkout {record}`."
    finding = Finding("environment", record.as_posix(), message)
    if finding.path not in {known.path for known in found.findings}:
        found.findings.append(finding)


def _verify_today(job: PlannedJob, receipt: Receipt, found: Verified) -> None:
    path = str(job.receipt)
    remedy = f"Run `{found.remedies.make}` (or `dvc repro --pull --allow-missing`) to make it again."
    if job.module != receipt.command:
        message = f"made by {receipt.command}, the graph now runs {job.module}. {remedy}"
        found.findings.append(Finding("code", path, message))
        return
    try:
        now = code_digest(receipt.command)
    except ConfigError as error:
        found.findings.append(Finding("code", path, str(error)))
        return
    if now != receipt.code:
        message = f"made by other code: {receipt.command} is {now[:12]}… today, {receipt.code[:12]}… then. {remedy}"
        found.findings.append(Finding("code", path, message))
    for key, then, today in differences(receipt.settings, job.settings()):
        message = f"made with {key} = {then!r}, the study says {today!r} today. {remedy}"
        found.findings.append(Finding("settings", path, message))


def differences(then: Any, today: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Settings that a command line gives and that a receipt has otherwise; what it leaves to a default is code."""
    if isinstance(then, Mapping) and isinstance(today, Mapping):
        found = []
        for name in today:
            place = f"{key}.{name}" if key else str(name)
            found += differences(then.get(name), today[name], place)
        return found
    return [] if then == today else [(key or "settings", then, today)]


def refill_scratch(receipts: Iterable[Receipt]) -> int:
    """Put verified outputs of long work back under the keys that this machine looks for; return how many.

    So a stage that DVC empties comes back in seconds, with the same bytes (DESIGN 4.3).
    """
    filled = 0
    for receipt in receipts:
        work = work_of(receipt)
        if work is None:
            continue
        shas = {record.path: record.sha256 for record in receipt.outputs}
        if set(work.outputs) and all(path.as_posix() in shas for path in work.outputs.values()):
            wanted = {name: shas[path.as_posix()] for name, path in work.outputs.items()}
            if not _is_kept(work, wanted):
                work.keep(dict(work.outputs))
                filled += 1
    return filled


def work_of(receipt: Receipt) -> Work | None:
    """The scratch folder this machine would use for a receipt's long work, its outputs named; None if it had none."""
    if not receipt.work:
        return None
    try:
        function, device, threads = (receipt.work[name] for name in ("function", "device", "threads"))
        outputs = {name: Path(path) for name, path in receipt.work["outputs"].items()}
        key = work_key(receipt.settings, [record.sha256 for record in receipt.inputs], function, device, threads)
    except (KeyError, AttributeError, ConfigError):
        return None
    work = Work(key, function, device, threads)
    work.outputs = outputs
    return work


def _is_kept(work: Work, wanted: Mapping[str, str]) -> bool:
    try:
        return bool(read_json(work.folder / FINISHED) == wanted)
    except RelatentError:
        return False
