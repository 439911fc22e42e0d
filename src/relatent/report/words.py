"""Phrases that several pages share."""

from relatent.config.report import PageSettings

# What each ablation of relatent.config.gan does to the net.
WITHOUT = {
    "pooling": "pooling for strides",
    "nobn": "without batch norm",
    "dense": "with hidden dense layers",
    "sigmoid": "sigmoid in G for ReLU",
    "relu": "ReLU in D for LeakyReLU",
}


def ablations(net: str) -> str:
    """`svhn32-w16-nobn` → `without batch norm`; empty for a whole net."""
    return "; ".join(WITHOUT[part] for part in net.split("-") if part in WITHOUT)


def made_with(settings: PageSettings) -> str:
    """Study, effort, data, presets of a figure or a table: its small print."""
    datasets = dict.fromkeys(settings.dataset_of(source) for source in settings.sources)
    presets = dict.fromkeys(settings.presets.values())
    parts = [f"study {settings.study}", f"effort {settings.effort}"]
    parts += [f"data {', '.join(datasets)}"] if datasets else []
    parts += [f"preset {', '.join(presets)}"] if presets else []
    parts += ["some cells adopted, see the receipts"] if settings.adopted else []
    return " · ".join(parts)
