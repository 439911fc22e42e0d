"""Phrases that several pages share."""

from relatent.config.report import PageSettings


def made_with(settings: PageSettings) -> str:
    """Study, effort, data, presets of a figure or a table: its small print."""
    datasets = dict.fromkeys(settings.dataset_of(source) for source in settings.sources)
    presets = dict.fromkeys(settings.presets.values())
    parts = [f"study {settings.study}", f"effort {settings.effort}"]
    parts += [f"data {', '.join(datasets)}"] if datasets else []
    parts += [f"preset {', '.join(presets)}"] if presets else []
    parts += ["some cells adopted, see the receipts"] if settings.adopted else []
    return " · ".join(parts)
