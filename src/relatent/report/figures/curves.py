"""Figures made of lines and dots: training, active units, the exact-likelihood gap."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    K_STYLES,
    OBJECTIVE_COLOURS,
    VERMILION,
    Drawing,
    legend_outside,
)
from relatent.report.slots_iwae import BOUND_KS

if TYPE_CHECKING:
    import pandas as pd


ACTIVE_ABOVE = 0.01  # Burda et al. 2016, sec. 5.2


def read_table(path: Path) -> "pd.DataFrame":
    """A CSV of a phase."""
    import pandas as pd

    return pd.read_csv(path)


def _cell(source: str) -> tuple[str, int, int]:
    """Objective, layers and k of a density cell's source."""
    objective, layers, k = source.rpartition("/")[2].split("-")[:3]
    return objective, int(layers[1:]), int(k[1:])


def draw_density_training(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Training bound by epoch, one line per seed; depth by panel, objective by colour, k by line style.

    The late epochs fill the frame, else the steep beginning would flatten them into one line; what it leaves out is
    said below it.
    """
    import matplotlib.pyplot as plt

    sources = inputs.sources("history.csv")
    depths = sorted({_cell(source)[1] for source in sources})
    figure, axes = plt.subplots(
        1, len(depths), figsize=(3.2 * len(depths) + 1.8, 3.0), sharey=True, squeeze=False, layout="constrained"
    )
    rows: list[dict[str, Any]] = []
    stage_ends: set[int] = set()
    for source in sources:
        objective, layers, k = _cell(source)
        axis = axes[0, depths.index(layers)]
        bound = "ELBO" if objective == "vae" else f"L$_{{{k}}}$"
        label = f"{'VAE = IWAE' if k == 1 else objective.upper()} k={k}: {bound}"
        for seed, history in read_table(inputs.file(source, "history.csv")).groupby("seed", sort=True):
            axis.plot(
                history["epoch"],
                -history["train_bound_nats"],
                color=BLACK if k == 1 else OBJECTIVE_COLOURS[objective],
                linestyle=K_STYLES.get(k, "-."),
                label=label,
                alpha=0.85,
            )
            stage_ends.update(history.groupby("stage")["epoch"].max())
            rows += [
                {"source": source, "seed": int(seed), "epoch": int(epoch), "minus_bound_nats": -float(bound)}
                for epoch, bound in zip(history["epoch"], history["train_bound_nats"], strict=True)
            ]
    lowest = min(row["minus_bound_nats"] for row in rows)
    last = max(row["epoch"] for row in rows)
    top = max(row["minus_bound_nats"] for row in rows if row["epoch"] >= last / 8)
    for axis, layers in zip(axes[0], depths, strict=True):
        axis.set_title(f"{layers} stochastic layer{'s' if layers > 1 else ''}", loc="left")
        axis.set_xlabel("epoch")
        axis.set_ylim(lowest - 0.03 * (top - lowest), top)
        above = [row["epoch"] for row in rows if _cell(row["source"])[1] == layers and row["minus_bound_nats"] > top]
        if above:
            axis.set_xlabel(f"epoch (all lines in frame from {max(above) + 1} on)")
        if last > 60:
            axis.set_xscale("log")
        for epoch in stage_ends - {last}:
            axis.axvline(epoch, color="#999999", linewidth=0.8, linestyle=":", zorder=0)
    legend_outside(figure, "outside right upper", title="trained on, and shown,\nits own bound")
    axes[0, 0].set_ylabel("minus the training bound (nats):\neach line's own, not comparable")
    return Drawing(figure, rows)


GAN_CURVES = (
    ("d_loss", "D: BCE(real) + BCE(fake)", BLUE),
    ("g_loss", "G: non-saturating", VERMILION),
)
UNDECIDED_NATS = 2 * math.log(2)  # loss of a discriminator that answers 1/2 everywhere


def draw_gan_training(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Losses of D and G over the images seen, and their gradients; a running median over each raw trace."""
    import matplotlib.pyplot as plt

    sources = inputs.sources("history.csv")
    size = (7.2, 2.8 * len(sources) + 0.3)
    figure, axes = plt.subplots(len(sources), 2, figsize=size, squeeze=False, layout="constrained")
    rows: list[dict[str, Any]] = []
    for (left, right), source in zip(axes, sources, strict=True):
        history = read_table(inputs.file(source, "history.csv"))
        window = max(1, len(history) // 40)
        thousands = history["images_seen"] / 1000
        for name, label, colour in GAN_CURVES:
            smooth = history[name].rolling(window, center=True, min_periods=1).median()
            left.plot(thousands, history[name], color=colour, alpha=0.25, linewidth=0.7)
            left.plot(thousands, smooth, color=colour, label=label)
        for name, colour in (("d_grad_norm", BLUE), ("g_grad_norm", VERMILION)):
            if name in history:
                smooth = history[name].rolling(window, center=True, min_periods=1).median()
                right.plot(thousands, history[name], color=colour, alpha=0.25, linewidth=0.7)
                right.plot(thousands, smooth, color=colour)
        left.set_title(source.partition("/")[2], loc="left")
        left.axhline(UNDECIDED_NATS, color="#777777", linewidth=1.0, linestyle=":", label="D undecided: 2 log 2")
        left.set_ylim(top=max(left.get_ylim()[1], 1.05 * UNDECIDED_NATS))
        left.set_ylabel("loss (nats)")
        right.set_title("norm of the gradient", loc="left")
        right.set_yscale("log")
        for axis in (left, right):
            axis.set_xlabel("images seen (thousands)")
        columns = [name for name in ("d_loss", "g_loss", "d_grad_norm", "g_grad_norm") if name in history]
        for record in history.to_dict("records"):
            rows.append(
                {"source": source, "step": int(record["step"]), "images_seen": int(record["images_seen"])}
                | {name: float(record[name]) for name in columns}
            )
    legend_outside(figure, "outside upper center", ncols=3)
    return Drawing(figure, rows)


def draw_log_activity(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Burda et al. 2016, Fig. 1: histogram of log A_u with the threshold; 20 bins, mean count over seeds."""
    import matplotlib.pyplot as plt
    import numpy as np

    sources = inputs.sources("activity.csv")
    figure, axes = plt.subplots(
        1,
        len(sources),
        figsize=(3.5 * len(sources), 2.8),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    logs = {source: _log_activity(inputs.file(source, "activity.csv")) for source in sources}
    everything = np.concatenate([values for values, _ in logs.values()])
    edges = np.linspace(np.floor(everything.min()), np.ceil(everything.max()), 21)
    threshold = float(np.log(ACTIVE_ABOVE))
    rows: list[dict[str, Any]] = []
    for axis, (source, (values, n_seeds)) in zip(axes[0], logs.items(), strict=True):
        objective, _, k = _cell(source)
        counts = np.histogram(values, edges)[0] / n_seeds
        colour = BLACK if k == 1 else OBJECTIVE_COLOURS[objective]
        axis.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colour, edgecolor="white", linewidth=0.5)
        axis.axvline(threshold, color=GREEN, linewidth=1.4)
        axis.annotate(
            "log 0.01",
            (threshold, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -9),
            textcoords="offset points",
            fontsize=8,
            color=GREEN,
        )
        active = round(float((values > threshold).sum()) / n_seeds, 1)
        axis.set_title(f"{objective.upper()} k={k}: {active:g} active of {len(values) // n_seeds}", loc="left")
        axis.set_xlabel("log A$_u$ (natural log)")
        rows += [
            {"source": source, "log_variance_low": float(low), "log_variance_high": float(high), "units": float(count)}
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    one_each = all(n_seeds == 1 for _, n_seeds in logs.values())
    axes[0, 0].set_ylabel("units" if one_each else "units (mean over seeds)")
    return Drawing(figure, rows)


def _log_activity(path: Path) -> tuple[Any, int]:
    """log A_u of the first layer over all seeds, and the number of seeds; a variance of zero is put at 1e-12."""
    import numpy as np

    table = read_table(path)
    table = table[table["layer"] == 1]
    return np.log(np.maximum(table["variance"].to_numpy(), 1e-12)), table["seed"].nunique()


MODEL_LOOKS = (("mixture", BLUE, "o"), ("bernoulli", VERMILION, "s"), ("linear-gaussian", GREEN, "^"))


def draw_exact_gap(inputs: Inputs, settings: PageSettings) -> Drawing:
    """How far L_k lies below the exact log p(x), against k, with its Monte Carlo error and the first-order bias."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
    looks = {name: (colour, marker) for name, colour, marker in MODEL_LOOKS}
    rows: list[dict[str, Any]] = []
    for source in inputs.sources("metrics.json"):
        model = source.rpartition("/")[2]
        metrics = inputs.json(source, "metrics.json")
        colour, marker = looks.get(model, (BLACK, "D"))
        exact = metrics["log_px_nats"]["value"]
        points = [(k, metrics[f"bound_k{k}_nats"]) for k in BOUND_KS if f"bound_k{k}_nats" in metrics]
        for k, bound in points:
            gap, error = exact - bound["value"], 1.96 * (bound.get("stderr") or 0.0)
            bias = abs(bound.get("bias_first_order") or 0.0)
            rows.append({"model": model, "k": k, "gap_nats": gap, "error_95_nats": error, "first_order_gap_nats": bias})
        mine = [row for row in rows if row["model"] == model]
        predicted = [(row["k"], row["first_order_gap_nats"]) for row in mine if row["first_order_gap_nats"] > 0]
        if predicted:
            axis.plot(*zip(*predicted, strict=True), color=colour, linewidth=0.9, linestyle=":")
        shift = 1 + 0.06 * (list(looks).index(model) - 1) if model in looks else 1.0
        axis.errorbar(
            [row["k"] * shift for row in mine],
            [row["gap_nats"] for row in mine],
            [row["error_95_nats"] for row in mine],
            color=colour,
            marker=marker,
            markersize=5,
            capsize=2,
            linestyle="none",
            label=model,
        )
    noise = max((row["error_95_nats"] for row in rows), default=0.0)
    axis.set_xscale("log")
    axis.set_xticks(sorted({row["k"] for row in rows}), [str(k) for k in sorted({row["k"] for row in rows})])
    axis.minorticks_off()
    axis.set_yscale("symlog", linthresh=10.0 ** round(math.log10(noise)) if noise > 0 else 1e-3)
    axis.axhline(0, color="#777777", linewidth=0.8)
    axis.plot([], [], color="#555555", linewidth=0.9, linestyle=":", label="first-order prediction")
    axis.set_xlabel("importance samples k")
    axis.set_ylabel("exact log p(x) − L$_k$ (nats)")
    axis.legend()
    return Drawing(figure, rows)
