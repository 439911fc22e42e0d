"""Renders dvc.yaml from the graph: one stage per phase, and per dataset for the data that all studies share.

The exact form, and why each part is as it is, was tried out on a toy (DESIGN sections 4.1, 4.2, 4.5, 4.18): default
outs, so that DVC empties a stage before it runs; `--allowed-rules`, so that no stage makes another's files; no core
count in a command, since it would re-run every stage when it changes; no digest in dvc.yaml itself.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from relatent.bridge.graph import DEMO, StudyPlace, expand, phase_names
from relatent.bridge.programs import run_program
from relatent.config.registry import load_registry
from relatent.ledger.files import write_text
from relatent.ledger.jobs import PlannedJob

DATA_FILE = "data/dvc.yaml"
DATA_DIGESTS = "data/code/digests.json"
HEADER = "# Rendered from the Snakemake graph by `relatent dvc render {study}`; never edited by hand.\n"

# All that the digests of the `code` stage are taken over; a study's own config is added.
CODE_DEPS = ("Snakefile", "data/registry.yaml", "src/relatent", "workflow")

# Columns that `dvc plots` draws of a phase's history.csv.
HISTORY_AXES = {
    "train_density": ("epoch", ("train_bound_nats",)),
    "train_gan": ("step", ("d_loss", "g_loss")),
}


@dataclass(frozen=True)
class Stage:
    """One stage: the jobs of a phase, or of one dataset in a data phase.

    `name` is also the stage's key in the digests file.
    """

    name: str
    jobs: tuple[PlannedJob, ...]
    targets: tuple[str, ...]
    study: StudyPlace

    @property
    def outs(self) -> list[str]:
        """All files its jobs make."""
        return sorted({path for job in self.jobs for path in job.outputs})

    @property
    def deps(self) -> list[str]:
        """All files its jobs read and do not make."""
        return sorted({path for job in self.jobs for path in job.inputs} - set(self.outs))

    @property
    def rules(self) -> list[str]:
        """Rules its jobs are of."""
        return sorted({job.rule for job in self.jobs})

    @property
    def command(self) -> str:
        """What DVC runs. Where and on how many cores is said by SNAKEMAKE_PROFILE and the default profile."""
        phony = [target for target in self.targets if "/" not in target]
        words = ["snakemake", *self.study.configfile, "--allowed-rules", *self.rules, *phony, "--", *self.targets]
        return " ".join(words)


def study_stages(study: StudyPlace, jobs: Iterable[PlannedJob]) -> list[Stage]:
    """A study's stages, in the order of its phases; the shared data's are not among them."""
    jobs = list(jobs)
    return [
        Stage(phase, tuple(job for job in jobs if job.phase == phase), (f"phase_{phase}",), study)
        for phase in phase_names(jobs)
        if phase not in ("fetch", "prepare")
    ]


def data_stages(graphs: Mapping[StudyPlace, Sequence[PlannedJob]]) -> list[Stage]:
    """Stages of the shared data, one per data phase and dataset, so that a study fetches only what it needs.

    A dataset that several studies use is made with the first one's settings; the graphs come in that order.
    """
    stages: dict[str, Stage] = {}
    for study, jobs in graphs.items():
        found: dict[str, list[PlannedJob]] = {}
        for job in jobs:
            if job.phase in ("fetch", "prepare") and job.dataset:
                found.setdefault(f"{job.phase}-{job.dataset}", []).append(job)
        for name, own in found.items():
            targets = tuple(sorted(job.receipt or job.outputs[0] for job in own))
            stages.setdefault(name, Stage(name, tuple(own), targets, study))
    return [stages[name] for name in sorted(stages)]


def render_study(study: StudyPlace, stages: Sequence[Stage], cached: Callable[[Iterable[str]], Collection[str]]) -> str:
    """Text of a study's dvc.yaml.

    Args:
        cached: which of some paths DVC keeps in its cache; Git keeps the others.
    """
    outs = [path for stage in stages for path in stage.outs]
    in_cache = cached(outs)
    wdir = _wdir(study.dvc_file)
    code = _code_stage([study], study.digests, wdir)
    body = {"stages": {"code": code, **{s.name: _stage(s, study.digests, in_cache, wdir, ()) for s in stages}}}
    plots = _plots(stages, in_cache, wdir)
    return _text(study.name, {**body, **({"plots": plots} if plots else {})})


def render_data(
    studies: Sequence[StudyPlace],
    stages: Sequence[Stage],
    cached: Callable[[Iterable[str]], Collection[str]],
    private: Collection[str],
) -> str:
    """Text of data/dvc.yaml.

    Args:
        studies: all that have a part in the shared data.
        private: datasets whose terms forbid passing them on; their files are never pushed.
    """
    in_cache = cached([path for stage in stages for path in stage.outs])
    wdir = _wdir(DATA_FILE)
    rendered = {
        stage.name: _stage(
            stage, DATA_DIGESTS, in_cache, wdir, [p for p in stage.outs if PurePosixPath(p).parts[2] in private]
        )
        for stage in stages
    }
    return _text("STUDY", {"stages": {"code": _code_stage(studies, DATA_DIGESTS, wdir), **rendered}})


def _wdir(dvc_file: str) -> str:
    return "/".join([".."] * (len(PurePosixPath(dvc_file).parts) - 1))


def _code_stage(studies: Sequence[StudyPlace], digests: str, wdir: str) -> dict[str, Any]:
    there = [path for path in CODE_DEPS if Path(path).exists()]
    return {
        "cmd": f"python -m relatent.cli.code {digests}",
        **({"wdir": wdir} if wdir else {}),
        "deps": sorted([*there, *(study.config for study in studies)]),
        "outs": [{digests: {"cache": False}}],
    }


def _stage(
    stage: Stage, digests: str, in_cache: Collection[str], wdir: str, unpushed: Collection[str]
) -> dict[str, Any]:
    outs: list[str | dict[str, dict[str, bool]]] = []
    metrics: list[dict[str, dict[str, bool]]] = []
    for path in stage.outs:
        if path not in in_cache:
            (metrics if _is_metrics(path) else outs).append({path: {"cache": False}})
        else:
            outs.append({path: {"push": False}} if path in unpushed else path)
    return {
        "cmd": stage.command,
        **({"wdir": wdir} if wdir else {}),
        **({"deps": stage.deps} if stage.deps else {}),
        "params": [{digests: [stage.name]}],
        **({"outs": outs} if outs else {}),
        **({"metrics": metrics} if metrics else {}),
    }


def _is_metrics(path: str) -> bool:
    return PurePosixPath(path).name == "metrics.json"


def _plots(stages: Sequence[Stage], in_cache: Collection[str], wdir: str) -> list[Any]:
    """Training curves and pictures for `dvc plots show`; paths relative to the dvc.yaml itself."""
    plots: list[Any] = []
    for stage in stages:
        for path in stage.outs:
            place = f"{wdir}/{path}" if wdir else path
            if PurePosixPath(path).name == "history.csv" and stage.name in HISTORY_AXES:
                x, y = HISTORY_AXES[stage.name]
                plots.append({place: {"template": "simple", "x": x, "y": list(y), "title": _cell(path)}})
            elif path.endswith(".png") and stage.name == "figures":
                plots.append(place)
    return plots


def _cell(path: str) -> str:
    return "/".join(PurePosixPath(path).parts[2:-1])


class _Indented(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)


def _text(study: str, body: Mapping[str, Any]) -> str:
    dumped = yaml.dump(dict(body), Dumper=_Indented, sort_keys=False, width=10_000, default_flow_style=False)
    return HEADER.format(study=study) + dumped


def git_ignored(paths: Iterable[str]) -> set[str]:
    """Those of `paths` that .gitignore leaves to DVC's cache: the one place that says what Git keeps."""
    given = "\n".join(paths)
    done = run_program("git", "check-ignore", "--no-index", "--stdin", check=False, given=given)
    if done.returncode not in (0, 1):
        run_program("git", "check-ignore", "--no-index", "--stdin", given=given)  # once more, to say what is wrong
    return set(done.stdout.splitlines())


def private_datasets() -> set[str]:
    """Datasets that may not be passed on, or whose terms need the user's consent first (DESIGN 4.18)."""
    if not Path("data/registry.yaml").is_file():
        return set()
    registry = load_registry()
    terms = {name: registry[registry.raw_of(name)].terms for name in registry.names()}
    return {name for name, said in terms.items() if said and (said.consent or not said.redistribution)}


def data_studies(extra: StudyPlace | None = None) -> list[StudyPlace]:
    """Studies with a part in data/dvc.yaml: the demo, and each whose own dvc.yaml stands beside its results."""
    names = {path.parent.name for path in Path("results").glob("*/dvc.yaml")}
    if extra is not None:
        names.add(extra.name)
    return [StudyPlace(DEMO), *(StudyPlace(name) for name in sorted(names - {DEMO}))]


def study_graphs(study: StudyPlace) -> dict[StudyPlace, list[PlannedJob]]:
    """The graphs that a study's dvc.yaml and data/dvc.yaml are rendered from: its own and those that share the data."""
    return {place: expand(place) for place in data_studies(study)}


def render(study: StudyPlace, graphs: Mapping[StudyPlace, Sequence[PlannedJob]]) -> dict[str, str]:
    """Texts of the dvc.yaml files that a study has a part in, by path: its own and data/dvc.yaml."""
    own = study_stages(study, graphs[study])
    return {
        study.dvc_file: render_study(study, own, git_ignored),
        DATA_FILE: render_data(list(graphs), data_stages(graphs), git_ignored, private_datasets()),
    }


def write_rendered(texts: Mapping[str, str]) -> list[str]:
    """Write what differs; return the paths written."""
    written = []
    for path, text in texts.items():
        if not Path(path).is_file() or Path(path).read_text(encoding="utf-8") != text:
            write_text(Path(path), text)
            written.append(path)
    return written


def differing(texts: Mapping[str, str]) -> list[str]:
    """Paths whose file is not what the graph renders."""
    return [path for path, text in texts.items() if not Path(path).is_file() or Path(path).read_text() != text]
