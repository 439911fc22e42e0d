"""The graph, as Snakemake expands it for a study. The only place that reads Snakemake's output.

`snakemake -n -F` prints every job's rule, inputs, outputs and command, public and stable enough to parse; its Python
interface gives jobs only through private attributes. A test on a toy and one on the real graph hold the format.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from relatent.bridge.programs import run_program
from relatent.config.study_file import NAME, check_name
from relatent.config.yaml_files import read_yaml
from relatent.errors import ConfigError, MissingDataError, RelatentError
from relatent.ledger.jobs import PlannedJob, phase_of

DEMO = "demo"  # what `snakemake` and `dvc repro` make when nothing is said
STUDY_NAME = re.compile(NAME)
RULES = Path("workflow/rules")
FUNCTIONS = Path("workflow/functions")  # beside rules/: what the rules of the file of the same name use
RULE_LINE = r"^\s*(?:rule|checkpoint|use\s+rule\s+\w+\s+as)\s+(\w+)\b"


@dataclass(frozen=True)
class StudyPlace:
    """Where a study's files are. The demo is the default target of both front ends."""

    name: str

    @property
    def config(self) -> str:
        """Its YAML."""
        return f"config/{self.name}.yaml"

    @property
    def configfile(self) -> tuple[str, ...]:
        """The option that chooses it; none for the demo, the default."""
        return () if self.name == DEMO else ("--configfile", self.config)

    @property
    def make(self) -> str:
        """The command that makes it, as a person types it."""
        return " ".join(["snakemake --cores all", *self.configfile])

    @property
    def dvc_file(self) -> str:
        """Its rendered stages."""
        return "dvc.yaml" if self.name == DEMO else f"results/{self.name}/dvc.yaml"

    @property
    def digests(self) -> str:
        """What the `code` stage writes."""
        return f"results/{self.name}/code/digests.json"


def study_place(name: str) -> StudyPlace:
    """The place of a study that exists, by its name or by the path of its YAML.

    Raises:
        MissingDataError: no config of that name, or not in the repository's root.
        ConfigError: as in `check_readable`.
    """
    if not Path("workflow/Snakefile").is_file():
        raise MissingDataError("workflow/Snakefile: not here; run this in the root of the repository")
    by_path = re.fullmatch(r"(?:\./)?config/(\w+)\.yaml", name)
    place = StudyPlace(by_path[1] if by_path else name)
    if not STUDY_NAME.fullmatch(place.name) or not Path(place.config).is_file():
        there = ", ".join(sorted(path.stem for path in Path("config").glob("*.yaml")))
        asked = place.config if STUDY_NAME.fullmatch(place.name) else name
        raise MissingDataError(f"{asked}: no such study; config/ has {there or 'none'}")
    check_readable(place)
    return place


def check_readable(study: StudyPlace) -> None:
    """Read a study's YAML before Snakemake does, which says of a broken one neither which it is nor the line.

    Raises:
        MissingDataError: there is none.
        ConfigError: not YAML, a key given twice, or another study's name.
    """
    path = Path(study.config)
    check_name(read_yaml(path).get("study", study.name), path)


def phase_targets() -> list[str]:
    """Names of the phony rules `phase_<name>`, from the text of the rules."""
    found = {name for text in _rules_files().values() for name in re.findall(RULE_LINE, text, flags=re.MULTILINE)}
    return sorted(name for name in found if name.startswith("phase_"))


def rule_text(rule: str) -> str:
    """Text of the file that a rule is written in: all that it depends on besides its inputs and its code.

    A rule named at run time, `name: f"fetch_{DATASET}"`, is found by the pattern of its name. "" if there is none.
    """
    for text in _rules_files().values():
        if rule in re.findall(RULE_LINE, text, flags=re.MULTILINE):
            return text
        for name in re.findall(r"^\s*name:\s*f?[\"']([^\"']+)[\"']", text, flags=re.MULTILINE):
            if re.fullmatch(r"\w+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", name)), rule):
                return text
    return ""


@cache
def _rules_files() -> dict[str, str]:
    return {path.name: _text(FUNCTIONS / path.name) + _text(path) for path in sorted(RULES.glob("*.smk"))}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def expand(study: StudyPlace, targets: Sequence[str] = (), *, force: bool = True) -> list[PlannedJob]:
    """The jobs that make something.

    Args:
        study: the study whose settings the graph is expanded with.
        targets: files or rules; the phases' phony rules if empty, so all but the report.
        force: the whole graph; otherwise only what Snakemake would run now, each with its reason.

    Raises:
        MissingDataError: the study has no YAML.
        ConfigError: the study's settings are wrong.
        RelatentError: the graph does not stand, e.g. a source file is missing.
    """
    check_readable(study)
    options = [*study.configfile, "--dry-run", "--printshellcmds", "--cores", "1", "--quiet", "host"]
    done = run_program(
        "snakemake",
        *options,
        *(["--forceall"] if force else []),
        "--nolock",
        "--nocolor",
        "--",
        *(targets or phase_targets()),
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr}"
    if done.returncode != 0:
        lines = [line for line in said.splitlines() if line.strip()]
        ours = [line for line in lines if line.startswith(f"{study.config}: ")]
        if done.returncode == 2 and ours:
            raise ConfigError("\n".join(ours))
        kind = ConfigError if done.returncode == 2 else RelatentError
        raise kind("\n".join([f"{study.config}: the graph does not stand:", *lines[-15:]]))
    return [job for job in parse_jobs(said.splitlines()) if job.outputs]


def parse_jobs(lines: Iterable[str]) -> list[PlannedJob]:
    """The jobs in what a dry run printed, in its order, each once."""
    jobs: dict[tuple[str, tuple[str, ...]], PlannedJob] = {}
    block: dict[str, str] | None = None
    command: list[str] | None = None

    def close() -> None:
        if block is not None:
            shell = "\n".join(command or [])
            job = PlannedJob(
                rule=block["rule"],
                inputs=_files(block.get("input", "")),
                outputs=_files(block.get("output", "")),
                command="" if shell in ("", "None") else shell,
                log=_files(block.get("log", "")),
                benchmark=_files(block.get("benchmark", "")),
                reason=block.get("reason", ""),
            )
            jobs[job.rule, job.outputs] = job

    for line in lines:
        started = re.match(r"^(?:local)?(?:rule|checkpoint) (\w+):$", line)
        if started:
            close()
            block, command = {"rule": started[1]}, None
        elif block is None:
            continue
        elif line.startswith("Shell command: "):
            command = [line.removeprefix("Shell command: ")]
        elif not line.strip() or re.match(r"^\[\w{3} \w{3} +\d+ .*\]$", line) or line.startswith("Job stats:"):
            close()
            block, command = None, None
        elif command is not None:
            command.append(line)
        else:
            key, _, value = line.strip().partition(": ")
            block[key] = value
    close()
    return list(jobs.values())


def _files(listed: str) -> tuple[str, ...]:
    return tuple(part for part in listed.split(", ") if part)


def phase_names(jobs: Iterable[PlannedJob]) -> list[str]:
    """Phases of these jobs, in the order in which data flows."""
    jobs = list(jobs)
    needs: dict[str, set[str]] = {}
    for job in jobs:
        if job.phase is not None:
            before = {phase for path in job.inputs if (phase := phase_of(path)) is not None}
            needs.setdefault(job.phase, set()).update(before - {job.phase})
    ordered: list[str] = []
    while len(ordered) < len(needs):
        ready = sorted(name for name in needs if name not in ordered and needs[name] & needs.keys() <= set(ordered))
        if not ready:
            left = ", ".join(sorted(set(needs) - set(ordered)))
            raise ConfigError(
                f"the phases {left} need each other's files; move a rule, or its folder, to another phase"
            )
        ordered.append(ready[0])
    return ordered
