"""Figures from a made-up study: small, byte-stable, with the numbers behind them."""

import csv
from pathlib import Path

import pytest

from conftest import TRAINED, make_figure
from relatent.errors import ConfigError, DataIntegrityError
from relatent.ledger.code import import_closure
from relatent.ledger.receipts import check_outputs
from relatent.report.figure_catalogue import FIGURES, figure_spec


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_small_and_carries_its_numbers(root, name):
    """Git keeps PNGs under about 300 kB; the CSV holds a row for each mark."""
    folder = make_figure(name)
    assert (folder / f"{name}.png").stat().st_size < 300_000
    with (folder / f"{name}.csv").open() as file:
        assert len(list(csv.DictReader(file))) >= 3
    assert len(check_outputs(folder / f"{name}.receipt.json").outputs) == 3


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
