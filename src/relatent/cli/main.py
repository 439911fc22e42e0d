"""The `relatent` program: finds a command's module and calls it. Imports nothing heavy for `--help`."""

import importlib
import sys
from collections.abc import Sequence

from relatent.cli.job import run

# What a person types; the commands that rules call are `python -m relatent.cli.<command>`.
COMMANDS = {
    "plan": "before running: jobs, downloads, disk, FLOPs, estimated time on this device",
    "where": "where a study's tables, figures and report are",
    "why": "the chain behind one number of a table",
    "explain": "in words, why a file would be made again",
    "audit": "checks everything that a study claims",
    "doctor": "what is missing on this machine and how to get it",
    "fetch": "downloads datasets, or takes them from a mirror",
    "prepare": "decodes fetched datasets into memory-mapped arrays",
    "report": "one self-contained HTML page of a study",
    "readme": "fills the README's tables from the results, or checks them",
    "schema": "exports the JSON schema of a study's settings",
    "dvc": "renders dvc.yaml from the graph",
    "sync": "after a bare snakemake: makes DVC agree",
    "adopt": "after dvc pull, checkout or repro in a clone, or with cells from elsewhere: makes Snakemake agree",
    "pack": "packs finished cells, or checkpoints of cells under way, into one tar for `adopt`",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its own --help says the rest."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    name, *rest = arguments
    if name == "--version":
        from importlib.metadata import version

        print(version("relatent"))
        return 0
    if name not in COMMANDS:
        print(f"relatent: no command {name!r}; the commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"relatent.cli.{name}")
    return run(command.main, rest)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: relatent COMMAND ...", "", *lines, "", "relatent COMMAND --help says more."])


if __name__ == "__main__":
    sys.exit(main())
