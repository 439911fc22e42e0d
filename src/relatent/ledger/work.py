"""The scratch store: finished work and checkpoints of unfinished work, outside Git and DVC (DESIGN section 4.3).

DVC empties a stage before it runs; what took long is taken back from here in seconds, with the same bytes. The store
is trusted: the audit's level L4 trains with an empty one (RELATENT_WORK names another folder).
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from relatent.errors import DataIntegrityError
from relatent.ledger.code import PACKAGE_FOLDER, code_digest
from relatent.ledger.environment import environment_record
from relatent.ledger.files import atomic_path, canonical_json, digest_of, read_json, sha256_of, write_json, write_text

FINISHED = "finished.json"
BEGUN = "begun.json"
LOCK = "lock"


def work_root() -> Path:
    """`.relatent/work`, or the folder that RELATENT_WORK names."""
    return Path(os.environ.get("RELATENT_WORK", ".relatent/work"))


def work_key(
    settings: Mapping[str, Any],
    input_sha256: Iterable[str],
    function: str,
    device: str = "cpu",
    threads: int | None = None,
) -> str:
    """Key of a piece of work: all that decides its bytes.

    Args:
        settings: values that change the result.
        input_sha256: of the input files, in the order of their paths, as a receipt lists them.
        function: module that does the work, e.g. "relatent.training.density"; its closure is the code that counts,
            so that a change in how a command writes its receipt does not throw hours away.
        device: kind of device.
        threads: torch's threads.
    """
    return key_of(key_parts(settings, input_sha256, function, device, threads))


def key_parts(
    settings: Mapping[str, Any], input_sha256: Iterable[str], function: str, device: str, threads: int | None
) -> dict[str, Any]:
    """What a key is the digest of, on this machine; arguments as for `work_key`."""
    return {"settings": dict(settings), "inputs": list(input_sha256), **code_and_machine(function, device, threads)}


def code_and_machine(function: str, device: str, threads: int | None) -> dict[str, Any]:
    """The part of a key that neither settings nor inputs decide."""
    record = environment_record()
    return {
        "code": code_digest(function),
        "torch": record["versions"]["torch"],
        "cpu": record["cpu"] if device == "cpu" else None,
        "device": device,
        "threads": threads,
    }


def key_of(parts: Mapping[str, Any]) -> str:
    """The key that stands for `parts`."""
    return digest_of(dict(parts))[:32]


@dataclass(frozen=True)
class Begun:
    """What unfinished work is for. Kept beside its checkpoints, so that they can be found by cell, and so that another
    machine can tell whether it would go on from them (`relatent pack --unfinished`).

    Args:
        receipt: path of the receipt that the job will write.
        cell: name of the job within its rule.
        function: module that does the work.
        inputs: sha256 of each input by its path.
        key_parts: what the key is the digest of.
        environment: record of the machine that was at it last; a key names a processor only by its model.
        commit: Git commit of the code, ending in "-dirty" if the package had other changes; None without Git.
    """

    receipt: str
    cell: str
    function: str
    inputs: Mapping[str, str]
    key_parts: Mapping[str, Any]
    environment: Mapping[str, Any]
    commit: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The description in a work's folder.

        Raises:
            MissingDataError: there is none.
            DataIntegrityError: it is damaged, or of another key than the folder's.
        """
        path = folder / BEGUN
        try:
            begun = cls(**read_json(path))
            whole = begun._is_whole() and key_of(begun.key_parts) == folder.name
        except (TypeError, AttributeError, ValueError, RecursionError) as error:
            raise DataIntegrityError(f"{path}: not a description of unfinished work ({error})") from None
        if not whole:
            raise DataIntegrityError(f"{path}: not a whole description, or one of other work than its folder's")
        return begun

    def _is_whole(self) -> bool:
        parts, texts = self.key_parts, (self.receipt, self.cell, self.function, *self.inputs, *self.inputs.values())
        return (
            all(isinstance(text, str) for text in texts)
            and isinstance(self.commit, str | None)
            and set(parts) == {"settings", "inputs", "code", "torch", "cpu", "device", "threads"}
            and isinstance(parts["settings"], dict)
            and isinstance(self.environment, dict)
            and set(parts["inputs"]) == set(self.inputs.values())
        )

    def text(self) -> str:
        """As canonical JSON."""
        return canonical_json(vars(self))


@cache
def code_commit() -> str | None:
    """Commit of the package that is running, ending in "-dirty" if its files differ from it; None without Git."""
    try:
        git = ["git", "-C", str(PACKAGE_FOLDER)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = [*git, "--no-optional-locks", "status", "--porcelain", "--", "."]
        changed = subprocess.run(changes, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}-dirty" if changed else head


class Work:
    """One key's folder. `checkpoint` is a place for resumable state; `keep` and `restore` hold finished outputs.

    What was kept or restored is described in the receipt, so that `relatent adopt` can put verified outputs back under
    the key that this machine will look for.
    """

    def __init__(
        self, key: str, function: str = "", device: str = "cpu", threads: int | None = None, begun: Begun | None = None
    ) -> None:
        self.folder, self.begun = work_root() / key, begun
        self.function, self.device, self.threads = function, device, threads
        self.outputs: dict[str, Path] = {}

    def described(self) -> dict[str, Any] | None:
        """For the receipt: function, device, threads and kept outputs by name; None if nothing was kept."""
        if not self.outputs:
            return None
        outputs = {name: path.as_posix() for name, path in self.outputs.items()}
        return {"function": self.function, "device": self.device, "threads": self.threads, "outputs": outputs}

    def checkpoint(self, name: str) -> Path:
        """Path for a resumable checkpoint of this work; the caller writes it whole (`atomic_path`).

        A .safetensors or .npz, so that it can go to another machine; what the work is for is written beside it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.begun is not None:
            write_text(self.folder / BEGUN, replace(self.begun, commit=code_commit()).text())
        return self.folder / name

    def lock(self) -> FileLock:
        """A lock against a second process doing the same work."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / LOCK)

    def is_locked(self) -> bool:
        """Whether a job is at this work now."""
        if not (self.folder / LOCK).exists():
            return False
        try:
            with FileLock(self.folder / LOCK, timeout=0):
                return False
        except Timeout:
            return True

    def restore(self, outputs: Mapping[str, Path]) -> bool:
        """Copy finished outputs to their places; False if this work is not finished or its bytes are not as kept."""
        try:
            kept = read_json(self.folder / FINISHED)
        except Exception:  # absent or damaged scratch only means doing the work
            return False
        if not isinstance(kept, dict) or set(kept) != set(outputs):
            return False
        if any(not self._kept(name).is_file() or sha256_of(self._kept(name)) != sha for name, sha in kept.items()):
            return False
        for name, path in outputs.items():
            with atomic_path(path) as temporary:
                shutil.copyfile(self._kept(name), temporary)
        self.outputs = dict(outputs)
        return True

    def keep(self, outputs: Mapping[str, Path]) -> None:
        """Keep copies of finished outputs and drop the checkpoints that led to them."""
        for name, path in outputs.items():
            with atomic_path(self._kept(name)) as temporary:
                shutil.copyfile(path, temporary)
        write_json(self.folder / FINISHED, {name: sha256_of(self._kept(name)) for name in outputs})
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in (FINISHED, LOCK):
                path.unlink()
        self.outputs = dict(outputs)

    def _kept(self, name: str) -> Path:
        return self.folder / "outputs" / name
