"""The report of a made-up study: one file that needs no network, every number linked to a receipt on the same page."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import made_up
import pytest

from conftest import REPOSITORY, make_figure, make_table
from relatent.cli import report
from relatent.errors import MissingDataError
from relatent.report.cells import read_cells
from relatent.report.orderings import ARGUED, verdict_words
from relatent.report.page import duration, orderings_sentence, sizes_as_published, verdict_counts


@pytest.fixture
def page(root):
    """report.html of the made-up study, as text."""
    make_table("iwae_table1_digits")
    make_table("exact_likelihood")
    make_figure("exact_gap")
    Path("config").mkdir()
    shutil.copy(REPOSITORY / "config/demo.yaml", "config/demo.yaml")
    benchmark = Path("logs/demo/evaluate_nll/digits/vae-L1-k1.tsv")
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\tmax_rss\n75.2\t0:01:15\t310.5\n")
    report.main(["demo"])
    return Path("results/demo/report.html").read_text()


def test_the_page_opens_offline(page):
    """Nothing is fetched: no address of a stylesheet, a script, a font or an image but the page's own bytes."""
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)
    assert not re.findall(r"url\(|@import", page)


def test_every_number_links_to_a_receipt_on_the_page(page):
    """The reader walks from a number to its receipt, and from there to the receipts behind it."""
    links = set(re.findall(r'href="#(receipt-[^"]+)"', page))
    anchors = set(re.findall(r'id="(receipt-[^"]+)"', page))
    assert links and links <= anchors
    assert "receipt-results-demo-evaluate-nll-digits-iwae-L1-k50-receipt-json" in links


def test_the_page_says_effort_settings_cost_and_findings(page):
    assert "Effort <b>demo</b>" in page
    assert "study: demo" in page and "seeds: [0, 1, 2]" in page
    assert "1 min 15 s" in page
    assert "on 3 of 3 models" in page


@pytest.mark.parametrize(
    ("argued", "tested", "sentence"),
    [
        (13, {"reproduced": 13}, "of 13 orderings the paper argues, 13 hold."),
        (
            13,
            {"worse": 1, "reproduced": 11, "inconclusive": 1},
            "of 13 orderings the paper argues, 11 hold, 1 is undecided, 1 is reversed.",
        ),
        (13, {"reproduced": 1}, "of 13 orderings the paper argues, the one that could be tested holds."),
        (13, {"worse": 1}, "of 13 orderings the paper argues, the one that could be tested is reversed."),
        (
            13,
            {"reproduced": 1, "worse": 2},
            "of 13 orderings the paper argues, 3 could be tested: 1 holds, 2 are reversed.",
        ),
        (1, {"inconclusive": 1}, "the one ordering the paper argues is undecided."),
    ],
)
def test_orderings_are_counted_as_a_person_says_them(argued, tested, sentence):
    """And those that were not run are not passed over: one that holds of one tested is not one of one argued."""
    assert orderings_sentence(fallen(argued, tested), []) == sentence


def test_sizes_of_the_data_are_no_reproduction(root):
    """A dataset that has as many images as published says nothing of what was trained on it: it is counted apart."""
    shutil.copytree("data/prepared/digits", "data/prepared/mnist")
    path = Path("data/prepared/mnist/checks.json")
    path.write_text(path.read_text().replace('"value": 400', '"value": 10000'))
    Path("data/prepared/mnist/checks.receipt.json").unlink()
    made_up.receipt(root, root / path.parent, "check_data", "mnist", name="checks.receipt.json")
    make_table("data_checks", ["prepared/mnist"], study="short")
    folder = Path("results/short")
    sizes = [cell for cell in read_cells(folder / "tables/data_checks.csv") if cell.paper and cell.ours]
    assert [cell.verdict for cell in sizes] == ["worse", "reproduced"]  # 1,297 training images, 10,000 of test
    assert verdict_counts(folder) == {} and sizes_as_published(folder) == (1, 2)


def test_what_is_counted_beside_the_paper_is_results(root):
    """Orderings are findings, the width of a net is a setting, and a number from memory is no target."""
    make_table("dcgan_table3_mnist_nn", effort="paper")  # "Real data", unconfirmed: reproduced
    make_table("dcgan_table1_digits", effort="paper")
    make_table("iwae_table1_digits", effort="paper")
    counts = verdict_counts(Path("results/demo"))
    assert "reproduced" not in counts and counts["not comparable"] > 0


@pytest.mark.parametrize(
    ("verdict", "tested", "words"),
    [
        ("reproduced", True, "holds"),
        ("worse", True, "reversed"),
        ("worse", False, "untested"),
        ("not run", True, "not run"),
    ],
)
def test_an_ordering_holds_and_is_never_called_reproduced(verdict, tested, words):
    """What is compared is a direction; a number beside it has the verdict of its own."""
    assert verdict_words(ARGUED, verdict, tested) == words
    assert verdict_words("VAE NLL", verdict, tested) == verdict


def fallen(count, tested):
    """So many orderings, of which those tested have these verdicts."""
    verdicts = [verdict for verdict, number in tested.items() for _ in range(number)]
    return [
        SimpleNamespace(verdict=verdict, ours_low=low)
        for verdict, low in [(v, 0.1) for v in verdicts] + [("not run", None)] * (count - len(verdicts))
    ]


def test_one_seed_is_said():
    """An ordering of single trainings says nothing of other trainings."""
    said = orderings_sentence(fallen(13, {"reproduced": 4}), [], one_seed=True)
    assert said == (
        "of 13 orderings the paper argues, 4 could be tested: 4 hold (one seed each: what another training would "
        "change is not counted)."
    )


@pytest.mark.parametrize(
    ("shown", "tested", "sentence"),
    [
        (8, {"worse": 1}, "of 8 more that its table shows, the one that could be tested is reversed."),
        (8, {}, "of 8 more that its table shows, none could be tested."),
        (1, {"reproduced": 1}, "the one more that its table shows holds."),
    ],
)
def test_what_a_table_only_shows_is_counted_apart(shown, tested, sentence):
    """The paper does not argue it: a difference there may be chance, and its reversal too."""
    said = orderings_sentence(fallen(13, {"reproduced": 13}), fallen(shown, tested))
    assert said == f"of 13 orderings the paper argues, 13 hold; {sentence}"


def test_both_colour_schemes_are_served(page):
    assert "color-scheme:light dark" in page and "prefers-color-scheme:dark" in page


def test_a_study_without_results_is_named_with_the_remedy(root):
    Path("config").mkdir()
    Path("config/empty.yaml").write_text("study: empty\neffort: demo\n")
    with pytest.raises(
        MissingDataError, match=r"results/empty: no tables and no figures yet. Run `snakemake phase_tables --c"
    ):
        report.main(["empty"])


@pytest.mark.parametrize(("seconds", "words"), [(3.21, "3.2 s"), (245, "4 min 05 s"), (7800, "2 h 10 min")])
def test_durations_read_as_a_person_says_them(seconds, words):
    assert duration(seconds) == words
