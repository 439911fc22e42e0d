"""One look for all figures, and files that are equal byte for byte where the data are equal."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from relatent.ledger.files import atomic_path, write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image

# Okabe and Ito 2008: told apart with any common colour blindness, and in grey by their lightness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
OBJECTIVE_COLOURS = {"vae": BLUE, "iwae": VERMILION}
K_STYLES = {1: "-", 5: "--", 50: ":"}

RC: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same letters
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.3,
    "pdf.fonttype": 42,
    "svg.hashsalt": "relatent",
    "path.simplify": True,
    "image.interpolation": "nearest",
    "image.cmap": "gray",
}


PNG_BYTES = 300_000  # DESIGN 4.15: Git holds small pictures
PANEL_GAP = 0.3  # inches between panels of pictures: far more than between two pictures of a panel


@dataclass(frozen=True)
class Drawing:
    """A drawn figure and the numbers behind it, one row per mark."""

    figure: "Figure"
    rows: Sequence[Mapping[str, Any]]


@contextmanager
def drawing_style() -> Iterator[None]:
    """matplotlib set up for our figures: no window, our fonts and colours, nothing of the user's own."""
    import matplotlib

    matplotlib.use("Agg", force=True)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def save_drawing(drawing: Drawing, png: Path, pdf: Path, table: Path, footer: str) -> None:
    """Write a drawing as PNG and PDF without dates, and the numbers behind it as CSV.

    Args:
        footer: what the numbers were made with, in small print below the figure.
    """
    import matplotlib.pyplot as plt

    figure = drawing.figure
    figure.draw_without_rendering()  # only now the layout is known
    drawn_on = figure.get_tightbbox()
    middle, below = (drawn_on.x0 + drawn_on.x1) / 2, drawn_on.y0 - 0.08  # inches
    place = (middle / figure.get_figwidth(), below / figure.get_figheight())
    figure.text(*place, footer, ha="center", va="top", fontsize=7, color="#555555")
    fit: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.08}
    with atomic_path(pdf) as temporary:
        figure.savefig(temporary, metadata={"CreationDate": None, "Creator": None, "Producer": None}, **fit)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", **fit)
    write_bytes(png, small_png(drawn.getvalue()))
    plt.close(figure)
    write_text(table, rows_csv(drawing.rows))


def small_png(content: bytes) -> bytes:
    """A PNG without transparency, dates or names; with 256 colours if it would be too large for Git otherwise."""
    from PIL import Image

    image = Image.open(io.BytesIO(content)).convert("RGB")
    small = _png(image)
    return small if len(small) <= PNG_BYTES else _png(image.quantize(256, dither=Image.Dither.NONE))


def _png(image: "Image") -> bytes:
    written = io.BytesIO()
    image.save(written, format="PNG", optimize=True)
    return written.getvalue()


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV; floats with nine digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(f"{value:.9g}" if isinstance(value, float) else value for value in row.values())
    return text.getvalue()


def picture_panels(
    down: int, across: int, size: tuple[float, float], heights: Sequence[float] | None = None
) -> "tuple[Figure, NDArray[Any]]":
    """Axes for panels of pictures, (down, across), PANEL_GAP apart whatever the shapes of the pictures.

    Args:
        size: of the figure, in inches.
        heights: of the rows, as ratios; all equal if not given.
    """
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=PANEL_GAP / 2, h_pad=PANEL_GAP / 2, wspace=0, hspace=0, compress=True)
    return plt.subplots(down, across, figsize=size, height_ratios=heights, squeeze=False, layout=layout)


def legend_outside(figure: "Figure", loc: Literal["outside right upper", "outside upper center"], **more: Any) -> None:
    """One legend for all axes of a figure, beside them, where it hides no data."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc=loc, **more)


def bare(axes: "Axes") -> None:
    """No ticks, spines or grid: for pictures."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
