"""A study as Snakemake is given it: read again from its file, because Snakemake hands over values already merged.

Apart from `config.study`, which the pages import: a check of what may be written makes no table stale.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relatent.config.study import Study, study_from
from relatent.config.yaml_files import read_yaml
from relatent.errors import ConfigError

NAME = r"[a-z][a-z0-9_]*"  # as Study.study has it


def study_given(
    files: Sequence[Path],
    values: Mapping[str, Any],
    known_datasets: Collection[str],
    pages: Mapping[str, Collection[str]],
) -> Study:
    """Check the study of a run.

    Args:
        files: the config files that Snakemake read; none where all values come from `--config`.
        values: what it made of them and of `--config`.
        known_datasets: names in the data registry.
        pages: names of the `tables` and of the `figures` there are; the report knows them, and config nothing of it.

    Raises:
        ConfigError: several files, a key given twice, another name than the file's, an unknown page, or as in
            `study_from`.
    """
    if len(files) > 1:
        raise ConfigError(
            f"--configfile: {', '.join(map(str, files))} would be merged into one; give one file that holds it all"
        )
    written = read_yaml(files[0]) if files else {}  # of a key given twice, `values` has only the last one
    where = str(files[0]) if files else "--config"
    study = study_from(values, where, known_datasets)
    if files:
        check_name(written.get("study", study.study), files[0])
    if files and study.study != files[0].stem:
        raise ConfigError(
            f"--config study={study.study}: {where} is the study {files[0].stem}; leave this out, or copy the file to "
            f"{files[0].with_stem(study.study)} with `study: {study.study}`"
        )
    wrong = list(_unknown_pages(study, pages))
    if wrong:
        raise ConfigError("\n".join(f"{where}: {line}" for line in wrong))
    return study


def check_name(study: object, file: Path) -> None:
    """A study is named like its file: `results/` goes by the one, `relatent report` and the others by the other.

    Args:
        study: its name as the file has it.
        file: the file.

    Raises:
        ConfigError: another name.
    """
    if study == file.stem:
        return
    remedies = [f"write `study: {file.stem}`"] if re.fullmatch(NAME, file.stem) else []
    if isinstance(study, str) and re.fullmatch(NAME, study) and not file.with_stem(study).exists():
        remedies.append(f"rename the file to {file.with_stem(study)}")
    remedy = " or ".join(remedies) or "rename the file; a name is lower-case letters, digits and _"
    raise ConfigError(f"{file}: study: {study!r} is not the name of the file, {file.stem!r}; {remedy}")


def _unknown_pages(study: Study, pages: Mapping[str, Collection[str]]) -> Iterator[str]:
    for key, known in pages.items():
        for name in getattr(study, key):
            if name not in known:
                yield f"{key}: unknown {key.removesuffix('s')} {name!r}; there are {', '.join(known)}"
