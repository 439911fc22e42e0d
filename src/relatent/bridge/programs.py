"""Starts snakemake, dvc and git: found beside this Python first, so that they work without an activated environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from relatent.errors import MissingDataError, RelatentError


def environment() -> dict[str, str]:
    """This process's environment with the folder of this Python first on PATH; stages call `snakemake` by name."""
    here = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    return {**os.environ, "PATH": path if path.split(os.pathsep)[0] == here else os.pathsep.join([here, path])}


def run_program(
    program: str, *arguments: str, check: bool = True, show: bool = False, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in the repository's root.

    Args:
        check: raise if it fails.
        show: let its output through, for programs that take long.
        given: its standard input.

    Raises:
        MissingDataError: there is no such program.
        RelatentError: it failed; the message ends with the end of what it said. Exit 2 of snakemake keeps its code.
    """
    variables = environment()
    found = shutil.which(program, path=variables["PATH"])
    if found is None:
        raise MissingDataError(
            f"{program}: not found beside {sys.executable} or on PATH. Install the project: `pip install -e .`."
        )
    stream = None if show else subprocess.PIPE
    done = subprocess.run(
        [found, *arguments], env=variables, stdout=stream, stderr=stream, text=True, input=given, check=False
    )
    if check and done.returncode != 0:
        raise _failure([program, *arguments], done)
    return done


def _failure(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> RelatentError:
    said = [line for line in f"{done.stdout or ''}\n{done.stderr or ''}".splitlines() if line.strip()]
    error = RelatentError("\n".join([f"`{_short(command)}` ended with exit code {done.returncode}.", *said[-20:]]))
    if command[0] == "snakemake" and done.returncode == 2:
        error.exit_code = 2
    return error


def _short(command: Sequence[str]) -> str:
    whole = " ".join(command)
    return whole if len(whole) <= 200 else whole[:197] + "..."


def versions(programs: Sequence[str]) -> Mapping[str, str | None]:
    """What each program says of its version, None if it is not there."""
    found: dict[str, str | None] = {}
    for program in programs:
        try:
            done = run_program(program, "--version", check=False)
            found[program] = (done.stdout or done.stderr).strip().splitlines()[0] if done.returncode == 0 else None
        except (MissingDataError, IndexError):
            found[program] = None
    return found
