"""Figures of the linear probe: its rows side by side, what it confuses, labels it needs, layers it reads."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.errors import MissingDataError
from relatent.report.build import measured
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Drawing,
    legend_outside,
)
from relatent.report.printed import OVER
from relatent.report.slots_dcgan import probe_row_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_probe_rows(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Accuracy of the probe on each row's features, with all labels and with few, each with its 95 % interval."""
    import matplotlib.pyplot as plt

    sources = [source for source in inputs.sources("metrics.json") if not source.endswith("/comparisons")]
    documents = {source: inputs.json(source, "metrics.json") for source in sources}
    names = [probe_row_title(source.rpartition("/")[2]) for source in sources]
    panels = (("accuracy_full", BLUE), ("accuracy_few", ORANGE))
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 0.9 + 0.3 * len(sources)), sharey=True, layout="constrained")
    rows: list[dict[str, Any]] = []
    overs: list[str] = []
    for axis, (metric, colour) in zip(axes, panels, strict=True):
        title = _labels_title(documents.values(), metric)
        for place, (source, name) in enumerate(zip(sources, names, strict=True)):
            document = documents[source]
            if metric not in document:
                continue
            value, interval = measured(document[metric])
            low, high = (interval.low, interval.high) if interval else (value, value)
            overs.append(interval.over if interval else "")
            dear = source.endswith(("/dcgan", "/random"))
            axis.errorbar(
                100 * value,
                place,
                xerr=[[100 * (value - low)], [100 * (high - value)]],
                color=colour,
                marker="o",
                markersize=6 if dear else 5,
                markerfacecolor=colour if dear else "white",
                capsize=2,
            )
            rows.append({"row": name, "labels": title, "accuracy": value, "low": low, "high": high})
        axis.set_title(title, loc="left")
        axis.set_xlabel("accuracy (%)")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    _explain_bars(figure, overs)
    return Drawing(figure, rows)


def draw_confusion(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Confusion matrices of the probe with all labels: share of each true class, the diagonal left out of the scale."""
    import matplotlib.pyplot as plt
    import numpy as np

    sources = inputs.sources("metrics.json")
    figure, axes = plt.subplots(
        1, len(sources), figsize=(3.6 * len(sources), 3.9), sharey=True, squeeze=False, layout="constrained"
    )
    shares: dict[str, tuple[list[Any], Any]] = {}
    rows: list[dict[str, Any]] = []
    for source in sources:
        confusion = inputs.json(source, "metrics.json")["accuracy_full"]["confusion"]
        names = inputs.json(f"prepared/{source.split('/')[1]}", "manifest.json")["classes"]
        classes, counts = [names[label] for label in confusion["classes"]], np.array(confusion["counts"], dtype=float)
        shares[source] = classes, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows += [
            {"source": source, "true_class": true, "predicted_class": predicted, "images": int(counts[y, x])}
            for y, true in enumerate(classes)
            for x, predicted in enumerate(classes)
        ]
    wrong = [share[~np.eye(len(share), dtype=bool)].max() for _, share in shares.values()]
    for axis, (source, (classes, share)) in zip(axes[0], shares.items(), strict=True):
        shown = np.ma.masked_array(share, np.eye(len(share), dtype=bool))
        picture = axis.imshow(100 * shown, cmap="cividis", vmin=0, vmax=max(1.0, 100 * max(wrong)))
        for place in range(len(share)):
            right = f"{100 * share[place, place]:.0f}"
            axis.text(place, place, right, ha="center", va="center", fontsize=6.5, color="#333333")
        axis.set_title(probe_row_title(source.rpartition("/")[2]), loc="left")
        upright = max(map(len, classes)) > 2
        axis.set_xticks(range(len(share)), classes, rotation=90 if upright else 0)
        axis.set_yticks(range(len(share)), classes)
        axis.set_xlabel("predicted class")
        axis.grid(False)
    axes[0, 0].set_ylabel("true class")
    figure.colorbar(picture, ax=axes[0, -1], label="wrong, % of the true class", shrink=0.85)
    return Drawing(figure, rows)


ROW_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)


MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def draw_learning_curve(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Accuracy of the probe against the number of labels per class, one line per row with its 95 % interval."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
    rows: list[dict[str, Any]] = []
    overs: list[str] = []
    for place, source in enumerate(inputs.sources("metrics.json")):
        document = inputs.json(source, "metrics.json")
        name = probe_row_title(source.rpartition("/")[2])
        counts = sorted(int(key.removeprefix("accuracy_at_")) for key in document if key.startswith("accuracy_at_"))
        mine: list[dict[str, Any]] = []
        for count in counts:
            value, interval = measured(document[f"accuracy_at_{count}"])
            low, high = (interval.low, interval.high) if interval else (value, value)
            overs.append(interval.over if interval else "")
            mine.append({"row": name, "labels_per_class": count, "accuracy": value, "low": low, "high": high})
        if mine:
            axis.errorbar(
                [row["labels_per_class"] for row in mine],
                [100 * row["accuracy"] for row in mine],
                [[100 * (r["accuracy"] - r["low"]) for r in mine], [100 * (r["high"] - r["accuracy"]) for r in mine]],
                color=ROW_COLOURS[place % len(ROW_COLOURS)],
                marker=MARKERS[place % len(MARKERS)],
                markersize=4,
                capsize=2,
                label=name,
            )
        rows += mine
    if not rows:
        raise MissingDataError("no row has a learning curve; set probe.targets.<target>.few and `curve` in the study")
    axis.set_xscale("log")
    ticks = sorted({row["labels_per_class"] for row in rows})
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("labels per class")
    axis.set_ylabel("accuracy (%)")
    legend_outside(figure, "outside right upper")
    _explain_bars(figure, overs)
    return Drawing(figure, rows)


def draw_layers(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Accuracy of the probe on each layer of a discriminator by itself, and on all of them together."""
    import matplotlib.pyplot as plt

    sources = inputs.sources("metrics.json")
    documents = {source: inputs.json(source, "metrics.json") for source in sources}
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2), sharey=True, layout="constrained")
    rows: list[dict[str, Any]] = []
    overs: list[str] = []
    for axis, metric in zip(axes, ("accuracy_full", "accuracy_few"), strict=True):
        title = _labels_title(documents.values(), metric)
        for place, (source, document) in enumerate(documents.items()):
            layers = sorted(int(key.rpartition("layer")[2]) for key in document if key.startswith(f"{metric}_layer"))
            keys = [(f"layer {layer}", f"{metric}_layer{layer}") for layer in layers]
            keys += [("all", metric)] if metric in document else []
            name = probe_row_title(source.rpartition("/")[2])
            for x, (label, key) in enumerate(keys):
                value, interval = measured(document[key])
                low, high = (interval.low, interval.high) if interval else (value, value)
                overs.append(interval.over if interval else "")
                axis.errorbar(
                    x + 0.12 * (place - (len(sources) - 1) / 2),
                    100 * value,
                    [[100 * (value - low)], [100 * (high - value)]],
                    color=ROW_COLOURS[place % len(ROW_COLOURS)],
                    marker=MARKERS[place % len(MARKERS)],
                    markersize=5,
                    capsize=2,
                    linestyle="none",
                    label=name,
                )
                rows.append({"row": name, "labels": title, "layer": label, "accuracy": value, "low": low, "high": high})
            axis.set_xticks(range(len(keys)), [label for label, _ in keys])
        axis.set_title(title, loc="left")
    axes[0].set_ylabel("accuracy (%)")
    legend_outside(figure, "outside upper center", ncols=len(sources))
    _explain_bars(figure, overs)
    return Drawing(figure, rows)


def _explain_bars(figure: "Figure", overs: Iterable[str]) -> None:
    """Below the panels, over what the 95 % intervals are; nothing if there are none."""
    over = list(dict.fromkeys(over for over in overs if over))
    if over:
        # A label of the figure, for which the layout leaves room.
        figure.supxlabel(f"bars: 95 % interval {' or '.join(OVER.get(o, o) for o in over)}", fontsize=8)


def _labels_title(documents: Iterable[Mapping[str, Any]], metric: str) -> str:
    """`few labels: 4,000`; without the number if no row says it."""
    numbers = sorted({document[metric]["n_labels"] for document in documents if "n_labels" in document.get(metric, {})})
    kind = "all labels" if metric == "accuracy_full" else "few labels"
    return f"{kind}: {' or '.join(f'{number:,}' for number in numbers)}" if numbers else kind
