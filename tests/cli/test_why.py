"""`relatent why` finds a cell by the names of the table's CSV and by those of its page."""

from pathlib import Path

import pytest

from relatent.cli import where, why
from relatent.cli.job import run
from relatent.cli.why import _cells_at, _heading
from relatent.errors import ConfigError
from relatent.ledger.lineage import Cell


def cells(*places: tuple[str, str]) -> list[Cell]:
    return [Cell("t", {"row": row, "column": column, "ours": "1"}) for row, column in places]


TABLE1 = cells(
    ("L1 k=50", "IWAE NLL"),
    ("L1 k=50", "IWAE active z1"),
    ("L2 k=50", "IWAE NLL"),
    ("L2 k=50", "IWAE active z1"),
    ("L2 k=50", "IWAE active z2"),
)


@pytest.mark.parametrize(
    ("row", "column", "found"),
    [
        ("L1 k=50", "IWAE NLL", TABLE1[:1]),
        ("1 stochastic layer | 50", "IWAE NLL (nats)", TABLE1[:1]),
        ("1 stochastic layer 50", "iwae nll", TABLE1[:1]),
        ("1 stochastic layer | 50", "IWAE active units", TABLE1[1:2]),
        ("2 stochastic layers | 50", "IWAE active units", TABLE1[3:]),
    ],
)
def test_a_place_is_named_as_in_the_csv_or_as_printed(row, column, found):
    """A place of the page may join two numbers, 26+7 active units: both are explained."""
    assert _cells_at("iwae_table1_mnist", TABLE1, row, column) == found


def test_a_table_that_is_printed_on_its_side_is_read_from_either():
    """Of few models and many numbers, the page has the numbers as rows."""
    table = cells(("mixture", "exact log p(x)"), ("mixture", "L_5"))
    for place in (("mixture", "L_5"), ("L_5", "mixture")):
        assert _cells_at("exact_likelihood", table, *place) == table[1:]


@pytest.mark.parametrize("column", ["paired difference", "paired difference, not argued"])
def test_an_ordering_is_found_by_the_heading_of_its_page(column):
    """The page says *difference*, the CSV whether the paper argues it."""
    claim = cells(("L1: IWAE below VAE", column))
    assert _cells_at("iwae_table1_mnist", [*TABLE1, *claim], "L1: IWAE below VAE", "difference") == claim


@pytest.mark.parametrize(
    ("paper", "unit", "printed"),
    [
        ("82.9", "nats", "82.90 nats"),
        ("-1.98", "nats", "-1.98 nats"),
        ("17.0", "units", "17 units"),
        ("0.2248", "fraction", "22.48 %"),
    ],
)
def test_the_papers_number_has_the_digits_it_prints(paper, unit, printed):
    """A CSV has it as a floating-point number; ours stays as it is there, with all its digits."""
    values = {"row": "r", "column": "c", "ours": "17.0", "paper": paper, "unit": unit}
    _, ours, said = _heading("s", Cell("t", {**values, "verdict": "", "receipt": "a"}))
    assert said == f"  paper  {printed}"
    assert ours == f"  ours   {'17' if unit == 'units' else '17.0'} {unit}"


@pytest.mark.parametrize(("low", "said"), [("-2.0", "holds"), ("", "untested")])
def test_an_ordering_holds_and_is_not_reproduced(low, said):
    """The word of the page; without an interval nothing was tested."""
    values = {
        "row": "r",
        "column": "paired difference",
        "ours": "-1.9",
        "ours_low": low,
        "ours_high": low,
        "unit": "nats",
    }
    values |= {"interval": "test sampling", "verdict": "reproduced"}
    assert f"  verdict {said}" in list(_heading("s", Cell("t", {**values, "receipt": "a"})))


@pytest.mark.parametrize(("command", "rest"), [(where.main, []), (why.main, ["iwae_table1_mnist", "L1 k=50", "NLL"])])
def test_a_study_that_is_not_here_is_named(command, rest, tmp_path, monkeypatch, capsys):
    """Not the table or the page that it would have; exit 3."""
    monkeypatch.chdir(tmp_path)
    for name in ("workflow/Snakefile", "config/s.yaml"):
        Path(name).parent.mkdir()
        Path(name).touch()
    assert run(command, ["nope", *rest]) == 3
    assert capsys.readouterr().err == "config/nope.yaml: no such study; config/ has s\n"


def test_where_names_the_command_that_makes_the_study(tmp_path, monkeypatch, capsys):
    """The demo's needs no --configfile."""
    monkeypatch.chdir(tmp_path)
    for name in ("workflow/Snakefile", "config/s.yaml", "config/demo.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(f"study: {Path(name).stem}\n")
    assert run(where.main, ["s"]) == 3
    assert "Run `snakemake --cores all --configfile config/s.yaml` in" in capsys.readouterr().err
    assert run(where.main, ["demo"]) == 3
    assert "Run `snakemake --cores all` in" in capsys.readouterr().err


def test_a_place_that_is_not_there_is_refused_with_the_names_there_are():
    """Those of the CSV, under which every cell can be had."""
    with pytest.raises(ConfigError, match="no row 'L1 k=51'; the table has 'L1 k=50', 'L2 k=50'"):
        _cells_at("iwae_table1_mnist", TABLE1, "1 stochastic layer | 51", "IWAE NLL (nats)")
    with pytest.raises(ConfigError, match="no column 'NLL' in row 'L1 k=50'; it has 'IWAE NLL', 'IWAE active z1'"):
        _cells_at("iwae_table1_mnist", TABLE1, "L1 k=50", "NLL")
