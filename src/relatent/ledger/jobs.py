"""A job as the graph plans it: plain data, which the bridge reads from Snakemake."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

RECEIPT_NAME = re.compile(r"(^|[/.])receipt\.json$")


@dataclass(frozen=True)
class PlannedJob:
    """One job of the graph; paths relative to the repository's root.

    `reason` is why Snakemake would run it now, in its words; `command` is the shell command, or "" for a phony rule.
    """

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    command: str = ""
    log: tuple[str, ...] = ()
    benchmark: tuple[str, ...] = ()
    reason: str = ""

    @property
    def phase(self) -> str | None:
        """The phase that owns this job's outputs, by their folder; None for what no phase owns, such as the report."""
        return phase_of(self.outputs[0]) if self.outputs else None

    @property
    def dataset(self) -> str | None:
        """Of a data job: the dataset its outputs belong to."""
        parts = PurePosixPath(self.outputs[0]).parts if self.outputs else ()
        return parts[2] if len(parts) > 3 and parts[0] == "data" else None

    @property
    def receipt(self) -> str | None:
        """The job's own receipt, or None if it writes none."""
        return next((path for path in self.outputs if is_receipt(path)), None)

    @property
    def module(self) -> str | None:
        """The command's module, e.g. "relatent.cli.train_density"."""
        found = re.search(r"(?:^|\s)-m\s+([\w.]+)", self.command)
        return found[1] if found else None

    def option(self, name: str) -> str | None:
        """Value of an option of the command, or None if it is not given."""
        words = shlex.split(self.command)
        places = [place for place, word in enumerate(words[:-1]) if word == name]
        return words[places[0] + 1] if places else None

    def settings(self) -> Mapping[str, Any]:
        """What --settings says; {} if it is not given."""
        return dict(json.loads(self.option("--settings") or "{}"))

    def work(self) -> str:
        """The command without where it logs to: what decides the outputs."""
        return re.sub(r"\s+[12&]?>>?\s*\S+(\s+2>&1)?\s*$", "", self.command)


def is_receipt(path: str) -> bool:
    """Whether a file is a receipt, by its name: `receipt.json` or `<table>.receipt.json`."""
    return RECEIPT_NAME.search(path) is not None


def phase_of(path: str) -> str | None:
    """Phase that owns a file: `results/<study>/<phase>/…`, `data/raw/…` (fetch) or `data/prepared/…` (prepare)."""
    parts = PurePosixPath(path).parts
    if parts[:1] == ("results",) and len(parts) > 3:
        return parts[2]
    if parts[:1] == ("data",) and len(parts) > 2:
        return {"raw": "fetch", "prepared": "prepare"}.get(parts[1])
    return None


def is_data(path: str) -> bool:
    """Whether a file is of the shared data, made by fetch or prepare."""
    return path.startswith(("data/raw/", "data/prepared/"))


def made_by(jobs: Iterable[PlannedJob]) -> dict[str, PlannedJob]:
    """Each output's job."""
    return {path: job for job in jobs for path in job.outputs}
