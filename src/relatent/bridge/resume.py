"""Takes in unfinished work from another machine where the jobs here would go on from it; else says why they would not.

The other half of `unfinished`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from filelock import Timeout

from relatent.bridge.checkpoints import SUFFIXES, read_progress
from relatent.bridge.graph import StudyPlace, expand, study_place
from relatent.bridge.tars import first_name, opened_tar, place_file, refused
from relatent.bridge.unfinished import (
    MANIFEST,
    MODULE,
    NAMES,
    RECEIPT,
    TAR_FOLDER,
    UnfinishedWork,
    at,
    machine_differences,
)
from relatent.errors import DataIntegrityError, RelatentError
from relatent.ledger.environment import environment_record
from relatent.ledger.files import read_json, sha256_of
from relatent.ledger.jobs import PlannedJob, is_receipt
from relatent.ledger.receipts import known_sha256
from relatent.ledger.verify import differences
from relatent.ledger.work import BEGUN, FINISHED, Begun, Work, work_root


def holds_unfinished(tar: Path) -> bool:
    """Whether a tar is one of unfinished work, by the name of its first file."""
    return first_name(tar).startswith(f"{TAR_FOLDER}/")


def adopt_unfinished(tar: Path, replace: bool = False) -> list[UnfinishedWork]:
    """Check a tar of checkpoints and put them where the next `snakemake` goes on from them.

    Args:
        tar: of `pack_unfinished`.
        replace: also where the checkpoint here is further along.

    Raises:
        MissingDataError: no such tar, or no such study.
        DataIntegrityError: it is not whole, not honest or not safe; then nothing was put into place.
        RelatentError: the work would begin afresh here all the same, or is further along here; nothing was put into
            place either.
    """
    with opened_tar(tar, NAMES, f"{TAR_FOLDER}/<key>/, or is no checkpoint") as (incoming, names):
        works = _arrived(tar, incoming, names)
        waited_for = [work for work in works if not (work_root() / work.key / FINISHED).exists()]
        _refuse_what_begins_afresh(tar, waited_for)
        with ExitStack() as locks:
            for work in waited_for:
                try:
                    locks.enter_context(Work(work.key).lock().acquire(timeout=0))
                except Timeout:
                    raise RelatentError(
                        f"{tar}: a job here is at {work.name} now. Nothing was taken; stop it first, or let it finish."
                    ) from None
                if not replace:
                    _refuse_what_is_further_here(tar, work, incoming / TAR_FOLDER / work.key)
            for work in waited_for:
                for name in (*work.checkpoints, BEGUN):
                    place_file(incoming / TAR_FOLDER / work.key / name, work_root() / work.key / name)
    for work in works:
        work.remarks.append("in place" if work in waited_for else "finished here already, nothing to do")
    return works


def _arrived(tar: Path, incoming: Path, names: Sequence[str]) -> list[UnfinishedWork]:
    """The works in an unpacked tar, each file held against its manifest."""
    works = []
    for key in sorted({PurePosixPath(name).parent.name for name in names}):
        folder = incoming / TAR_FOLDER / key
        here = {name for name in names if PurePosixPath(name).parent.name == key}
        _check_manifest(tar, incoming, f"{TAR_FOLDER}/{key}/{MANIFEST}", here)
        try:
            begun = Begun.read(folder)
            if (folder / BEGUN).read_text(encoding="utf-8") != begun.text():
                raise DataIntegrityError("not in the form in which it is written")
            checkpoints = sorted(PurePosixPath(name).name for name in here if name.endswith(SUFFIXES))
            found = UnfinishedWork(key, begun, {name: read_progress(folder / name) for name in checkpoints})
        except RelatentError as error:
            raise refused(tar, key, f"is not in order: {str(error).removeprefix(f'{folder}/')}") from None
        if not checkpoints:
            raise refused(tar, key, "has no checkpoint")
        if not (RECEIPT.fullmatch(begun.receipt) and is_receipt(begun.receipt) and MODULE.fullmatch(begun.function)):
            raise refused(tar, key, "does not say for which cell of a study it is")
        works.append(found)
    studies = {work.begun.receipt.split("/")[1] for work in works}
    if len(studies) > 1:
        raise DataIntegrityError(f"{tar}: holds work of {len(studies)} studies; pack one study at a time")
    return works


def _check_manifest(tar: Path, incoming: Path, manifest: str, names: set[str]) -> None:
    if manifest not in names:
        raise refused(tar, manifest, "is not there, so nothing can be checked")
    try:
        records = {record["path"]: record for record in read_json(incoming / manifest)["files"]}
    except (TypeError, KeyError, RecursionError, DataIntegrityError):
        raise refused(tar, manifest, "is not a list of files") from None
    for name in sorted(names - {manifest}):
        if name not in records:
            raise refused(tar, name, "is not in the manifest")
        if sha256_of(incoming / name) != records[name].get("sha256"):
            raise refused(tar, name, "is not what the manifest says")
    for name in records:
        if name not in names:
            raise refused(tar, repr(name), "is in the manifest but not in the tar")


def _refuse_what_begins_afresh(tar: Path, works: Sequence[UnfinishedWork]) -> None:
    """Refuse work whose key no job here would look for, and say why."""
    for work in works:
        _refuse_if(tar, work, machine_differences(work.begun))
    for work in works:
        study = study_place(work.begun.receipt.split("/")[1])
        _refuse_if(tar, work, _job_differences(work, _planned(study, work.begun.receipt), study))


def _refuse_if(tar: Path, work: UnfinishedWork, reasons: Iterable[str]) -> None:
    reasons = list(reasons)
    if reasons:
        raise RelatentError(
            f"{tar}: {work.name} would begin afresh here: {'; '.join(reasons)}. Nothing was taken from it."
        )


def _job_differences(work: UnfinishedWork, job: PlannedJob | None, study: StudyPlace) -> Iterator[str]:
    """Why the study here would look for another key."""
    begun = work.begun
    gpu, here = begun.environment.get("gpu"), environment_record()["gpu"]
    if begun.key_parts["device"] != "cpu" and gpu != here:
        work.remarks.append(f"begun on {gpu!r}, goes on on {here!r}: not the bytes of an unbroken run")
    if job is None:
        yield f"{study.config} makes no {begun.receipt}; list the cell under `run:`"
        return
    then, today = begun.key_parts["settings"], job.settings()
    changed = {key: (old, new) for key, old, new in differences(then, today)}
    changed |= {key: (old, new) for key, new, old in differences(today, then)}
    for key, (old, new) in changed.items():
        yield f"it was begun with {key} = {old!r}, {study.config} says {new!r}"
    for path, sha256 in begun.inputs.items():
        if path not in job.inputs:
            yield f"it was begun with {path!r}, which the job does not read here"
            continue
        known = known_sha256(Path(path))
        if known is None:
            work.remarks.append(f"{path} is not here yet; it must come out with the bytes it had there")
        elif known != sha256:
            yield f"it was begun with another {path}: sha256 {sha256[:12]!r}, here is {known[:12]}…"


def _planned(study: StudyPlace, receipt: str) -> PlannedJob | None:
    """The graph's job that writes a receipt, None if no rule does."""
    try:
        jobs = expand(study, [receipt])
    except RelatentError as error:
        if "No rule to produce" in str(error):
            return None
        raise
    return next((job for job in jobs if job.receipt == receipt), None)


def _refuse_what_is_further_here(tar: Path, work: UnfinishedWork, brought: Path) -> None:
    for name, progress in work.checkpoints.items():
        here = work_root() / work.key / name
        if not here.is_file() or sha256_of(here) == sha256_of(brought / name):
            continue
        try:
            known = read_progress(here)
        except DataIntegrityError:  # damaged: the job would stop at it
            continue
        if known is None or progress is None or known >= progress:
            raise RelatentError(
                f"{tar}: {work.name}: {name} is here already,{at(known)}; the tar's is{at(progress)}. Nothing was "
                "taken; --replace if the tar's is the one to go on from."
            )
