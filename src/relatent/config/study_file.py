"""A study as Snakemake is given it: read again from its file, because Snakemake hands over values already merged.

Apart from `config.study`, which the pages import: a check of what may be written makes no table stale.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relatent.config.features import AutoencoderRow, DiscriminatorRow
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
        ConfigError: several files, a key given twice, another name than the file's, an unknown page, a
            cell or dataset that is not the study's, or as in `study_from`.
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
    wrong = [*_unknown_pages(study, pages), *_strangers(study)]
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


def _strangers(study: Study) -> Iterator[str]:
    """Cells and datasets that are named but not the study's; Snakemake would only miss their files."""
    gans = {*study.gan.cells(), *study.gan.adopted}
    densities = {*study.density.cells(), *study.density.adopted}
    no_gan = "neither in gan.run nor in gan.adopted; list it there first"
    for name in dict.fromkeys(row for _, row in study.probe.features(learned=False)):
        row = study.probe.rows[name]
        if isinstance(row, DiscriminatorRow) and row.weights != "random" and row.weights not in gans:
            yield f"probe.rows.{name}.weights: {row.weights}: {no_gan}"
        if isinstance(row, AutoencoderRow) and row.weights not in study.dedup.cells():
            yield f"probe.rows.{name}.weights: {row.weights}: not in dedup.run; list it there first"
    for cell in study.sample.cells():
        if cell not in gans | densities:
            yield f"sample.run: {cell}: neither run nor adopted in density or gan; list it there first"
    for cell in study.sample.nearest_neighbour:
        if cell not in gans:
            yield f"sample.nearest_neighbour: {cell}: {no_gan}"
    used = {
        "sample.run": study.sample.cells(),
        "sample.nearest_neighbour": study.sample.nearest_neighbour,
        **{f"evaluate_nll.{measure}.run": cells for measure, cells in study.measured_cells().items()},
        **{f"visual.{experiment}.run": cells for experiment, cells in study.visual.cells().items()},
    }
    datasets = study.data.cells()
    for key, cells in used.items():
        for cell in cells:
            dataset = cell.partition("/")[0]
            if cell in gans | densities and dataset not in datasets:  # an adopted one: others were checked before
                yield f"{key}: {cell}: needs the images of {dataset}, which data.run does not list; add it there"
    if study.exact.cells() and study.exact.dataset not in datasets:
        listed = ", ".join(datasets)
        yield f"exact.dataset: {study.exact.dataset}: not in data.run, {listed}; correct the name, or add it there"
