"""Figures made of images: samples, interpolation, clusters of near-duplicates."""

import csv
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.errors import DataIntegrityError
from relatent.report.catalogue import probe_row_title
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.style import Drawing, bare

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

GAP = 0.12  # between images, in image sides
COLOUR_SHOWN = 36  # keeps a PNG of two panels under 300 kB


def read_images(path: Path, dimensions: int = 4) -> "np.ndarray":
    """A uint8 array of images, (…, channel, height, width), memory-mapped.

    Raises:
        DataIntegrityError: another kind of array.
    """
    import numpy as np

    images = np.load(path, mmap_mode="r", allow_pickle=False)
    if images.dtype != np.uint8 or images.ndim != dimensions:
        raise DataIntegrityError(
            f"{path}: {images.dtype} {images.shape} where uint8 images are expected; make it again"
        )
    return images


def mosaic(images: "np.ndarray", columns: int) -> "np.ndarray":
    """Images (n, channel, height, width) side by side, white between them: (H, W) grey or (H, W, 3), uint8."""
    import numpy as np

    n, channels, height, width = images.shape
    gap = max(1, round(GAP * height))
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for index in range(n):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = images[index].transpose(1, 2, 0)
    return sheet[..., 0] if channels == 1 else sheet


def square(images: "np.ndarray", most: int = 100) -> tuple["np.ndarray", int]:
    """As many of the first images as fill a square, and its side; fewer in colour, which compresses less well."""
    side = math.isqrt(min(len(images), most if images.shape[1] == 1 else min(most, COLOUR_SHOWN)))
    return images[: side * side], side


def show_mosaic(axes: "Axes", images: "np.ndarray", columns: int, title: str) -> None:
    """One panel of images."""
    axes.imshow(mosaic(images, columns), vmin=0, vmax=255)
    axes.set_title(title, loc="left")
    bare(axes)


def image_rows(
    panel: str, array: Path, images: "np.ndarray", indices: Sequence[Any], columns: int
) -> list[dict[str, Any]]:
    """What is shown where: one row per image, with its mean grey level and the start of its sha256."""
    return [
        {
            "panel": panel,
            "row": place // columns,
            "column": place % columns,
            "array": array.as_posix(),
            "index": index,
            "mean": float(image.mean()),
            "sha256": hashlib.sha256(image.tobytes()).hexdigest()[:16],
        }
        for place, (index, image) in enumerate(zip(indices, images, strict=True))
    ]


def draw_density_samples(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Burda et al. 2016, Fig. 3: VAE left, IWAE right, one layer above two; Bernoulli means of prior samples."""
    import matplotlib.pyplot as plt

    places = {source: _density_place(source) for source in inputs.sources("samples.npy")}
    depths = sorted({depth for depth, _ in places.values()})
    objectives = sorted({objective for _, objective in places.values()}, reverse=True)
    size = (3.4 * len(objectives), 3.55 * len(depths))
    figure, axes = plt.subplots(len(depths), len(objectives), figsize=size, squeeze=False, layout="constrained")
    for panel in axes.flat:
        panel.set_visible(False)
    rows: list[dict[str, Any]] = []
    for source, (depth, objective) in places.items():
        path = inputs.file(source, "samples.npy")
        images, columns = square(read_images(path))
        panel = axes[depths.index(depth), objectives.index(objective)]
        panel.set_visible(True)
        title = f"{objective}, {depth} stochastic layer{'s' if depth > 1 else ''}"
        show_mosaic(panel, images, columns, title)
        rows += image_rows(title, path, images, range(len(images)), columns)
    return Drawing(figure, rows)


def _density_place(source: str) -> tuple[int, str]:
    objective, layers, k = source.rpartition("/")[2].split("-")[:3]
    return int(layers[1:]), f"{objective.upper()} k={k[1:]}"


def net_title(source: str) -> str:
    """`sample/cifar10/svhn32-w16-nobn` → `without batch norm`; a whole net by its name."""
    parts = source.rpartition("/")[2].split("-")
    without = [WITHOUT[part] for part in parts if part in WITHOUT]
    return "; ".join(without) or "-".join(parts)


# What each ablation of relatent.config.gan does to the net.
WITHOUT = {
    "pooling": "pooling for strides",
    "nobn": "without batch norm",
    "dense": "with hidden dense layers",
    "sigmoid": "sigmoid in G for ReLU",
    "relu": "ReLU in D for LeakyReLU",
}


def draw_gan_samples(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Radford et al. 2016, Figs 2 and 3: samples after the first epoch and at the end, in the order they were drawn."""
    import matplotlib.pyplot as plt

    sources = inputs.sources("samples.npy")
    panels = [(source, name) for source in sources for name in ("early.npy", "samples.npy") if inputs.has(source, name)]
    across = 2
    down = -(-len(panels) // across)
    figure, axes = plt.subplots(down, across, figsize=(3.5 * across, 3.7 * down), squeeze=False, layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    rows: list[dict[str, Any]] = []
    for axis, (source, name) in zip(axes.flat, panels, strict=False):
        path = inputs.file(source, name)
        images, columns = square(read_images(path))
        title = "after 1 epoch" if name == "early.npy" else "at the end"
        if len(sources) > 1:
            title = f"{source.partition('/')[2]}, {title}"
        show_mosaic(axis, images, columns, title)
        rows += image_rows(title, path, images, range(len(images)), columns)
    return Drawing(figure, rows)


def draw_ablation_samples(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Samples of a net and of the same net without one of the paper's rules, side by side."""
    import matplotlib.pyplot as plt

    sources = inputs.sources("samples.npy")
    across = min(4, len(sources))
    down = -(-len(sources) // across)
    figure, axes = plt.subplots(down, across, figsize=(2.2 * across, 2.4 * down), squeeze=False, layout="constrained")
    for axis in axes.flat[len(sources) :]:
        axis.set_visible(False)
    rows: list[dict[str, Any]] = []
    for axis, source in zip(axes.flat, sources, strict=False):
        path = inputs.file(source, "samples.npy")
        images, columns = square(read_images(path), most=16)
        title = net_title(source)
        show_mosaic(axis, images, columns, title)
        rows += image_rows(title, path, images, range(len(images)), columns)
    return Drawing(figure, rows)


FILTERS_SHOWN = 64


def draw_filters(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Weights next to the pixels, as pictures: the encoder's first layer and the decoder's last.

    The largest are shown: units that training left at their small initial weights say nothing.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    sources = inputs.sources("filters.npz")
    figure, axes = plt.subplots(
        len(sources), 2, figsize=(6.6, 3.45 * len(sources)), squeeze=False, layout="constrained"
    )
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


PATHS_SHOWN = 5


def draw_interpolation(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Radford et al. 2016, Fig. 4: straight paths between random z, one per row.

    A GAN's array holds as many spherical paths after its straight ones; those are not shown.
    """
    import matplotlib.pyplot as plt

    sources = inputs.sources("interpolation.npy")
    arrays = {source: read_images(inputs.file(source, "interpolation.npy"), dimensions=5) for source in sources}
    shapes = [(min(len(array) // 2, PATHS_SHOWN), array.shape[1]) for array in arrays.values()]
    figure, axes = plt.subplots(
        len(sources),
        1,
        figsize=(0.62 * max(steps for _, steps in shapes), 0.3 + sum(0.66 * rows + 0.35 for rows, _ in shapes)),
        height_ratios=[rows for rows, _ in shapes],
        squeeze=False,
        layout="constrained",
    )
    rows: list[dict[str, Any]] = []
    for axis, (source, array), (shown, steps) in zip(axes.flat, arrays.items(), shapes, strict=True):
        images = array[:shown].reshape(shown * steps, *array.shape[2:])
        title = source.partition("/")[2]
        show_mosaic(axis, images, steps, title)
        places = [f"{index // steps}:{index % steps}" for index in range(len(images))]
        rows += image_rows(title, inputs.file(source, "interpolation.npy"), images, places, steps)
    return Drawing(figure, rows)


CLUSTERS_SHOWN, MEMBERS_SHOWN = 8, 8
IMAGE_COLUMNS = ("panel", "row", "column", "array", "index", "mean", "sha256")


def draw_duplicates(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Clusters of equal codes, the kept image first in each row; clusters evenly spaced from largest to smallest.

    The largest alone would mislead: they are flat patches, of which codes see no difference.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    sources = inputs.sources("clusters.csv")
    found = {source: clusters_of_several(inputs.file(source, "clusters.csv")) for source in sources}
    widths = [1.0 if found[source] else 0.4 for source in sources]
    figure, axes = plt.subplots(
        1, len(sources), figsize=(3.6 * sum(widths), 3.8), width_ratios=widths, squeeze=False, layout="constrained"
    )
    rows: list[dict[str, Any]] = []
    for axis, (source, clusters) in zip(axes.flat, found.items(), strict=True):
        dataset = source.rpartition("/")[2]
        bare(axis)
        if not clusters:
            axis.text(0.5, 0.5, f"{dataset}:\nno near-duplicates", ha="center", va="center", transform=axis.transAxes)
            rows.append({**dict.fromkeys(IMAGE_COLUMNS, ""), "panel": dataset})
            continue
        path = inputs.file(f"prepared/{dataset}", "train_images.npy")
        images = read_images(path)
        chosen = evenly_spaced(clusters, CLUSTERS_SHOWN)
        width = min(MEMBERS_SHOWN, max(len(members) for members in chosen))
        sheet = np.full((len(chosen) * width, *images.shape[1:]), 255, np.uint8)
        for row, members in enumerate(chosen):
            shown = members[:width]
            sheet[row * width : row * width + len(shown)] = images[shown]
            marks = image_rows(dataset, path, images[shown], shown, width)
            rows += [{**mark, "row": row} for mark in marks]
        show_mosaic(axis, sheet, width, f"{dataset}: {len(chosen)} of {len(clusters)} clusters, by size")
        axis.set_xlabel("kept image first, then removed ones")
    return Drawing(figure, rows)


def clusters_of_several(path: Path) -> list[list[int]]:
    """Members of the clusters of at least two images, lowest index (the kept one) first; largest clusters first."""
    members: dict[int, list[int]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            members.setdefault(int(row["cluster"]), []).append(int(row["index"]))
    several = [sorted(indices) for indices in members.values() if len(indices) > 1]
    return sorted(several, key=lambda indices: (-len(indices), indices[0]))


def evenly_spaced(items: Sequence[list[int]], most: int) -> list[list[int]]:
    """At most `most` of the items, first and last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def draw_posteriors(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Burda et al. 2016, Fig. 2: true posteriors of models with two latents, for a few training images.

    One row per model; below it each image beside reconstructions from draws of q. The ellipse is q at two standard
    deviations.
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
            shown = [255 * grid["images"][image], *(255 * x for x in grid["reconstructions"][image][:4])]
            strip = np.concatenate([np.asarray(picture).reshape(1, *picture.shape[-3:]) for picture in shown])
            below.imshow(mosaic(np.round(strip).astype(np.uint8), len(strip)), vmin=0, vmax=255)
            bare(below)
            rows.append(
                {
                    "source": source,
                    "image": image,
                    "log_px_nats": float(grid["log_px"][image]),
                    "q_mean_1": float(mean[0]),
                    "q_mean_2": float(mean[1]),
                    "q_sd_1": float(sd[0]),
                    "q_sd_2": float(sd[1]),
                    "posterior_mode_1": float(axis_values[np.unravel_index(density.argmax(), density.shape)[0]]),
                    "posterior_mode_2": float(axis_values[np.unravel_index(density.argmax(), density.shape)[1]]),
                }
            )
        title = (
            f"{_two_latents_title(source)}; windows {2 * half:.1f} wide" if place == 0 else _two_latents_title(source)
        )
        axes[2 * place, 0].set_title(title, loc="left")
    return Drawing(figure, rows)


POSTERIORS_SHOWN = 6


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


NEIGHBOURS_SHOWN = 8


def draw_neighbours(inputs: Inputs, settings: PageSettings) -> Drawing:
    """What each row takes for alike: test images and, to their right, the nearest training images in its features."""
    import matplotlib.pyplot as plt
    import numpy as np

    sources = inputs.sources("pictures.npz")
    figure, axes = plt.subplots(1, len(sources), figsize=(3.3 * len(sources), 4.4), squeeze=False, layout="constrained")
    rows: list[dict[str, Any]] = []
    for axis, source in zip(axes.flat, sources, strict=True):
        path = inputs.file(source, "pictures.npz")
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = arrays["images"][:NEIGHBOURS_SHOWN, :6], arrays["labels"][:NEIGHBOURS_SHOWN, :6]
            shown, near = arrays["shown"][:NEIGHBOURS_SHOWN], arrays["neighbours"][:NEIGHBOURS_SHOWN, :5]
        columns = images.shape[1]
        same = (labels[:, 1:] == labels[:, :1]).mean()
        title = probe_row_title(source.rpartition("/")[2]).removesuffix(" + L2-SVM")
        show_mosaic(axis, images.reshape(-1, *images.shape[2:]), columns, title)
        axis.set_xlabel(f"{100 * same:.0f} % of the neighbours are of the image's class")
        left = images.shape[-1] + max(1, round(GAP * images.shape[-2])) / 2
        axis.axvline(left - 0.5, color="#D55E00", linewidth=1.2)
        places = [
            f"test:{a}" if k == 0 else f"train:{near[i, k - 1]}" for i, a in enumerate(shown) for k in range(columns)
        ]
        rows += image_rows(source, path, images.reshape(-1, *images.shape[2:]), places, columns)
    return Drawing(figure, rows)
