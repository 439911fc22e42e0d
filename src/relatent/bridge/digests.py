"""What the `code` stage writes: per stage, digests of all that a phase depends on besides the bytes of its files.

Per stage four entries. `code`: the commands' import closures. `rules`: the text of its rules. `files`: the list of
its deps and outs, because DVC does not notice a dependency that disappears. `settings`: its commands as the graph
resolves them. The other stages read their own entry as `params`, so dvc.yaml itself holds no digest.
"""

import re
from collections.abc import Iterable, Sequence

from relatent.bridge.graph import StudyPlace, expand, rule_text
from relatent.bridge.render import DATA_DIGESTS, Stage, data_stages, data_studies, study_stages
from relatent.errors import ConfigError
from relatent.ledger.code import code_digest
from relatent.ledger.files import digest_of


def digests_for(path: str) -> dict[str, dict[str, str]]:
    """The content of a digests file, by its path: `results/<study>/code/digests.json` or the shared data's."""
    if path == DATA_DIGESTS:
        return stage_digests(data_stages({study: expand(study) for study in data_studies()}))
    found = re.fullmatch(r"results/(\w+)/code/digests\.json", path)
    if found is None:
        raise ConfigError(f"{path}: digests are written to results/<study>/code/digests.json or {DATA_DIGESTS}")
    study = StudyPlace(found[1])
    return stage_digests(study_stages(study, expand(study)))


def stage_digests(stages: Iterable[Stage]) -> dict[str, dict[str, str]]:
    """Per stage its `code`, `rules`, `files` and `settings`, 16 hex digits each."""
    return {
        stage.name: {
            "code": _short({module: code_digest(module) for module in modules_of(stage)}),
            "rules": _short(sorted({significant(rule_text(rule)) for rule in stage.rules})),
            "files": _short({"deps": stage.deps, "outs": stage.outs}),
            "settings": _short(sorted(job.work() for job in stage.jobs)),
        }
        for stage in stages
    }


def modules_of(stage: Stage) -> Sequence[str]:
    """Modules of relatent that the stage's jobs run."""
    found = {module for job in stage.jobs for module in re.findall(r"(?:^|\s)-m\s+(relatent[\w.]*)", job.command)}
    return sorted(found)


def significant(text: str) -> str:
    """A rules file without comment lines and blank lines. No tokenizer, whose output differs between Pythons."""
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))


def _short(value: object) -> str:
    return digest_of(value)[:16]
