"""Marked blocks of a Markdown page, filled from the results, so that no number in the README is typed.

<!-- table demo/iwae_table1_digits -->     the table as results/demo/tables/iwae_table1_digits.md has it
<!-- /table -->
<!-- orderings demo/iwae_table1_digits --> its orderings
<!-- findings demo -->                     what the study found, in sentences
<!-- cost demo -->                         time by phase, from logs/demo/, which are not in Git: filled when asked for
"""

import re
from collections.abc import Callable
from pathlib import Path

from relatent.errors import ConfigError, MissingDataError
from relatent.report.costs import phase_costs
from relatent.report.page import PHASES, duration, findings

BLOCK = re.compile(r"<!-- (?P<kind>[a-z]+) (?P<what>[a-z0-9_/]+) -->\n(?P<body>.*?)<!-- /(?P=kind) -->", re.S)
FROM_LOGS = ("cost",)


def filled(text: str, page: str, with_costs: bool = False) -> str:
    """The page with every block filled again.

    Args:
        page: its name, for messages.
        with_costs: also fill the blocks that come from logs; else they stay, as they were measured.

    Raises:
        ConfigError: a block of a kind there is not, or one that is not closed.
        MissingDataError: the results are not there.
    """
    opened = len(re.findall(r"<!-- [a-z]+ [a-z0-9_/]+ -->", text))
    if opened != len(BLOCK.findall(text)):
        raise ConfigError(f"{page}: a block is not closed; every `<!-- table … -->` needs its `<!-- /table -->`")

    def fill(match: re.Match[str]) -> str:
        kind, what = match["kind"], match["what"]
        if kind not in BLOCKS:
            raise ConfigError(f"{page}: no block {kind!r}; there are {', '.join(BLOCKS)}")
        if kind in FROM_LOGS and not with_costs:
            return match[0]
        return f"<!-- {kind} {what} -->\n{BLOCKS[kind](what)}\n<!-- /{kind} -->"

    return BLOCK.sub(fill, text)


def _parts(what: str) -> list[str]:
    """The tables of a rendered page without their headings: the table itself, then its orderings if it has any."""
    study, _, table = what.partition("/")
    path = Path("results") / study / "tables" / f"{table}.md"
    if not path.is_file():
        # The target goes first: `--configfile` takes every word after it for a file.
        remedy = f"snakemake {path} --configfile config/{study}.yaml"
        raise MissingDataError(f"{path}: no such file. Make it by running `{remedy}`.")
    parts = re.split(r"^### .*\n\n", path.read_text(encoding="utf-8"), flags=re.M)
    return [part.strip() for part in parts if part.strip()]


def _table(what: str) -> str:
    return _parts(what)[0]


def _orderings(what: str) -> str:
    parts = _parts(what)
    if len(parts) < 2:
        raise MissingDataError(f"{what}: none of its orderings was tested; a block cannot show them")
    return parts[1]


def _findings(study: str) -> str:
    sentences = findings(Path("results") / study)
    if not sentences:
        raise MissingDataError(f"results/{study}: nothing found yet; make its tables first")
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _cost(study: str) -> str:
    costs = phase_costs(study, PHASES)
    if not costs:
        raise MissingDataError(f"logs/{study}: no benchmark files; run the study on this machine first")
    lines = ["| phase | jobs | time | longest job |", "|---|---|---|---|"]
    lines += [
        f"| {cost.phase} | {cost.jobs} | {duration(cost.seconds)} | {duration(cost.longest_s)}, {cost.longest} |"
        for cost in costs
    ]
    total = duration(sum(cost.seconds for cost in costs))
    return "\n".join([*lines, f"| all | {sum(cost.jobs for cost in costs)} | {total} | |"])


BLOCKS: dict[str, Callable[[str], str]] = {
    "table": _table,
    "orderings": _orderings,
    "findings": _findings,
    "cost": _cost,
}
