"""What every job command shares: its arguments, the proof of its inputs, its receipt.

parser = JobParser("train_density", "relatent.cli.train_density", DensitySettings, __doc__)
parser.input("images")
parser.output("model")
job = parser.parse(argv)               # every input proven by a receipt, or refused
...                                    # read job.inputs["images"], write job.outputs["model"]
job.finish(seeds=job.settings.seeds)   # hashes the outputs and writes the receipt
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from relatent.config.base import Settings, checked_json
from relatent.errors import RelatentError
from relatent.ledger.code import code_digest
from relatent.ledger.environment import environment_record, keep_environment
from relatent.ledger.receipts import FileRecord, Receipt, check_inputs, write_receipt
from relatent.ledger.work import Begun, Work, key_of, key_parts

S = TypeVar("S", bound=Settings)


@dataclass
class Job(Generic[S]):
    """One run of one job command."""

    rule: str
    command: str
    cell: str
    settings: S
    inputs: Mapping[str, Path]
    input_lists: Mapping[str, Sequence[Path]]
    outputs: Mapping[str, Path]
    receipt: Path
    input_records: Sequence[FileRecord]
    long_work: Work | None = None

    def work(self, function: str, threads: int | None = None, device: str = "cpu") -> Work:
        """The scratch folder of this job's long work, done by the module `function`."""
        records = sorted(self.input_records, key=lambda record: record.path)
        hashes = [record.sha256 for record in records]
        parts = key_parts(self.settings.model_dump(mode="json"), hashes, function, device, threads)
        inputs = {record.path: record.sha256 for record in records}
        begun = Begun(self.receipt.as_posix(), self.cell, function, inputs, parts, environment_record())
        self.long_work = Work(key_of(parts), function, device, threads, begun)
        return self.long_work

    def finish(
        self,
        seeds: Sequence[int] = (),
        threads: int | None = None,
        device: str = "cpu",
        determinism: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the receipt: the job is done, and these are its bytes."""
        receipt = Receipt(
            rule=self.rule,
            command=self.command,
            cell=self.cell,
            settings=self.settings.model_dump(mode="json"),
            code=code_digest(self.command),
            environment=keep_environment(self.receipt),
            inputs=self.input_records,
            outputs=[FileRecord.of(path) for path in self.outputs.values()],
            seeds=tuple(seeds),
            torch_threads=threads,
            device=device,
            determinism=dict(determinism or {}),
            work=self.long_work.described() if self.long_work else None,
        )
        write_receipt(self.receipt, receipt)


class JobParser(Generic[S]):
    """Arguments of a job command. All have --cell, --settings, --receipts (of the inputs) and --receipt (its own)."""

    def __init__(self, rule: str, command: str, settings: type[S], description: str | None) -> None:
        self.rule, self.command, self.settings_type = rule, command, settings
        self.parser = argparse.ArgumentParser(
            prog=f"python -m {command}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self.parser.add_argument("--cell", required=True, help="name of the job within its rule")
        self.parser.add_argument("--settings", default="{}", help="the cell's settings, a JSON object")
        self.parser.add_argument("--receipts", type=Path, nargs="*", default=[], help="receipts that prove the inputs")
        self.parser.add_argument("--receipt", type=Path, required=True, help="where to write this job's receipt")
        self._inputs: list[str] = []
        self._lists: list[str] = []
        self._sources: set[str] = set()
        self._outputs: list[str] = []

    def input(self, name: str, help: str | None = None, *, source: bool = False, required: bool = True) -> None:
        """A file made by an earlier job; with `source`, a file kept in Git, which needs no receipt."""
        self.parser.add_argument(_flag(name), type=Path, required=required, help=help)
        self._inputs.append(name)
        if source:
            self._sources.add(name)

    def input_list(self, name: str, help: str | None = None, *, source: bool = False) -> None:
        """Any number of files, proven as for `input`."""
        self.parser.add_argument(_flag(name), type=Path, nargs="*", default=[], help=help)
        self._lists.append(name)
        if source:
            self._sources.add(name)

    def output(self, name: str, help: str | None = None) -> None:
        """A file this job makes."""
        self.parser.add_argument(_flag(name), type=Path, required=True, help=help)
        self._outputs.append(name)

    def parse(self, argv: Sequence[str] | None = None) -> Job[S]:
        """Read the command line, check the settings, prove the inputs.

        Raises:
            ConfigError: wrong settings.
            DataIntegrityError, MissingDataError: an input is not what its receipt says, or is not there.
        """
        arguments = vars(self.parser.parse_args(argv))
        settings = checked_json(self.settings_type, arguments["settings"], "--settings")
        inputs = {name: arguments[name] for name in self._inputs if arguments[name] is not None}
        lists = {name: arguments[name] for name in self._lists}
        proven: list[Path] = []
        sources: list[Path] = []
        for name, paths in [*((name, [path]) for name, path in inputs.items()), *lists.items()]:
            (sources if name in self._sources else proven).extend(paths)
        records = [*check_inputs(proven, arguments["receipts"]), *(FileRecord.of(path) for path in sources)]
        return Job(
            rule=self.rule,
            command=self.command,
            cell=arguments["cell"],
            settings=settings,
            inputs=inputs,
            input_lists=lists,
            outputs={name: arguments[name] for name in self._outputs},
            receipt=arguments["receipt"],
            input_records=tuple(records),
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Call a command's `main` and turn a user's mistake into one message and its exit code."""
    try:
        return main(argv) or 0
    except RelatentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"interrupted: {shlex.join(sys.argv)}; run it again to go on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, had seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would fail again
        return 141
