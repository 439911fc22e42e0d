"""A study as Snakemake is given it: read again from its file, because Snakemake hands over values already merged.

Apart from `config.study`, which the pages import: a check of what may be written makes no table stale.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from relatent.config.study import Study, study_from
from relatent.config.yaml_files import read_yaml
from relatent.errors import ConfigError

NAME = r"[a-z][a-z0-9_]*"  # as Study.study has it


def study_given(files: Sequence[Path], values: Mapping[str, Any], known_datasets: Collection[str]) -> Study:
    """Check the study of a run.

    Args:
        files: the config files that Snakemake read; none where all values come from `--config`.
        values: what it made of them and of `--config`.
        known_datasets: names in the data registry.

    Raises:
        ConfigError: several files, a key given twice, another name than the file's, or as in `study_from`.
    """
    if len(files) > 1:
        raise ConfigError(
            f"--configfile: {', '.join(map(str, files))} would be merged into one; give one file that holds it all"
        )
    if not files:
        return study_from(values, "--config", known_datasets)
    file = files[0]
    written = read_yaml(file)  # of a key given twice, `values` has only the last one
    study = study_from(values, str(file), known_datasets)
    check_name(written.get("study", study.study), file)
    if study.study != file.stem:
        raise ConfigError(
            f"--config study={study.study}: {file} is the study {file.stem}; leave this out, or copy the file to "
            f"{file.with_stem(study.study)} with `study: {study.study}`"
        )
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
