"""`relatent why` finds a cell by the names of the table's CSV and by those of its page."""

import pytest

from relatent.cli.why import _cells_at
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


def test_a_place_that_is_not_there_is_refused_with_the_names_there_are():
    """Those of the CSV, under which every cell can be had."""
    with pytest.raises(ConfigError, match="no row 'L1 k=51'; the table has 'L1 k=50', 'L2 k=50'"):
        _cells_at("iwae_table1_mnist", TABLE1, "1 stochastic layer | 51", "IWAE NLL (nats)")
    with pytest.raises(ConfigError, match="no column 'NLL' in row 'L1 k=50'; it has 'IWAE NLL', 'IWAE active z1'"):
        _cells_at("iwae_table1_mnist", TABLE1, "L1 k=50", "NLL")
