"""Figures of images that are alike: clusters of near-duplicates, nearest neighbours in a row's features."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.pictures import GAP, image_rows, read_images, show_mosaic
from relatent.report.figures.style import Drawing, bare, picture_panels
from relatent.report.slots_dcgan import probe_row_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLUSTERS_SHOWN, MEMBERS_SHOWN = 8, 8


IMAGE_COLUMNS = ("panel", "row", "column", "array", "index", "mean", "sha256")


def draw_duplicates(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Clusters of near codes, the kept image first in each row; clusters evenly spaced from largest to smallest.

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
        spaced = len(chosen) < len(clusters)
        count = f"{len(chosen)} of {len(clusters)}" if spaced else f"all {len(clusters)}"
        show_mosaic(axis, sheet, width, f"{dataset}: {count} clusters")
        _count_the_rest(axis, images.shape[-1], [len(members) - width for members in chosen], width)
        order = f"rows: {'evenly spaced by rank, ' if spaced else ''}largest to smallest cluster"
        axis.set_xlabel(f"{order}\n{removal_note(inputs.json(source, 'metrics.json'))}", loc="left")
    return Drawing(figure, rows)


def _count_the_rest(axes: "Axes", side: int, more: Sequence[int], columns: int) -> None:
    """`+44` behind each row of square images that has so many more members than columns."""
    step = side + max(1, round(GAP * side))
    for row, count in enumerate(more):
        if count > 0:
            axes.text(columns * step, row * step + side / 2, f"+{count}", va="center", fontsize=7)


def removal_note(metrics: Mapping[str, Any]) -> str:
    """By what rule images were removed, and how often rightly, from the metrics of a de-duplication."""
    radius, precision = metrics["radius_bits"]["value"], metrics["precision"]
    rule = f"codes within {radius} bits of a centre" if radius else "equal codes"
    n = precision["n_pairs"]
    judged = f"{precision['value'] * n:.0f} of {n} removals right, by a judge of pixels"
    return f"kept image first, then removed ones\nrule: {rule}\n{judged}"


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


NEIGHBOURS_SHOWN = 8


def draw_neighbours(inputs: Inputs, settings: PageSettings) -> Drawing:
    """What each row takes for alike: test images and, to their right, the nearest training images in its features."""
    import numpy as np

    sources = inputs.sources("pictures.npz")
    figure, axes = picture_panels(1, len(sources), (3.3 * len(sources), 4.4))
    rows: list[dict[str, Any]] = []
    for axis, source in zip(axes.flat, sources, strict=True):
        path = inputs.file(source, "pictures.npz")
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = arrays["images"][:NEIGHBOURS_SHOWN, :6], arrays["labels"][:NEIGHBOURS_SHOWN, :6]
            shown, near = arrays["shown"][:NEIGHBOURS_SHOWN], arrays["neighbours"][:NEIGHBOURS_SHOWN, :5]
        columns = images.shape[1]
        same = labels[:, 1:] == labels[:, :1]
        title = probe_row_title(source.rpartition("/")[2]).removesuffix(" + L2-SVM")
        show_mosaic(axis, images.reshape(-1, *images.shape[2:]), columns, title)
        axis.set_xlabel(f"{same.sum()} of {same.size} neighbours are of the image's class")
        left = images.shape[-1] + max(1, round(GAP * images.shape[-2])) / 2
        axis.axvline(left - 0.5, color="#D55E00", linewidth=1.2)
        places = [
            f"test:{a}" if k == 0 else f"train:{near[i, k - 1]}" for i, a in enumerate(shown) for k in range(columns)
        ]
        rows += image_rows(source, path, images.reshape(-1, *images.shape[2:]), places, columns)
    return Drawing(figure, rows)


def draw_probe_filters(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Filters of the rows that have some, as the features' layout holds them: up to 64 each, in their own order."""
    import numpy as np

    sources = inputs.sources("layout.json")
    figure, axes = picture_panels(1, len(sources), (2.7 * len(sources), 2.9))
    rows: list[dict[str, Any]] = []
    for axis, source in zip(axes.flat, sources, strict=True):
        filters = np.array(inputs.json(source, "layout.json")["filters"], dtype=np.uint8)
        columns = math.isqrt(len(filters) - 1) + 1
        title = probe_row_title(source.rpartition("/")[2]).removesuffix(" + L2-SVM")
        show_mosaic(axis, filters, columns, title)
        rows += image_rows(source, inputs.file(source, "layout.json"), filters, range(len(filters)), columns)
    return Drawing(figure, rows)
