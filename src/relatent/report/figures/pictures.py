"""Figures of samples, of paths through the latent space, and how images are laid side by side."""

import csv
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.errors import DataIntegrityError
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.style import PANEL_GAP, Drawing, bare, picture_panels
from relatent.report.words import ablations

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
    places = {source: _density_place(source) for source in inputs.sources("samples.npy")}
    depths = sorted({depth for depth, _, _ in places.values()})
    objectives = sorted({objective for _, objective, _ in places.values()}, reverse=True)
    figure, axes = picture_panels(len(depths), len(objectives), (3.4 * len(objectives), 3.65 * len(depths)))
    for panel in axes.flat:
        panel.set_visible(False)
    rows: list[dict[str, Any]] = []
    for source, (depth, objective, k) in places.items():
        path = inputs.file(source, "samples.npy")
        images, columns = square(read_images(path))
        panel = axes[depths.index(depth), objectives.index(objective)]
        panel.set_visible(True)
        title = f"{objective} k={k}, {depth} stochastic layer{'s' if depth > 1 else ''}"
        show_mosaic(panel, images, columns, title)
        rows += image_rows(title, path, images, range(len(images)), columns)
    return Drawing(figure, rows)


def _density_place(source: str) -> tuple[int, str, int]:
    """Row and column, depth and objective; and k, which may be another in each row."""
    objective, layers, k = source.rpartition("/")[2].split("-")[:3]
    return int(layers[1:]), objective.upper(), int(k[1:])


def draw_gan_samples(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Radford et al. 2016, Figs 2 and 3: samples early in training and at the end, in the order they were drawn."""
    sources = inputs.sources("samples.npy")
    panels = [(source, name) for source in sources for name in ("early.npy", "samples.npy") if inputs.has(source, name)]
    across = 2
    down = -(-len(panels) // across)
    figure, axes = picture_panels(down, across, (3.5 * across, 3.75 * down))
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    rows: list[dict[str, Any]] = []
    for axis, (source, name) in zip(axes.flat, panels, strict=False):
        path = inputs.file(source, name)
        images, columns = square(read_images(path))
        title = _after(inputs, source) if name == "early.npy" else "at the end of training"
        if len(sources) > 1:
            title = f"{source.partition('/')[2]}, {title}"
        show_mosaic(axis, images, columns, title)
        rows += image_rows(title, path, images, range(len(images)), columns)
    return Drawing(figure, rows)


def _after(inputs: Inputs, source: str) -> str:
    """When in its training the early generator of a GAN was kept, as the receipt of the training says."""
    training = source.replace("sample/", "train_gan/", 1)
    if not inputs.has(training, "history.csv"):
        return "early in training"
    first = min(inputs.settings(training, "history.csv")["snapshot_epochs"])
    with inputs.file(training, "history.csv").open(newline="", encoding="utf-8") as file:
        last = max(int(row["epoch"]) for row in csv.DictReader(file))
    # A collapsed run that is kept may have ended before; then the generator is of where it ended.
    return f"after epoch {first} of {last}" if first < last else "early in training"


def draw_samples_by_realness(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Radford et al. 2016, Figs 10 and 11: samples as drawn, and the same sorted by the discriminator."""
    sources = inputs.sources("samples.npy")
    figure, axes = picture_panels(len(sources), 2, (7, 3.75 * len(sources)))
    rows: list[dict[str, Any]] = []
    for pair, source in zip(axes, sources, strict=True):
        path, scores = inputs.file(source, "samples.npy"), inputs.json(source, "metrics.json")["realness"]["per_image"]
        samples = read_images(path)
        orders = {
            "as drawn": range(len(samples)),
            "most real first": sorted(range(len(samples)), key=lambda i: -scores[i]),
        }
        for axis, (name, order) in zip(pair, orders.items(), strict=True):
            images, columns = square(samples[list(order)])
            title = f"{source.partition('/')[2]}, {name}"
            show_mosaic(axis, images, columns, title)
            rows += image_rows(title, path, images, list(order)[: len(images)], columns)
    return Drawing(figure, rows)


def draw_ablation_samples(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Samples of a net and of the same net without one of the paper's rules, side by side."""
    sources = inputs.sources("samples.npy")
    down = 1 if len(sources) <= 4 else 2
    across = -(-len(sources) // down)
    figure, axes = picture_panels(down, across, (2.3 * across, 2.5 * down))
    for axis in axes.flat[len(sources) :]:
        axis.set_visible(False)
    rows: list[dict[str, Any]] = []
    for axis, source in zip(axes.flat, sources, strict=False):
        path = inputs.file(source, "samples.npy")
        images, columns = square(read_images(path), most=16)
        net = source.rpartition("/")[2]
        title = ablations(net) or f"whole net ({net})"
        show_mosaic(axis, images, columns, title)
        rows += image_rows(title, path, images, range(len(images)), columns)
    return Drawing(figure, rows)


PATHS_SHOWN = 5
PATHS_WIDTH = 6.0  # inches


def draw_interpolation(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Radford et al. 2016, Fig. 4: straight paths between random z, one per row.

    A GAN's array holds as many spherical paths after its straight ones; those are not shown.
    """
    sources = inputs.sources("interpolation.npy")
    arrays = {source: read_images(inputs.file(source, "interpolation.npy"), dimensions=5) for source in sources}
    shapes = [(min(len(array) // 2, PATHS_SHOWN), array.shape[1]) for array in arrays.values()]
    heights = [PATHS_WIDTH * rows / steps for rows, steps in shapes]
    size = (PATHS_WIDTH + PANEL_GAP, sum(heights) + 0.5 * len(heights))
    figure, axes = picture_panels(len(sources), 1, size, heights)
    rows: list[dict[str, Any]] = []
    for axis, (source, array), (shown, steps) in zip(axes.flat, arrays.items(), shapes, strict=True):
        images = array[:shown].reshape(shown * steps, *array.shape[2:])
        title = source.partition("/")[2]
        show_mosaic(axis, images, steps, title)
        places = [f"{index // steps}:{index % steps}" for index in range(len(images))]
        rows += image_rows(title, inputs.file(source, "interpolation.npy"), images, places, steps)
    return Drawing(figure, rows)
