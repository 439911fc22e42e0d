"""What to do about a file that is not as its receipt says. Who made it decides: a job of the study, or nobody here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Remedies:
    """The remedies of one study, in words.

    Files of adopted cells, and other sources, come back by Git or by the tar they came in: no job makes them, and who
    removes them has lost them.

    Attributes:
        make: the command that makes the study.
        made: whether a job makes a file.
    """

    make: str = "snakemake"
    made: Callable[[str], bool] = lambda path: True

    def changed(self, path: str) -> str:
        """Of a file with other bytes than it was made with."""
        if self.made(path):
            return f"Remove it and run `{self.making(path)}`."
        return f"No job makes it, so do not remove it: {_restored(path)}"

    def missing(self, path: str) -> str:
        """Of a file that is not there."""
        if not self.made(path):
            return f"No job makes it: {_restored(path)}"
        return f"Run `{self.making(path)}`{', or `dvc pull` it' if has_remote() else ''}."

    def stale(self, path: str) -> str:
        """Of a receipt whose cell was made from other files than those here."""
        if self.made(path):
            return f"Run `{self.making(path)}` to make it again."
        return (
            "No job makes it, it was adopted: restore it and what it was made from with `git checkout --`, or adopt a "
            "tar that has both."
        )

    def making(self, path: str) -> str:
        """The command that makes one file; the dashes keep it out of the files of --configfile."""
        return f"{self.make} -- {path}"


def _restored(path: str) -> str:
    return (
        f"restore it with `git checkout -- {path}`, or, if Git does not keep it, "
        "from the tar it came in with `relatent adopt --replace FILE.tar`."
    )


def of_damaged(path: Path) -> str:
    """What to do about a file that a job found damaged: a job does not know whether another makes it, so both ways."""
    study = path.parts[1:2] if path.parts[:1] == ("results",) else ()
    make = " ".join(("snakemake", *(f"--configfile config/{name}.yaml" for name in study)))
    return f"If Git keeps it, restore it with `git checkout -- {path}`; else remove it and run `{make} -- {path}`."


def has_remote() -> bool:
    """Whether DVC has somewhere to pull from, by the repository's own settings."""
    files = [Path(".dvc/config"), Path(".dvc/config.local")]
    return any(re.search(r"^\s*\['?remote ", file.read_text(), re.MULTILINE) for file in files if file.is_file())
