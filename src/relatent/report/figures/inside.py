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


FILTERS_SHOWN = 64


POSTERIORS_SHOWN = 6


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
            axis.set_title(f"{source.rpartition('/')[2]}: {place}", loc="left")
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
    deviations; a q that misses the posterior is no fault of the drawing, so each window prints KL(q || p(z|x)).
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
        figsize=(1.45 * across, 2.0 * len(sources)),
        height_ratios=[1.0, 0.22] * len(sources),
        squeeze=False,
        layout="constrained",
    )
    rows: list[dict[str, Any]] = []
    half = max(_spread_of(grid, image) for grid in grids.values() for image in range(across))
    for place, (source, grid) in enumerate(grids.items()):
        axis_values = grid["axis"]
        edge = axis_values[-1]
        for image in range(across):
            top, below = axes[2 * place, image], axes[2 * place + 1, image]
            density = np.exp(grid["log_posterior"][image])
            top.imshow(
                density.T, origin="lower", extent=(-edge, edge, -edge, edge), cmap="cividis", interpolation="bilinear"
            )
            mean, sd = grid["q_mean"][image], grid["q_sd"][image]
            top.add_patch(Ellipse(mean, *(4 * sd), fill=False, edgecolor="white", linewidth=0.9))
            bare(top)
            centre = _moments(grid, image)[0]
            top.set_xlim(centre[0] - half, centre[0] + half)
            top.set_ylim(centre[1] - half, centre[1] + half)
            top.set_facecolor(plt.get_cmap("cividis")(0))
            kl = float(grid["kl"][image])
            top.text(0.04, 0.96, f"KL {kl:.1f}", transform=top.transAxes, va="top", color="white", fontsize=8)
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
                    "posterior_mode_1": float(axis_values[np.unravel_index(density.argmax(), density.shape)[0]]),
                    "posterior_mode_2": float(axis_values[np.unravel_index(density.argmax(), density.shape)[1]]),
                }
            )
        _scale_bar(axes[2 * place, 0], half)
        axes[2 * place, 0].set_title(f"{_two_latents_title(source)}: KL(q ‖ p(z|x)) in nats", loc="left")
    return Drawing(figure, rows)


def _scale_bar(axes: "Axes", half: float) -> None:
    """A bar of a round length, about a quarter of a window that is 2 `half` wide."""
    power = 10.0 ** math.floor(math.log10(half / 2))
    length = next(step * power for step in (5, 2, 1) if step * power <= half / 2)
    left, bottom = axes.get_xlim()[0] + 0.08 * half, axes.get_ylim()[0] + 0.12 * half
    axes.plot([left, left + length], [bottom, bottom], color="white", linewidth=1.5)
    axes.text(left + length / 2, bottom + 0.04 * half, f"{length:g}", color="white", fontsize=8, ha="center")


def _moments(grid: Mapping[str, "np.ndarray"], image: int) -> tuple["np.ndarray", "np.ndarray"]:
    """Mean and standard deviation of a posterior on its grid, (2,) each."""
    import numpy as np

    axis = grid["axis"]
    mass = np.exp(grid["log_posterior"][image].astype(np.float64))
    mass /= mass.sum()
    marginals = (mass.sum(1), mass.sum(0))
    mean = np.array([(axis * marginal).sum() for marginal in marginals])
    sd = np.array([np.sqrt(((axis - m) ** 2 * marginal).sum()) for m, marginal in zip(mean, marginals, strict=True)])
    return mean, sd


def _spread_of(grid: Mapping[str, "np.ndarray"], image: int) -> float:
    """Half the width of a window that holds the posterior and q, at three standard deviations."""
    mean, sd = _moments(grid, image)
    q_reach = abs(grid["q_mean"][image] - mean) + 3 * grid["q_sd"][image]
    return float(max((3 * sd).max(), q_reach.max()))


def _two_latents_title(source: str) -> str:
    objective, _, k = source.split("/")[2].split("-")[:3]
    return f"{objective.upper()} k={k[1:]}"
