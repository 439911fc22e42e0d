"""Figures of the experiments on trained GANs: arithmetic on z, and what a discriminator's features look at."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.report.figures.alike import evenly_spaced
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.pictures import GAP, image_rows, show_mosaic
from relatent.report.figures.style import GREEN, VERMILION, Drawing, bare, picture_panels

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

CLASSES_SHOWN = 4
CONCEPTS = ("A\nheavy, right", "B\nlight, right", "C\nlight, left")
MEAN_GAP = 0.3  # between exemplars and their mean, in image sides
SIGN_GAP = 0.75  # between concepts, for the sign


def draw_arithmetic(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Radford et al. 2016, Fig. 7: exemplars, their means, the result among its neighbours, and the sum of pixels."""
    import numpy as np

    (source,) = inputs.sources("arithmetic.npz")
    path = inputs.file(source, "arithmetic.npz")
    with np.load(path, allow_pickle=False) as arrays:
        shown = {name: arrays[name] for name in arrays.files}
    classes = [place for (place,) in evenly_spaced([[i] for i in range(len(shown["label"]))], CLASSES_SHOWN)]
    across = min(2, len(classes))
    down = math.ceil(len(classes) / across)
    figure, axes = picture_panels(down, across, (4.1 * across, 2.75 * down))
    for axis in axes.flat[len(classes) :]:
        axis.set_visible(False)
    rows: list[dict[str, Any]] = []
    for axis, place in zip(axes.flat, classes, strict=False):
        parts = {name: shown[name][place] for name in ("exemplars", "means", "results", "pixels")}
        name = f"class {shown['label'][place]}: " if shown["label"][place] >= 0 else ""
        _show_sum(axis, parts, bool(shown["succeeded"][place]))
        axis.set_title(f"{name}{'succeeded' if shown['succeeded'][place] else 'missed'}", loc="left", pad=26)
        for part, images in parts.items():
            flat = images.reshape(-1, *images.shape[-3:])
            rows += image_rows(f"{name}{part}", path, flat, range(len(flat)), len(flat))
    return Drawing(figure, rows)


def _show_sum(axes: "Axes", parts: "dict[str, np.ndarray]", succeeded: bool) -> None:
    """One sum on one canvas: columns of exemplars with their mean below, the nine results, the sum of pixels."""
    import numpy as np
    from matplotlib.patches import Rectangle

    exemplars, means, results = parts["exemplars"], parts["means"], parts["results"]
    side, k = exemplars.shape[-1], exemplars.shape[1]
    step = side + max(1, round(GAP * side))
    mean_top = k * step + round(MEAN_GAP * side)
    height = max(mean_top + side, 3 * step)
    lefts = [round(i * (1 + SIGN_GAP) * side) for i in range(4)]
    pixels_left = lefts[3] + 3 * step + round(MEAN_GAP * side)
    sheet = np.full((height, pixels_left + side), 255, np.uint8)

    def put(image: "np.ndarray", top: int, left: int) -> None:
        sheet[top : top + side, left : left + side] = image[0]

    for column, left in enumerate(lefts[:3]):
        for row in range(k):
            put(exemplars[column, row], row * step, left)
        put(means[column], mean_top, left)
    grid_top = (height - 3 * step + step - side) // 2
    around = [place for place in range(9) if place != 4]
    for place, image in zip([4, *around], results, strict=True):
        put(image, grid_top + place // 3 * step, lefts[3] + place % 3 * step)
    put(parts["pixels"], grid_top + step, pixels_left)

    axes.imshow(sheet, vmin=0, vmax=255)
    bare(axes)
    words: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 7, "linespacing": 1.1}
    for left, text in zip(lefts, CONCEPTS, strict=False):
        axes.text(left + side / 2, -4, text, **words)
    axes.text(lefts[3] + (3 * step - GAP * side) / 2, grid_top - 4, "A − B + C\nand neighbours", **words)
    axes.text(pixels_left + side / 2, grid_top + step - 4, "pixels", **words)
    for left, sign in zip(lefts[1:], "−+=", strict=True):
        axes.text(left - SIGN_GAP * side / 2, mean_top + side / 2, sign, ha="center", va="center", fontsize=11)
    line = mean_top - (MEAN_GAP + GAP) * side / 2
    axes.plot([0, lefts[2] + side], [line, line], color="#888888", linewidth=0.8)
    centre = (lefts[3] + step - 1.5, grid_top + step - 1.5)
    colour = GREEN if succeeded else VERMILION
    axes.add_patch(Rectangle(centre, side + 2, side + 2, fill=False, edgecolor=colour, linewidth=2))


STRONGEST_SHOWN = 3
FEATURE_PANELS = (
    ("images_trained", "trained: images"),
    ("guided_trained", "guided gradient"),
    ("plain_trained", "plain gradient"),
    ("images_random", "untrained: images"),
    ("guided_random", "guided gradient"),
    ("plain_random", "plain gradient"),
)


def draw_features(inputs: Inputs, settings: PageSettings) -> Drawing:
    """Radford et al. 2016, Fig. 5: a row for each feature; left the trained net, right the same net never trained."""
    import numpy as np

    (source,) = inputs.sources("guided.npz")
    path, metrics = inputs.file(source, "guided.npz"), inputs.json(source, "metrics.json")
    with np.load(path, allow_pickle=False) as arrays:
        shown = {name: arrays[name][:, :STRONGEST_SHOWN] for name in arrays.files}
    columns = shown["images_trained"].shape[1]
    figure, axes = picture_panels(1, len(FEATURE_PANELS), (10.2, 3.9))
    rows: list[dict[str, Any]] = []
    for axis, (name, title) in zip(axes.flat, FEATURE_PANELS, strict=True):
        images = shown[name].reshape(-1, *shown[name].shape[2:])
        show_mosaic(axis, images, columns, title)
        kind, _, net = name.partition("_")
        if kind != "images":
            axis.set_xlabel(gradient_note(metrics, f"{kind}_{net}"), loc="left", fontsize=7)
        index = shown[f"index_{net}"].reshape(-1)
        rows += image_rows(name, path, images, [f"train:{place}" for place in index], columns)
    step = shown["images_trained"].shape[-1] * (1 + GAP)
    for feature in range(len(shown["images_trained"])):
        axes[0, 0].text(-5, (feature + 0.5) * step, str(feature + 1), ha="right", va="center", fontsize=7)
    return Drawing(figure, rows)


def gradient_note(metrics: Mapping[str, Any], which: str) -> str:
    """What was measured of the gradients of one rule in one net, such as `guided_trained`."""
    area, image, other = (
        metrics[f"{what}_{which}"]["value"] for what in ("half_area", "with_image", "with_next_feature")
    )
    return f"half in {100 * area:.1f} % of pixels\nr with the image {image:.2f}\nr with the next feature's {other:.2f}"
