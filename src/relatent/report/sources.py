"""Which files of a study a page reads: `<phase>/<cell>` names, and where their metrics and receipts lie."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.report.catalogue import compared_sources, table_sources
from relatent.report.figure_catalogue import figure_spec

if TYPE_CHECKING:
    from relatent.config.study import Study


PHASES_WITH_PRESET = ("train_density", "evaluate_nll", "train_gan", "sample")
PHASES_OF_PROBE = ("features", "probe", "probe_pictures")


def cells_of(study: "Study") -> list[str]:
    """Every cell of a study that has metrics, as `<phase>/<cell>`, in the order of its YAML."""
    return [
        *(f"prepared/{dataset}" for dataset in study.data.cells()),
        *(f"dedup/{dataset}" for dataset in study.dedup.cells()),
        *(f"evaluate_nll/{cell}" for cell in [*study.density.cells(), *study.density.adopted]),
        *(f"evaluate_nll/exact/{model}" for model in study.exact.cells()),
        *(f"evaluate_nll/{cell}/{measure}" for measure, cells in study.measured_cells().items() for cell in cells),
        *(f"sample/{cell}" for cell in study.sample.cells()),
        *(f"sample/{cell}/nearest_neighbour" for cell in study.sample.nearest_neighbour),
        *(f"sample/{cell}/{name}" for name, cells in study.visual.cells().items() for cell in cells),
        *(f"probe/{cell}" for cell in study.probe.cells()),
    ]


def sources_of_table(study: "Study", table: str) -> list[str]:
    """The study's cells that a table reads."""
    return table_sources(table, cells_of(study))


def sources_compared_in_table(study: "Study", table: str) -> list[str]:
    """The cells whose per-image values a table compares."""
    return compared_sources(table, cells_of(study))


def trained_cells_of(study: "Study") -> list[str]:
    """The cells of a study that figures are chosen by: trained models besides those that have metrics."""
    return [
        *cells_of(study),
        *(f"train_density/{cell}" for cell in [*study.density.cells(), *study.density.adopted]),
        *(f"train_gan/{cell}" for cell in [*study.gan.cells(), *study.gan.adopted]),
        *(f"probe_pictures/{cell}" for cell in study.probe.pictures),
        *(f"features/{cell}" for cell in study.probe.with_filters()),
    ]


def sources_of_figure(study: "Study", figure: str) -> list[str]:
    """The sources that a figure reads."""
    return list(dict.fromkeys(source for source, _ in figure_spec(figure).files(trained_cells_of(study))))


def figure_files(study: "Study", figure: str) -> list[str]:
    """The files that a figure reads."""
    wanted = figure_spec(figure).files(trained_cells_of(study))
    return [f"{folder_of(study.study, source)}/{name}" for source, name in wanted]


def figure_receipts(study: "Study", figure: str) -> list[str]:
    """The receipts that prove them."""
    wanted = figure_spec(figure).files(trained_cells_of(study))
    return list(dict.fromkeys(f"{folder_of(study.study, source)}/{receipt_name(name)}" for source, name in wanted))


def receipt_name(file: str) -> str:
    """Name of the receipt beside a file: pictures and checks of data have one of their own."""
    own = {"pictures.npz": "pictures.receipt.json", "checks.json": "checks.receipt.json"}
    return own.get(file, "receipt.json")


def folder_of(study: str, source: str) -> str:
    """Folder of a source's files."""
    return f"data/{source}" if source.startswith("prepared/") else f"results/{study}/{source}"


def source_files(study: "Study", sources: Sequence[str], kind: str) -> list[str]:
    """One file of each source: "metrics" (the checks of prepared data), "per_image" or "receipt"."""
    names = {"metrics": "metrics.json", "per_image": "per_image.npz", "receipt": "receipt.json"}
    of_data = {"metrics": "checks.json", "receipt": "checks.receipt.json"}
    return [
        f"{folder_of(study.study, source)}/{of_data[kind] if source.startswith('prepared/') else names[kind]}"
        for source in sources
    ]


def page_settings(study: "Study", name: str, sources: Sequence[str]) -> PageSettings:
    """Settings of one table or figure."""
    adopted = [*study.density.adopted, *study.gan.adopted]
    return PageSettings(
        name=name,
        study=study.study,
        effort=study.effort,
        sources=list(sources),
        presets={source: preset for source in sources if (preset := preset_of(study, source))},
        datasets={source: study.exact.dataset for source in sources if source.startswith("evaluate_nll/exact/")},
        adopted=[source for source in sources if model_behind(study, source) in adopted],
    )


def model_behind(study: "Study", source: str) -> str:
    """The trained density model or GAN, `<dataset>/<cell>`, whose numbers a source has; empty if there is none."""
    phase, *parts = source.split("/")
    if phase in PHASES_WITH_PRESET:
        return "/".join(parts[:2])
    if phase in PHASES_OF_PROBE and parts[1] in study.probe.rows:
        return str(getattr(study.probe.rows.get(study.probe.features_row(parts[1])), "weights", ""))
    return ""


def preset_of(study: "Study", source: str) -> str:
    """Preset of a density or GAN cell, empty where there is no choice."""
    phase, _, cell = source.partition("/")
    cell = "/".join(cell.split("/")[:2])
    sections: tuple[Any, ...] = (study.density, study.gan)
    section = next((s for s in sections if cell in [*s.run, *s.adopted]), None)
    if section is None or phase not in PHASES_WITH_PRESET:
        return ""
    return str(getattr(section.settings_of(cell), "preset", ""))
