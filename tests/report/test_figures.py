"""Figures from a made-up study: small, byte-stable, with the numbers behind them."""

import csv
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import TRAINED, make_figure
from relatent.config.report import PageSettings
from relatent.errors import ConfigError, DataIntegrityError
from relatent.ledger.code import import_closure
from relatent.ledger.receipts import check_outputs
from relatent.report.figure_catalogue import FIGURES, figure_spec
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.inside import window_of
from relatent.report.figures.style import drawing_style
from relatent.report.sources import folder_of


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_small_and_carries_its_numbers(root, name):
    """Git keeps PNGs under about 300 kB; the CSV holds a row for each mark."""
    folder = make_figure(name)
    assert (folder / f"{name}.png").stat().st_size < 300_000
    with (folder / f"{name}.csv").open() as file:
        assert len(list(csv.DictReader(file))) >= 3
    assert len(check_outputs(folder / f"{name}.receipt.json").outputs) == 3


@contextmanager
def drawn(name, cells=TRAINED):
    """A figure of the made-up study, open, to read what is written in it."""
    import matplotlib.pyplot as plt

    files = [Path(folder_of("demo", source)) / file for source, file in figure_spec(name).files(cells)]
    with drawing_style():
        settings = PageSettings(name=name, study="demo", effort="demo")
        drawing = figure_spec(name).draw(Inputs("demo", files), settings)
        yield drawing
        plt.close(drawing.figure)


def words_in(figure):
    """All that is written in a figure's panels and below them."""
    parts = [(a.get_title(loc="left"), a.get_xlabel(), *(text.get_text() for text in a.texts)) for a in figure.axes]
    return [word for part in parts for word in part] + [text.get_text() for text in figure.texts]


def test_clusters_say_which_are_shown_and_how_many_are_cut_off(root):
    """Eight of many by rank are not the eight largest, and a row of eight images need not be all of its cluster."""
    with drawn("duplicates") as drawing:
        words = words_in(drawing.figure)
    assert "photos: all 7 clusters" in words and "+4" in words  # of twelve, eight are shown
    assert any(word.startswith("rows: largest to smallest cluster\nkept image first") for word in words)
    path = Path("results/demo/dedup/photos/clusters.csv")
    path.write_text("index,cluster,kept\n" + "".join(f"{i},{i // 2},{int(i % 2 == 0)}\n" for i in range(40)))
    with drawn("duplicates") as drawing:
        words = words_in(drawing.figure)
    assert "photos: 8 of 20 clusters" in words and any(word.startswith("rows: evenly spaced by rank") for word in words)


def test_early_samples_name_their_epoch(root):
    """The first of the kept epochs, from the receipt of the training; not where training ended before it."""
    with drawn("samples_gan") as drawing:
        words = words_in(drawing.figure)
    assert "digits32/svhn32-w16, after epoch 1 of 40" in words
    history = Path("results/demo/train_gan/digits32/svhn32-w16/history.csv")
    history.write_text("step,epoch\n3,1\n")
    with drawn("samples_gan") as drawing:
        assert "digits32/svhn32-w16, early in training" in words_in(drawing.figure)


def test_the_whole_net_is_called_so_beside_its_ablations(root):
    with drawn("samples_ablation") as drawing:
        assert words_in(drawing.figure)[0] == "whole net (svhn32-w16)"


@pytest.mark.parametrize("name", ["probe_rows", "probe_layers", "probe_curve"])
def test_bars_say_over_what_they_are(root, name):
    """A bar of draws of the labels and one of test images are not the same; the figure alone must tell."""
    with drawn(name) as drawing:
        words = drawing.figure.get_supxlabel()
    assert words.startswith("bars: 95 % interval ") and "over draws of the labels" in words


def test_a_window_holds_q_and_nearly_all_of_its_posterior(root):
    """However narrow the posterior: windows of one width would leave it a dot."""
    import numpy as np

    with np.load("results/demo/sample/digits/vae-L1-k1-2d/posterior/posterior.npz") as arrays:
        grid = {name: arrays[name] for name in arrays.files}
    axis, mass = grid["axis"], np.exp(grid["log_posterior"][0])
    (low_1, high_1), (low_2, high_2) = window_of(grid, 0)
    inside = mass[(axis >= low_1) & (axis <= high_1)][:, (axis >= low_2) & (axis <= high_2)]
    assert inside.sum() / mass.sum() > 0.99
    assert high_1 - low_1 == pytest.approx(high_2 - low_2)  # a square: an ellipse keeps its shape
    assert low_1 < grid["q_mean"][0, 0] - 2 * grid["q_sd"][0, 0] < high_1
    assert high_1 - low_1 < 5  # of a grid that is 14 wide; the posterior's deviation is 0.5
    with drawn("posteriors") as drawing:
        assert {"q at 2 sd", "x", "reconstructions"} <= set(words_in(drawing.figure))


@pytest.mark.parametrize("name", ["samples_gan", "exact_gap"])
def test_drawing_twice_gives_equal_bytes(root, name):
    """No date, no program's name, no identity of an object in PNG or PDF."""
    first, second = (make_figure(name, out=Path(out)) for out in ("one", "two"))
    for kind in ("png", "pdf", "csv"):
        assert (first / f"{name}.{kind}").read_bytes() == (second / f"{name}.{kind}").read_bytes(), kind


def test_samples_are_shown_vae_left_iwae_right_one_layer_above_two(root):
    """As in Fig. 3 of Burda et al. 2016; k = 1 stands for the VAE and the largest k for the IWAE."""
    sources = [source for source, _ in figure_spec("samples_density").files(TRAINED)]
    assert sources == [f"sample/digits/{cell}" for cell in ("vae-L1-k1", "iwae-L1-k50", "vae-L2-k1", "iwae-L2-k50")]


def test_a_changed_drawing_makes_figures_again():
    """The digest of the figure command covers the modules that draw."""
    closure = import_closure("relatent.cli.figure")
    assert {spec.draw.__module__ for spec in FIGURES.values()} <= closure


def test_an_unknown_figure_is_a_settings_error():
    with pytest.raises(ConfigError, match="unknown figure 'pie'; there are samples_density"):
        figure_spec("pie")


def test_an_array_of_another_kind_is_refused(root):
    """Floats drawn as grey levels would look plausible and mean nothing."""
    import numpy as np

    from relatent.report.figures.pictures import read_images

    np.save("floats.npy", np.zeros((2, 1, 8, 8)))
    with pytest.raises(DataIntegrityError, match=r"float64 .* where uint8 images are expected"):
        read_images(Path("floats.npy"))


def test_a_legend_names_each_line_once_for_all_panels():
    """Panels share colours, so a line that both of them have needs one name."""
    import matplotlib.pyplot as plt

    from relatent.report.figures.style import drawing_style, legend_outside

    with drawing_style():
        figure, axes = plt.subplots(1, 2, layout="constrained")
        for axis in axes:
            axis.plot([0, 1], label="D")
        axes[1].plot([1, 0], label="G")
        legend_outside(figure, "outside upper center")
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["D", "G"]
        plt.close(figure)
