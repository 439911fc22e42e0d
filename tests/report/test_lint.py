"""No free numbers: the lint finds a number that a page, a cell or a quotation made up."""

from pathlib import Path

import pytest

from conftest import REPOSITORY, make_table
from relatent.report.catalogue import TABLES
from relatent.report.lint import unbacked_numbers

FOLDER = Path("results/demo/tables")


def test_tables_as_made_hold_no_free_number(root):
    """All tables there are, run or not."""
    for name in TABLES:
        make_table(name)
    assert unbacked_numbers(FOLDER) == []


@pytest.mark.parametrize("kind", ["md", "tex", "html"])
def test_a_number_typed_into_a_page_is_found(root, kind):
    make_table("iwae_table1_digits")
    path = FOLDER / f"iwae_table1_digits.{kind}"
    text = path.read_text()
    path.write_text(text.replace("not comparable", "not comparable 22.17", 1))
    assert unbacked_numbers(FOLDER) == [f"{path}: 22.17 stands in no cell of iwae_table1_digits.csv"]


def test_a_cell_that_its_metrics_do_not_say_is_found(root):
    make_table("dedup")
    path = FOLDER / "dedup.csv"
    path.write_text(path.read_text().replace(",2000.0,", ",2001.0,").replace(",2000,", ",2001,"))
    assert any("2001.0 is not what the metrics of" in problem for problem in unbacked_numbers(FOLDER))


def test_a_number_without_receipt_is_found(root):
    make_table("dedup")
    for path in Path("results/demo/dedup").rglob("receipt.json"):
        path.unlink()
    assert all("has no receipt" in p or "stands in no cell" in p for p in unbacked_numbers(FOLDER))
    assert unbacked_numbers(FOLDER)


def test_a_paper_number_that_is_not_quoted_is_found(root):
    make_table("iwae_table2")
    path = FOLDER / "iwae_table2.csv"
    path.write_text(path.read_text().replace("84.88", "84.08"))
    assert any("84.08 is not in data/reference/iwae_table2.csv" in problem for problem in unbacked_numbers(FOLDER))


@pytest.mark.parametrize("study", sorted(p.parent.name for p in (REPOSITORY / "results").glob("*/tables")))
def test_committed_tables_hold_no_free_number(monkeypatch, study):
    monkeypatch.chdir(REPOSITORY)
    assert unbacked_numbers(Path("results") / study / "tables") == []
