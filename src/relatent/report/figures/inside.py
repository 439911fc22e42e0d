"""Figures of what a density model has learned: weights next to the pixels, posteriors of two latents."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.pictures import GAP, image_rows, mosaic
from relatent.report.figures.style import Drawing, bare, picture_panels

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


FILTERS_SHOWN = 64


POSTERIORS_SHOWN = 6
NATS_SHOWN = 6.0  # below the maximum of a posterior; of a Gaussian, three and a half standard deviations
Q_DEVIATIONS = 2
OUTSIDE = 0.001  # of a posterior's mass that a window may leave out on each of its four sides


def draw_filters(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Weights next to the pixels, as pictures: the encoder's first layer and the decoder's last.

    The largest are shown: units that training left at their small initial weights say nothing.
    """
    import numpy as np

    sources = inputs.sources("filters.npz")
    figure, axes = picture_panels(len(sources), 2, (6.8, 3.55 * len(sources)))
    rows: list[dict[str, Any]] = []
    for (left, right), source in zip(axes, sources, strict=True):
        path = inputs.file(source, "filters.npz")
        with np.load(path, allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in ("encoder", "decoder")}
        for axis, (name, found) in zip((left, right), weights.items(), strict=True):
            sizes = np.abs(found).reshape(len(found), -1).max(axis=1)
            shown = np.argsort(-sizes, kind="stable")[:FILTERS_SHOWN]
            scaled = (found[shown] / np.maximum(sizes[shown], 1e-12)[:, None, None, None]).mean(axis=1, keepdims=True)
            pictures = np.round(127.5 * (1 + scaled)).astype(np.uint8)
            side = math.isqrt(len(shown))
            sheet = spread(pictures[: side * side, 0], side)
            axis.imshow(sheet, cmap="RdBu_r", vmin=0, vmax=255)
            place = "encoder, first layer" if name == "encoder" else "decoder, last layer"
            axis.set_title(f"{_objective_and_k(source)}: {place}", loc="left")
            bare(axis)
            rows += image_rows(f"{source} {name}", path, pictures[: side * side], shown[: side * side].tolist(), side)
    return Drawing(figure, rows)


def spread(pictures: "np.ndarray", columns: int) -> "np.ndarray":
    """Pictures (n, height, width) side by side, a masked gap between them."""
    import numpy as np

    n, height, width = pictures.shape
    gap = max(1, round(GAP * height))
    sheet = np.ma.masked_all((-(-n // columns) * (height + gap) - gap, columns * (width + gap) - gap))
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def draw_posteriors(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Burda et al. 2016, Fig. 2: true posteriors of models with two latents, for a few training images.

    One row per model; below it each image beside reconstructions from draws of q. The ellipse is q at two standard
    deviations; a q that misses the posterior is no fault of the drawing, so each window prints KL(q || p(z|x)). Each
    window is as wide as its posterior and q, and its colours are of log density below the maximum: posteriors are
    narrow, and their second modes would be invisible beside the first.
    """
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.patches import Ellipse

    sources = inputs.sources("posterior.npz")
    grids = {}
    for source in sources:
        with np.load(inputs.file(source, "posterior.npz"), allow_pickle=False) as arrays:
            grids[source] = {name: arrays[name] for name in arrays.files}
    across = min(POSTERIORS_SHOWN, *(len(grid["log_px"]) for grid in grids.values()))
    figure, axes = plt.subplots(
        2 * len(sources),
        across,
        figsize=(1.5 * across + 0.5, 2.1 * len(sources)),
        height_ratios=[1.0, 0.22] * len(sources),
        squeeze=False,
        layout="constrained",
    )
    rows: list[dict[str, Any]] = []
    for place, (source, grid) in enumerate(grids.items()):
        axis_values = grid["axis"]
        for image in range(across):
            top, below = axes[2 * place, image], axes[2 * place + 1, image]
            log = grid["log_posterior"][image]
            picture = _show_posterior(top, axis_values, log - log.max())
            mean, sd = grid["q_mean"][image], grid["q_sd"][image]
            top.add_patch(Ellipse(mean, *(2 * Q_DEVIATIONS * sd), fill=False, edgecolor="white", linewidth=0.9))
            window = window_of(grid, image)
            top.set_xlim(*window[0])
            top.set_ylim(*window[1])
            kl = float(grid["kl"][image])
            _write_on(top, 0.04, 0.95, f"KL {kl:.1f}", va="top", fontsize=8, bbox=_dark_box())
            shown = [255 * grid["images"][image], *(255 * x for x in grid["reconstructions"][image][:4])]
            strip = np.concatenate([np.asarray(picture).reshape(1, *picture.shape[-3:]) for picture in shown])
            below.imshow(mosaic(np.round(strip).astype(np.uint8), len(strip)), vmin=0, vmax=255)
            bare(below)
            rows.append(
                {
                    "source": source,
                    "image": image,
                    "log_px_nats": float(grid["log_px"][image]),
                    "kl_q_from_posterior_nats": kl,
                    "q_mean_1": float(mean[0]),
                    "q_mean_2": float(mean[1]),
                    "q_sd_1": float(sd[0]),
                    "q_sd_2": float(sd[1]),
                    "posterior_mode_1": float(axis_values[np.unravel_index(log.argmax(), log.shape)[0]]),
                    "posterior_mode_2": float(axis_values[np.unravel_index(log.argmax(), log.shape)[1]]),
                    "window_low_1": window[0][0],
                    "window_low_2": window[1][0],
                    "window_width": window[0][1] - window[0][0],
                }
            )
        axes[2 * place, 0].set_title(f"{_objective_and_k(source)}: KL(q ‖ p(z|x)) in nats", loc="left")
        _name_parts(axes[2 * place, 0], axes[2 * place + 1, 0])
    bar = figure.colorbar(picture, ax=axes[:, -1], aspect=15 * len(sources))
    bar.set_label("log p(z|x) less its largest (nats)", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    return Drawing(figure, rows)


def _show_posterior(axes: "Axes", grid_axis: "np.ndarray", log: "np.ndarray") -> "AxesImage":
    """A log density less its maximum, (z1, z2), with few and small ticks; far below the maximum all is one colour."""
    import matplotlib.pyplot as plt

    half_step = (grid_axis[1] - grid_axis[0]) / 2
    low, high = grid_axis[0] - half_step, grid_axis[-1] + half_step
    picture = axes.imshow(
        log.T,
        origin="lower",
        extent=(low, high, low, high),
        cmap="cividis",
        vmin=-NATS_SHOWN,
        vmax=0,
        interpolation="bilinear",
    )
    axes.set_facecolor(plt.get_cmap("cividis")(0))
    axes.grid(False)
    axes.locator_params(nbins=3)
    axes.tick_params(labelsize=6, length=2, pad=1)
    return picture


def _name_parts(window: "Axes", strip: "Axes") -> None:
    """In the first window and the strip below it: what the ellipse and the pictures are."""
    window.plot(0.08, 0.08, "o", color="white", fillstyle="none", markersize=5, transform=window.transAxes)
    _write_on(window, 0.15, 0.08, f"q at {Q_DEVIATIONS} sd", va="center", fontsize=7)
    strip.text(0.1, -0.1, "x", transform=strip.transAxes, ha="center", va="top", fontsize=7)
    strip.text(0.6, -0.1, "reconstructions", transform=strip.transAxes, ha="center", va="top", fontsize=7)


def _dark_box() -> dict[str, Any]:
    """What keeps words off the ellipse behind them."""
    import matplotlib.pyplot as plt

    return {"facecolor": plt.get_cmap("cividis")(0), "edgecolor": "none", "pad": 1.0}


def _write_on(axes: "Axes", x: float, y: float, text: str, **more: Any) -> None:
    """White words in a window, with an edge of its darkest colour that keeps them legible on the brightest."""
    import matplotlib.pyplot as plt
    from matplotlib.patheffects import withStroke

    edge = [withStroke(linewidth=2, foreground=plt.get_cmap("cividis")(0))]
    axes.text(x, y, text, transform=axes.transAxes, color="white", path_effects=edge, **more)


def window_of(grid: Mapping[str, "np.ndarray"], image: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ends of a square along z1 and z2 that holds q at two standard deviations and nearly all of the posterior."""
    import numpy as np

    axis = grid["axis"]
    mass = np.exp(grid["log_posterior"][image].astype(np.float64))
    q_mean, reach = grid["q_mean"][image], Q_DEVIATIONS * grid["q_sd"][image]
    lows, highs = [], []
    for place, marginal in enumerate((mass.sum(1), mass.sum(0))):
        below = np.cumsum(marginal) / marginal.sum()
        first, last = np.searchsorted(below, (OUTSIDE, 1 - OUTSIDE))
        lows.append(min(axis[first], q_mean[place] - reach[place]))
        highs.append(max(axis[min(last, len(axis) - 1)], q_mean[place] + reach[place]))
    half = 0.6 * max(high - low for low, high in zip(lows, highs, strict=True))
    first, second = ((low + high) / 2 for low, high in zip(lows, highs, strict=True))
    return (float(first - half), float(first + half)), (float(second - half), float(second + half))


def _objective_and_k(source: str) -> str:
    objective, _, k = source.split("/")[2].split("-")[:3]
    return f"{objective.upper()} k={k[1:]}"
