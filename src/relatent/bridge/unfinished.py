"""Unfinished work on the move: the checkpoints of hours of training, from one machine's scratch store to another's.

The next `snakemake` there goes on from them and, on the same kind of processor, ends in the bytes of an unbroken run.
A checkpoint has no receipt: what it holds is believed, as scratch is (DESIGN section 4.3). So a tar of checkpoints is
for one's own machines; the audit's level L4 trains without it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import Any

from relatent.bridge.checkpoints import SUFFIXES, Progress, read_progress
from relatent.bridge.tars import PART, write_tar
from relatent.errors import ConfigError, MissingDataError, RelatentError
from relatent.ledger.environment import environment_record
from relatent.ledger.files import canonical_json
from relatent.ledger.work import BEGUN, FINISHED, Begun, Work, code_and_machine, work_root

TAR_FOLDER = ".relatent/work"  # in a tar; on disk it is `work_root()`
MANIFEST = "manifest.json"  # in a tar only: sha256 and bytes of each file of one work
NAMES = re.compile(rf"{re.escape(TAR_FOLDER)}/[0-9a-f]{{32}}/(?:{BEGUN}|{MANIFEST}|{PART}(?:\.safetensors|\.npz))")
RECEIPT = re.compile(rf"results/({PART})/({PART}(?:/{PART})*)/{PART}")
MODULE = re.compile(r"relatent(\.[a-z_0-9]+)+")
COMMIT = re.compile(r"([0-9a-f]{40})(-dirty)?")


@dataclass
class UnfinishedWork:
    """One work under way: its key, what it is for, how far each checkpoint had come, and what there is to say of it."""

    key: str
    begun: Begun
    checkpoints: dict[str, Progress | None] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`<phase>/<cell>`, as the receipt's folder is called."""
        return PurePosixPath(self.begun.receipt).parent.as_posix().split("/", 2)[2]

    def __str__(self) -> str:
        came = [f"{name}{at(progress)}" for name, progress in self.checkpoints.items()]
        return "; ".join([f"{self.name}, work {self.key[:12]}: {', '.join(came) or 'no checkpoint'}", *self.remarks])


def at(progress: Progress | None) -> str:
    """` at 1,200 steps`; "" if that is not known."""
    return f" at {progress[0]:,} {progress[1]}" if progress else ""


def pack_unfinished(study: str, cells: Sequence[str], tar: Path) -> list[UnfinishedWork]:
    """Write the checkpoints of unfinished cells into a tar. Equal checkpoints give an equal tar.

    A job may be at work on one: a checkpoint is written whole under another name and renamed, so what is read is whole,
    and no two checkpoints of a work depend on each other.

    Args:
        study: whose cells.
        cells: `<phase>/<cell>`, e.g. "train_density/mnist/iwae-L1-k50", or `<cell>` for all phases at work on it.
        tar: where to write it.

    Raises:
        MissingDataError: nothing unfinished of a cell is here.
        DataIntegrityError: a checkpoint is damaged.
    """
    works = list({work.key: work for cell in cells for work in _of_cell(study, cell)}.values())
    with ExitStack() as opened:
        contents: dict[str, Any] = {}
        for work in works:
            contents |= _contents(work, opened)
        write_tar(tar, contents)
    return works


def _contents(work: UnfinishedWork, opened: ExitStack) -> dict[str, Any]:
    """A work's files and their manifest by their names in a tar; an open file stays what it was when it was hashed."""
    contents: dict[str, Any] = {}
    records = []
    for file_name in (BEGUN, *work.checkpoints):
        try:
            file = opened.enter_context((work_root() / work.key / file_name).open("rb"))
        except FileNotFoundError:
            raise MissingDataError(f"{work.name}: finished just now; pack it without --unfinished") from None
        name = f"{TAR_FOLDER}/{work.key}/{file_name}"
        sha256 = file_digest(file, "sha256").hexdigest()
        records.append({"path": name, "sha256": sha256, "size_bytes": file.tell()})
        contents[name] = file
    contents[f"{TAR_FOLDER}/{work.key}/{MANIFEST}"] = canonical_json({"files": records}).encode()
    return contents


def _is_checkpoint(path: Path) -> bool:
    return path.is_file() and path.suffix in SUFFIXES and not path.name.startswith(".")


def _of_cell(study: str, cell: str) -> list[UnfinishedWork]:
    """The unfinished work of a cell, one for each receipt: what this machine would go on with, else the latest."""
    if not re.fullmatch(rf"{PART}(/{PART})*", cell):
        raise ConfigError(f"{cell!r}: not the name of a cell; give e.g. train_density/mnist/iwae-L1-k50")
    of_study = [work for work in _all_unfinished() if work.begun.receipt.startswith(f"results/{study}/")]
    found: dict[str, list[UnfinishedWork]] = {}
    for work in of_study:
        if cell in (work.name, work.name.partition("/")[2], work.begun.cell):
            found.setdefault(work.begun.receipt, []).append(work)
    if not found:
        there = sorted({work.name for work in of_study})
        shown = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
        raise MissingDataError(
            f"results/{study}, {cell}: no unfinished work with a checkpoint in {work_root()}; there is "
            f"{shown or 'none'}. A finished cell is packed without --unfinished.{_undescribed()}"
        )
    return [_latest(works) for _, works in sorted(found.items())]


def _undescribed() -> str:
    """A hint at checkpoints of jobs that an earlier version started; "" if there are none."""
    without = sum(not (folder / BEGUN).exists() for folder in _unfinished_folders())
    return f" {without} here do not say what they are for; a job says so when it is next started." if without else ""


def unfinished_names() -> list[str]:
    """`<study>/<phase>/<cell>` of all unfinished work in scratch that has a checkpoint; its key if it does not say."""
    described = {work.key: work.begun.receipt for work in _all_unfinished()}
    names = [described.get(folder.name, folder.name) for folder in _unfinished_folders()]
    return sorted(name.removeprefix("results/").removesuffix("/receipt.json") for name in names)


def _unfinished_folders() -> set[Path]:
    """Folders in scratch with a checkpoint of work that is not finished, whether or not they say what it is."""
    folders = {path.parent for path in work_root().glob("*/*") if _is_checkpoint(path)}
    return {folder for folder in folders if not (folder / FINISHED).exists()}


def _all_unfinished() -> Iterator[UnfinishedWork]:
    """All described work in scratch that has a checkpoint and is not finished."""
    for path in sorted(work_root().glob(f"*/{BEGUN}")):
        folder = path.parent
        if (folder / FINISHED).exists():
            continue
        try:
            begun = Begun.read(folder)
        except RelatentError:  # damaged scratch only means doing the work
            continue
        names = sorted(path.name for path in folder.iterdir() if _is_checkpoint(path))
        if names and RECEIPT.fullmatch(begun.receipt):
            yield UnfinishedWork(folder.name, begun, dict.fromkeys(names))


def _latest(works: Sequence[UnfinishedWork]) -> UnfinishedWork:
    def when(work: UnfinishedWork) -> float:
        return max((work_root() / work.key / name).stat().st_mtime for name in work.checkpoints)

    afresh = {work.key: list(machine_differences(work.begun)) for work in works}
    chosen = max(works, key=lambda work: (not afresh[work.key], when(work)))
    folder = work_root() / chosen.key
    chosen.checkpoints = {name: read_progress(folder / name) for name in chosen.checkpoints}
    chosen.remarks += [f"not as this checkout would go on: {reason}" for reason in afresh[chosen.key]]
    if len(works) > 1:
        chosen.remarks.append(f"left here: {len(works) - 1} begun earlier with other settings, data or code")
    if Work(chosen.key).is_locked():
        chosen.remarks.append("a job is at work on it: packed as of its last checkpoint")
    return chosen


def machine_differences(begun: Begun) -> Iterator[str]:
    """Why the code or the machine here would look for another key, each reason with its remedy."""
    then = begun.key_parts
    try:
        today: Mapping[str, Any] = code_and_machine(begun.function, then["device"], then["threads"])
    except ConfigError:
        today = {**then, "code": None}
    if today["code"] != then["code"]:
        found = COMMIT.fullmatch(begun.commit or "")
        remedy = f"`git checkout {found[1]}` has its code" if found else "check out the commit it ran at"
        if found and found[2]:
            remedy += ", but for changes that were not committed"
        yield f"it was begun with other code of {begun.function}; {remedy}"
    if today["torch"] != then["torch"]:
        yield f"it was begun with torch {then['torch']!r}, here is {today['torch']!r}; install that version"
    here = environment_record()
    names = ("cpu", "cpu_family", "cpu_vectors")
    if then["device"] == "cpu" and any(begun.environment.get(name) != here[name] for name in names):
        there = " ".join(str(begun.environment.get(name)) for name in names[:2])
        yield (
            f"it was begun on another kind of processor, {there!r}, here is {here['cpu']} {here['cpu_family']}: their "
            "sums may round otherwise; go on on the other kind"
        )
