"""In words, why a file would be made again: what Snakemake sees, and what its receipt says has changed since."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relatent.bridge.graph import StudyPlace, expand
from relatent.bridge.programs import run_program
from relatent.errors import ConfigError, RelatentError
from relatent.ledger.code import PACKAGE_FOLDER, code_digest, import_closure, module_file, text_digest
from relatent.ledger.files import sha256_of
from relatent.ledger.jobs import PlannedJob, made_by
from relatent.ledger.receipts import Receipt, read_receipt
from relatent.ledger.verify import differences


@dataclass
class Explanation:
    """Of one file: the job that makes it, whether Snakemake would run it, and each cause as a sentence."""

    path: str
    job: PlannedJob
    stale: bool
    causes: list[str] = field(default_factory=list)
    upstream: list[PlannedJob] = field(default_factory=list)


def explain(study: StudyPlace, path: str) -> Explanation:
    """Why `path` would be made again.

    Raises:
        ConfigError: no job of the study makes it.
    """
    jobs = expand(study, ["all"])
    makers = made_by(jobs)
    if path not in makers:
        raise ConfigError(f"{path}: {_not_made(path, jobs, study)}")
    job = makers[path]
    stale = {other.outputs: other for other in expand(study, [path], force=False)}
    found = Explanation(path, job, job.outputs in stale)
    found.causes = list(_causes(job, stale.get(job.outputs)))
    found.upstream = [other for outputs, other in stale.items() if outputs != job.outputs]
    return found


def _not_made(path: str, jobs: Sequence[PlannedJob], study: StudyPlace) -> str:
    readers = sorted({job.rule for job in jobs if path in job.inputs})
    if readers:
        return f"a source: no job makes it, and {', '.join(readers)} read it"
    return f"no job of {study.name} makes it; is it of another study, or of a cell that {study.config} does not list?"


def _causes(job: PlannedJob, stale: PlannedJob | None) -> Iterator[str]:
    missing = [path for path in job.outputs if not Path(path).is_file()]
    if missing:
        yield f"not there: {_some(missing)}"
    if job.receipt is not None and Path(job.receipt).is_file():
        try:
            receipt = read_receipt(Path(job.receipt))
        except RelatentError as error:
            yield str(error)
        else:
            yield from _since(job, receipt)
    if stale is not None and not stale.reason.startswith("Params have changed"):  # said above, and shorter
        yield f"Snakemake says: {stale.reason}"


def _since(job: PlannedJob, receipt: Receipt) -> Iterator[str]:
    """What has changed since the receipt was written."""
    for key, then, today in differences(receipt.settings, job.settings()):
        yield f"the setting {key} is {today!r}; it was made with {then!r}"
    yield from _code_since(job, receipt)
    for role, records in (("input", receipt.inputs), ("output", receipt.outputs)):
        for record in records:
            path = Path(record.path)
            if path.is_file() and sha256_of(path) != record.sha256:
                verb = "is not the one it was made from" if role == "input" else "was changed after it was made"
                yield f"{record.path} {verb}"
    read = {record.path for record in receipt.inputs}
    gone = sorted(read - set(job.inputs))
    if gone:
        yield f"it no longer reads {_some(gone)}"


def _code_since(job: PlannedJob, receipt: Receipt) -> Iterator[str]:
    if job.module != receipt.command:
        yield f"its command is {job.module}; it was made by {receipt.command}"
        return
    if code_digest(receipt.command) == receipt.code:
        return
    changed = changed_modules(receipt.command, str(job.receipt))
    if changed:
        yield f"the logic of {_some(changed)} has changed since its receipt was committed"
    else:
        yield f"the code of {receipt.command} is another than the one that made it (digest {receipt.code[:12]})"


def changed_modules(command: str, receipt: str) -> list[str]:
    """Modules of a command's closure whose logic differs from the commit in which its receipt was last recorded."""
    found = run_program("git", "log", "-1", "--format=%H", "--", receipt, check=False)
    commit = found.stdout.strip()
    if found.returncode != 0 or not commit:
        return []
    changed = []
    for module in sorted(import_closure(command)):
        file = module_file(module)
        assert file is not None
        place = f"src/relatent/{file.relative_to(PACKAGE_FOLDER).as_posix()}"
        then = run_program("git", "show", f"{commit}:{place}", check=False)
        if then.returncode != 0 or text_digest(then.stdout) != text_digest(file.read_text(encoding="utf-8")):
            changed.append(module)
    return changed


def _some(names: Sequence[str], shown: int = 4) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
