"""Which files of a study a page reads: `<phase>/<cell>` names, and where their metrics and receipts lie."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.report.catalogue import table_sources

if TYPE_CHECKING:
    from relatent.config.study import Study


def cells_of(study: "Study") -> list[str]:
    """Every cell of a study that has metrics, as `<phase>/<cell>`, in the order of its YAML."""
    return [
        *(f"prepared/{dataset}" for dataset in study.data.cells()),
        *(f"dedup/{dataset}" for dataset in study.dedup.cells()),
        *(f"evaluate_nll/{cell}" for cell in [*study.density.cells(), *study.density.adopted]),
        *(f"evaluate_nll/exact/{model}" for model in study.exact.cells()),
        *(f"sample/{cell}" for cell in [*study.gan.cells(), *study.gan.adopted]),
        *(f"probe/{cell}" for cell in study.probe.cells()),
    ]


def sources_of_table(study: "Study", table: str) -> list[str]:
    """The study's cells that a table reads."""
    return table_sources(table, cells_of(study))


def folder_of(study: str, source: str) -> str:
    """Folder of a source's files."""
    return f"data/{source}" if source.startswith("prepared/") else f"results/{study}/{source}"


def source_files(study: "Study", sources: Sequence[str], kind: str) -> list[str]:
    """One file of each source: "metrics" (a manifest for prepared data), "per_image" or "receipt"."""
    names = {"metrics": "metrics.json", "per_image": "per_image.npz", "receipt": "receipt.json"}
    return [
        f"{folder_of(study.study, source)}/"
        f"{'manifest.json' if kind == 'metrics' and source.startswith('prepared/') else names[kind]}"
        for source in sources
    ]


def page_settings(study: "Study", name: str, sources: Sequence[str]) -> PageSettings:
    """Settings of one table or figure."""
    adopted = {f"evaluate_nll/{cell}" for cell in study.density.adopted}
    adopted |= {f"sample/{cell}" for cell in study.gan.adopted}
    return PageSettings(
        name=name,
        study=study.study,
        effort=study.effort,
        sources=list(sources),
        presets={source: preset for source in sources if (preset := preset_of(study, source))},
        adopted=[source for source in sources if source in adopted],
    )


def preset_of(study: "Study", source: str) -> str:
    """Preset of a density or GAN cell, empty where there is no choice."""
    phase, _, cell = source.partition("/")
    section: Any = {"evaluate_nll": study.density, "sample": study.gan}.get(phase)
    if section is None or cell not in [*section.run, *section.adopted]:
        return ""
    return str(getattr(section.settings_of(cell), "preset", ""))
