"""The README's tables are filled, not typed."""

from pathlib import Path

import pytest

from conftest import REPOSITORY, make_table
from relatent.cli import readme
from relatent.errors import ConfigError, DataIntegrityError, MissingDataError
from relatent.report.snippets import filled

PAGE = "before\n<!-- table demo/exact_likelihood -->\nold\n<!-- /table -->\nafter\n"


def test_a_block_holds_the_table_and_the_rest_stays(root):
    make_table("exact_likelihood")
    text = filled(PAGE, "README.md")
    assert text.startswith("before\n<!-- table demo/exact_likelihood -->\n| model |")
    assert text.endswith("<!-- /table -->\nafter\n") and "old" not in text and "###" not in text


def test_filling_twice_changes_nothing(root):
    make_table("iwae_table1_digits")
    page = "<!-- table demo/iwae_table1_digits -->\n<!-- /table -->\n<!-- orderings demo/iwae_table1_digits -->\n"
    once = filled(page + "<!-- /orderings -->\n<!-- findings demo -->\n<!-- /findings -->\n", "README.md")
    assert filled(once, "README.md") == once
    assert "of 27 orderings the paper argues, 27 hold; of 8 more that its table shows, " in once
    assert "| difference |" in once


def test_a_typed_number_is_found(root):
    make_table("exact_likelihood")
    Path("README.md").write_text(filled(PAGE, "README.md"))
    assert readme.main(["--check"]) == 0
    Path("README.md").write_text(Path("README.md").read_text().replace("−3.1000", "−3.0000", 1))
    with pytest.raises(DataIntegrityError, match=r"README.md: a table differs from results/. Run `relatent readme"):
        readme.main(["--check"])


def test_costs_are_filled_when_asked_for(root):
    """Another machine's logs, or none, do not overwrite what was measured on a quiet one."""
    page = Path("README.md")
    page.write_text("<!-- cost demo -->\nas measured\n<!-- /cost -->\n")
    assert readme.main([]) == 0 and "as measured" in page.read_text()
    with pytest.raises(MissingDataError, match="logs/demo: no benchmark files; run the study on this machine first"):
        readme.main(["--costs"])
    log = Path("logs/demo/probe/digits/pixels.tsv")
    log.parent.mkdir(parents=True)
    log.write_text("s\tmax_rss\n75\t100\n")
    assert readme.main(["--costs"]) == 0
    assert "| probe | 1 | 1 min 15 s | 1 min 15 s, digits/pixels |" in page.read_text()


def test_mistakes_in_a_page_are_named(root):
    with pytest.raises(ConfigError, match="no block 'pie'; there are table, orderings"):
        filled("<!-- pie demo -->\n<!-- /pie -->", "README.md")
    with pytest.raises(ConfigError, match="a block is not closed"):
        filled("<!-- table demo/dedup -->\n", "README.md")
    with pytest.raises(
        MissingDataError, match=r"no such file. Make it by running `snakemake results/demo/tables/dedup.md --c"
    ):
        filled("<!-- table demo/dedup -->\n<!-- /table -->", "README.md")


def test_the_readme_shows_what_the_results_say(monkeypatch):
    """The committed README against the committed tables."""
    monkeypatch.chdir(REPOSITORY)
    assert readme.main(["--check"]) == 0
