"""A study as Snakemake is given it: read again from its file, because Snakemake hands over values already merged.

Apart from `config.study`, which the pages import: a check of what may be written makes no table stale.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from relatent.config.study import Study, study_from
from relatent.config.yaml_files import read_yaml
from relatent.errors import ConfigError


def study_given(files: Sequence[Path], values: Mapping[str, Any], known_datasets: Collection[str]) -> Study:
    """Check the study of a run.

    Args:
        files: the config files that Snakemake read; none where all values come from `--config`.
        values: what it made of them and of `--config`.
        known_datasets: names in the data registry.

    Raises:
        ConfigError: several files, a key given twice, or as in `study_from`.
    """
    if len(files) > 1:
        raise ConfigError(
            f"--configfile: {', '.join(map(str, files))} would be merged into one; give one file that holds it all"
        )
    for file in files:
        read_yaml(file)  # of a key given twice, `values` has only the last one
    where = ", ".join(map(str, files)) or "--config"
    return study_from(values, where, known_datasets)
