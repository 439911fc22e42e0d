"""The scratch store: finished work and checkpoints of unfinished work, outside Git and DVC (DESIGN section 4.3).

DVC empties a stage before it runs; what took long is taken back from here in seconds, with the same bytes. The store
is trusted: the audit's level L4 trains with an empty one (RELATENT_WORK names another folder).
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from relatent.ledger.code import code_digest
from relatent.ledger.environment import environment_record
from relatent.ledger.files import atomic_path, digest_of, read_json, sha256_of, write_json

FINISHED = "finished.json"


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
    record = environment_record()
    return digest_of(
        {
            "settings": dict(settings),
            "inputs": list(input_sha256),
            "code": code_digest(function),
            "torch": record["versions"]["torch"],
            "cpu": record["cpu"] if device == "cpu" else None,
            "device": device,
            "threads": threads,
        }
    )[:32]


class Work:
    """One key's folder. `checkpoint` is a place for resumable state; `keep` and `restore` hold finished outputs.

    What was kept or restored is described in the receipt, so that `relatent adopt` can put verified outputs back under
    the key that this machine will look for.
    """

    def __init__(self, key: str, function: str = "", device: str = "cpu", threads: int | None = None) -> None:
        self.folder = work_root() / key
        self.function, self.device, self.threads = function, device, threads
        self.outputs: dict[str, Path] = {}

    def described(self) -> dict[str, Any] | None:
        """For the receipt: function, device, threads and kept outputs by name; None if nothing was kept."""
        if not self.outputs:
            return None
        outputs = {name: path.as_posix() for name, path in self.outputs.items()}
        return {"function": self.function, "device": self.device, "threads": self.threads, "outputs": outputs}

    def checkpoint(self, name: str) -> Path:
        """Path for a resumable checkpoint of this work; the caller writes it whole (`atomic_path`)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name

    def lock(self) -> FileLock:
        """A lock against a second process doing the same work."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / "lock")

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
            if path.is_file() and path.name not in (FINISHED, "lock"):
                path.unlink()
        self.outputs = dict(outputs)

    def _kept(self, name: str) -> Path:
        return self.folder / "outputs" / name
