"""Tables from a made-up study: what a cell says, and that it says it in all four forms."""

import csv
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest

from conftest import CELLS, REPOSITORY, make_table
from relatent.errors import DataIntegrityError
from relatent.ledger.receipts import check_outputs
from relatent.report.build import measured
from relatent.report.catalogue import TABLES
from relatent.report.cells import COLUMNS, VERDICTS
from relatent.report.lint import unbacked_numbers
from relatent.report.orderings import ARGUED, SHOWN, read_orderings
from relatent.report.orderings import COLUMNS as ORDERINGS
from relatent.report.page import findings, variants_sentence


def by_place(cells):
    return {(cell.row, cell.column): cell for cell in cells}


def test_the_csv_has_the_columns_of_the_design(root):
    """Audit, report and README read it by these names."""
    make_table("iwae_table1_digits")
    with Path("results/demo/tables/iwae_table1_digits.csv").open() as file:
        header = next(csv.reader(file))
    assert ",".join(header) == (
        "row,column,paper,paper_spread,paper_sureness,ours,ours_low,ours_high,interval,n_seeds,n_draws,unit,effort,"
        "preset,data,verdict,cell_id,receipt"
    )


def test_k1_is_one_cell_shown_under_vae_and_iwae(root):
    """VAE and IWAE are the same algorithm at k = 1, so it is trained once."""
    cells = by_place(make_table("iwae_table1_digits"))
    vae, iwae = cells["L1 k=1", "VAE NLL"], cells["L1 k=1", "IWAE NLL"]
    assert vae.ours == iwae.ours and vae.receipt == iwae.receipt
    assert vae.cell_id != iwae.cell_id


def test_a_cell_is_the_mean_over_seeds_with_students_interval(root):
    """Three seeds: t with two degrees of freedom, 4.303 standard errors on either side."""
    cells = by_place(make_table("iwae_table1_digits"))
    metric = json.loads(Path("results/demo/evaluate_nll/digits/iwae-L1-k50/metrics.json").read_text())["nll_nats"]
    cell = cells["L1 k=50", "IWAE NLL"]
    assert cell.ours == metric["value"] and cell.n_seeds == 3 and cell.interval == "seeds"
    half = 4.302652729749462 * np.std(metric["per_seed"], ddof=1) / 3**0.5
    np.testing.assert_allclose([cell.ours_low, cell.ours_high], [cell.ours - half, cell.ours + half])


def test_a_standard_error_is_printed_as_what_it_is_of(root):
    """Annealing's holds the choice of images and says so; that of an exact model's bound is Monte Carlo's."""
    (gap,) = [cell for cell in make_table("iwae_annealing") if cell.column == "AIS above L_k (nats)"]
    assert (gap.ours, gap.interval) == (0.6, "test sampling")
    np.testing.assert_allclose([gap.ours_low, gap.ours_high], [0.6 - 0.0196, 0.6 + 0.0196], atol=1e-6)
    bounds = [cell for cell in make_table("exact_likelihood") if cell.column == "L_50"]
    assert bounds and {cell.interval for cell in bounds} == {"monte carlo"}


@pytest.mark.parametrize("effort", ["demo", "short"])
def test_less_effort_than_the_papers_is_not_comparable(root, effort):
    """However close the numbers are (DESIGN 4.8)."""
    cells = [c for c in make_table("iwae_table1_digits", effort=effort) if c.column.endswith("NLL") and c.ours]
    assert cells and {cell.verdict for cell in cells} == {"not comparable"}


def test_other_data_are_not_comparable_at_any_effort(root):
    """Digits beside MNIST's numbers."""
    cells = make_table("iwae_table1_digits", effort="paper")
    assert {cell.verdict for cell in cells if cell.column.endswith("NLL") and cell.ours} == {"not comparable"}


def test_an_approximate_row_is_never_comparable_and_says_so(root):
    """Even at the paper's effort on the paper's data; where it is not run, the paper's number is quoted alone."""
    digits, ours = root / "results/demo/probe/digits32/kmeans", root / "results/dcgan/probe/cifar10/kmeans-3layer"
    ours.mkdir(parents=True)
    shutil.copy(digits / "metrics.json", ours)
    made_up.receipt(root, ours, "probe", "cifar10/kmeans-3layer")
    cells = make_table("dcgan_table1_cifar10", ["probe/cifar10/kmeans-3layer"], effort="paper", study="dcgan")
    row, quoted = "3-layer K-means, learned RF (approximate) + L2-SVM", "3-layer K-means, learned RF"
    found = by_place(cells)
    assert found[row, "accuracy, all labels"].verdict == "not comparable"
    assert found[row, "accuracy, all labels"].paper == 0.82
    assert found[row, "accuracy, 400 labels per class"].paper == 0.707
    assert found[row, "feature units"].ours == made_up.PROBE["kmeans"][2]
    assert (quoted, "accuracy, all labels") not in found
    assert "Approximate: " in Path("results/dcgan/tables/dcgan_table1_cifar10.md").read_text()
    none = by_place(make_table("dcgan_table1_cifar10", [], effort="paper", study="dcgan"))
    assert none[quoted, "accuracy, all labels"].verdict == "quoted"
    assert "Approximate: " not in Path("results/dcgan/tables/dcgan_table1_cifar10.md").read_text()


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_made_with_nothing_run(root, name):
    """A study of a paper starts with an empty table: each of our cells says *not run*, quoted ones say *quoted*."""
    cells = make_table(name, cells=[])
    assert {cell.verdict for cell in cells} <= {"not run", "quoted"}
    assert all(cell.ours is None and not cell.receipt for cell in cells)


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_has_a_name_of_its_own_and_a_known_verdict(root, name):
    """Links go by cell_id."""
    cells = make_table(name)
    assert len({cell.cell_id for cell in cells}) == len(cells)
    assert {cell.verdict for cell in cells} <= set(VERDICTS)


def test_a_cell_that_was_not_run_says_so_beside_the_papers_number(root):
    """It never disappears from the paper's table."""
    cells = by_place(make_table("iwae_table1_digits", [c for c in CELLS if "iwae-L2" not in c]))
    cell = cells["L2 k=50", "IWAE NLL"]
    assert (cell.ours, cell.paper, cell.verdict) == (None, 82.90, "not run")
    assert "not run" in Path("results/demo/tables/iwae_table1_digits.md").read_text()


def test_orderings_are_paired_and_hold_where_the_numbers_were_made_so(root):
    """The made-up IWAE k=50 lies 0.7 nats below VAE k=1 on every image, within seed noise of 0.05."""
    cells = by_place(make_table("iwae_table1_digits"))
    cell = cells["L1: IWAE k=50 below VAE k=1", "paired difference"]
    assert cell.verdict == "reproduced" and cell.ours_high < 0
    assert cell.ours == pytest.approx(-0.7, abs=0.05) and cell.paper == pytest.approx(84.78 - 86.76)


WITH_ORDERINGS = [name for name, spec in TABLES.items() if spec.orderings]


@pytest.mark.parametrize("name", WITH_ORDERINGS)
def test_every_ordering_of_a_table_is_one_of_the_papers_own_numbers(root, name):
    """A claim that the paper's printed values contradict is not its claim; directions differ from table to table."""
    papers = [cell.paper for cell in make_table(name, cells=[]) if cell.column in ORDERINGS]
    assert papers and max(papers) < 0


def test_the_vae_of_the_fixed_binarisation_gets_worse_with_k(root):
    """Burda et al. 2016: 88.71, 88.83, 89.05 in Table 3, where 86.76, 86.47, 86.35 fall in Table 1."""
    papers = {name: by_place(make_table(name, cells=[])) for name in ("iwae_table1_mnist", "iwae_table3")}
    better, worse = ("L1: VAE k=50 below VAE k=1", ARGUED), ("L1: VAE k=1 below VAE k=50", SHOWN)
    assert papers["iwae_table1_mnist"][better].paper == pytest.approx(86.35 - 86.76)
    assert papers["iwae_table3"][worse].paper == pytest.approx(88.71 - 89.05)
    assert better not in papers["iwae_table3"] and worse not in papers["iwae_table1_mnist"]


@pytest.mark.parametrize(("vae", "verdict"), [(23.75, "reproduced"), (23.55, "inconclusive"), (23.35, "worse")])
def test_a_vae_that_gains_more_than_half_of_what_the_iwae_gains_gains_not_slightly(root, monkeypatch, vae, verdict):
    """Halfway between 23.9 at k = 1 and 23.2 of the IWAE lies 23.55; below it *hardly* is reversed."""
    for path in Path("results/demo/evaluate_nll/digits").glob("*"):
        shutil.rmtree(path)
    monkeypatch.setitem(made_up.NLL, "vae-L1-k50", vae)
    made_up.make_density(Path())
    cell = by_place(make_table("iwae_table1_digits"))["L1: VAE k=50 nearer to VAE k=1 than to IWAE k=50", ARGUED]
    assert cell.ours == pytest.approx(23.55 - vae, abs=0.05) and cell.verdict == verdict
    assert cell.paper == pytest.approx((86.76 + 84.78) / 2 - 86.35) and cell.receipt.count("receipt.json") == 3


def test_an_ordering_needs_all_its_cells(root):
    """Without the IWAE there is nothing to be nearer to."""
    cells = by_place(make_table("iwae_table1_digits", [c for c in CELLS if not c.endswith("iwae-L1-k50")]))
    assert cells["L1: VAE k=50 nearer to VAE k=1 than to IWAE k=50", ARGUED].verdict == "not run"
    assert cells["L1: VAE k=50 below VAE k=1", ARGUED].verdict == "reproduced"


def test_the_caption_names_the_binarisation(root):
    """As the table of the data does, by the first digits of its sha256."""
    make_table("iwae_table1_digits")
    for kind in ("md", "html", "tex"):
        page = Path(f"results/demo/tables/iwae_table1_digits.{kind}").read_text()
        assert "400 test images. Test binarisation sha256 12ab34cd12ab." in page, kind


def test_cells_of_other_binarisations_are_not_paired(root):
    """The same pictures with other pixels on would put a difference of images into that of models."""
    path = Path("results/demo/evaluate_nll/digits/vae-L1-k5/metrics.json")
    path.write_text(path.read_text().replace("12ab34cd", "77777777"))
    made_up.receipt(Path().resolve(), path.parent.resolve(), "evaluate_nll", "digits/vae-L1-k5")
    with pytest.raises(DataIntegrityError, match="digits/vae-L1-k5 were scored on other binarisations of the test"):
        make_table("iwae_table1_digits")


def make_variants(seeds=made_up.SEEDS):
    names = ("iwae-L1-k5-dreg", "vae-L1-k1", "vae-L2-k1-code", "iwae-L1-k5")
    made_up.make_density(Path(), "variants", cells=names, seeds=seeds)
    return make_table("iwae_variants", [f"evaluate_nll/digits/{name}" for name in names], study="variants")


def test_a_variant_stands_below_the_cell_it_departs_from(root):
    """With the difference on the same images; a cell that nothing departs from is left out."""
    cells = by_place(make_variants())
    assert list(dict.fromkeys(row for row, _ in cells)) == [
        "digits iwae-L1-k5",
        "digits iwae-L1-k5-dreg",
        "digits vae-L2-k1-code",
    ]
    default, dreg = (cells[row, "NLL"] for row in ("digits iwae-L1-k5", "digits iwae-L1-k5-dreg"))
    difference = cells["digits iwae-L1-k5-dreg", "NLL less the default's"]
    assert difference.ours == pytest.approx(dreg.ours - default.ours) and difference.ours > 0.3
    assert difference.interval == "seeds and test sampling" and difference.n_seeds == 3
    assert difference.ours_high - difference.ours_low < (dreg.ours_high - dreg.ours_low) / 1.5
    assert difference.receipt == f"{dreg.receipt} {default.receipt}"
    assert [row for row, column in cells if column == difference.column] == ["digits iwae-L1-k5-dreg"]
    assert findings(Path("results/variants")) == [
        "Other presets and estimators: the NLL beside that of the default on the same images: 1 above it."
    ]
    assert unbacked_numbers(Path("results/variants/tables")) == []


def test_variants_are_counted_by_their_intervals(root):
    cell = by_place(make_variants())["digits iwae-L1-k5-dreg", "NLL less the default's"]
    ends = [(-0.3, -0.1), (-0.2, 0.1), (-0.1, 0.1), (0.1, 0.4)]
    said = variants_sentence([replace(cell, ours_low=low, ours_high=high) for low, high in ends])
    assert said.endswith(": 1 below it, 1 above it, 2 not to be told from it.")


def test_a_difference_that_its_metrics_do_not_say_is_found(root):
    make_variants()
    path = Path("results/variants/tables/iwae_variants.csv")
    lines = path.read_text().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if "less the default" in line)
    ours = lines[number].split(",")[5]
    lines[number] = lines[number].replace(f",{ours},", f",{float(ours) + 0.01},", 1)
    path.write_text("".join(lines))
    assert any("is not what the metrics of" in problem for problem in unbacked_numbers(path.parent))


def test_variants_of_one_seed_say_so(root):
    """And a default that was scored on other images is no default."""
    cells = by_place(make_variants(seeds=(0,)))
    assert cells["digits iwae-L1-k5-dreg", "NLL less the default's"].interval == "test sampling"
    page = Path("results/variants/tables/iwae_variants.md").read_text()
    assert "There is one seed of each: what another training would change is not counted." in page
    (said,) = findings(Path("results/variants"))
    assert said.endswith(": 1 above it (one seed each: what another training would change is not counted).")
    metrics = Path("results/variants/evaluate_nll/digits/iwae-L1-k5/metrics.json")
    metrics.write_text(metrics.read_text().replace("12ab34cd", "77777777"))
    made_up.receipt(Path().resolve(), metrics.parent.resolve(), "evaluate_nll", "digits/iwae-L1-k5")
    names = ("iwae-L1-k5-dreg", "iwae-L1-k5")
    with pytest.raises(DataIntegrityError, match="were scored on other binarisations of the test images"):
        make_table("iwae_variants", [f"evaluate_nll/digits/{name}" for name in names], study="variants")


def test_orderings_that_are_only_shown_stand_apart(root):
    make_table("iwae_table1_digits")
    page = Path("results/demo/tables/iwae_table1_digits.md").read_text()
    assert "| argued in words | L1: IWAE k=50 below VAE k=1 |" in page
    assert "| shown by the table | L1: VAE k=50 below VAE k=5 |" in page


def test_an_unknown_basis_of_an_ordering_is_named(tmp_path):
    path = tmp_path / "orderings.csv"
    path.write_text((REPOSITORY / "data/reference/iwae_orderings.csv").read_text().replace("argued", "felt", 1))
    with pytest.raises(DataIntegrityError, match="basis 'felt' is none of argued, shown"):
        read_orderings(path, ["iwae_table1_mnist"])


def test_active_units_are_ordered_by_the_counts_of_the_seeds(root):
    """Twenty fewer in every seed is a finding; one seed alone is printed and not tested."""
    place = "L1: VAE k=50 fewer active units than IWAE k=50", "paired difference"
    cell = by_place(make_table("iwae_table1_digits"))[place]
    assert (cell.ours, cell.unit, cell.interval, cell.verdict) == (-20, "units", "seeds", "reproduced")
    for path in Path("results/demo/evaluate_nll/digits").glob("*"):
        shutil.rmtree(path)
    made_up.make_density(Path(), seeds=(0,))
    cell = by_place(make_table("iwae_table1_digits"))[place]
    assert (cell.ours, cell.ours_low, cell.verdict) == (-20, None, "inconclusive")
    assert "| untested |" in Path("results/demo/tables/iwae_table1_digits.md").read_text()


def test_a_number_says_how_far_it_is_from_the_papers(root):
    page = Path("results/demo/tables/iwae_table1_digits.md")
    make_table("iwae_table1_digits", effort="demo")
    assert "paper 84.78, not comparable" in page.read_text()
    cell = by_place(make_table("iwae_table1_digits", effort="short"))["L1 k=50", "IWAE NLL"]
    difference = f"{cell.ours - 84.78:+.2f}".replace("-", "−")
    assert f"paper 84.78 ({difference}), not comparable" in page.read_text()


def test_an_entropy_at_its_ceiling_is_a_bound(root):
    """The codes of n images have log2 n bits at most, so that many say only that all are different."""
    for dataset, bits in (("photos", 10.9), ("digits32", 10.34)):  # log2 2,000 = 10.97, log2 1,297 = 10.34
        path = Path(f"results/demo/dedup/{dataset}/metrics.json")
        metrics = json.loads(path.read_text())
        metrics["code_entropy_bits"]["value"] = bits
        path.write_text(json.dumps(metrics))
        made_up.receipt(root, root / path.parent, "dedup", dataset)
    make_table("dedup")
    assert "| code entropy | 10.9 | ≥ 10.3 |" in Path("results/demo/tables/dedup.md").read_text()
    assert unbacked_numbers(Path("results/demo/tables")) == []


def cifar10_probe(root, effort="short", adopted=()):
    """Table 1 with the digits' DCGAN row as that of CIFAR-10; its page."""
    ours = root / "results/dcgan/probe/cifar10/dcgan"
    if not ours.exists():
        ours.mkdir(parents=True)
        shutil.copy(root / "results/demo/probe/digits32/dcgan/metrics.json", ours)
        made_up.receipt(root, ours, "probe", "cifar10/dcgan")
    cells = make_table("dcgan_table1_cifar10", ["probe/cifar10/dcgan"], effort, "dcgan", adopted=adopted)
    return by_place(cells), Path("results/dcgan/tables/dcgan_table1_cifar10.md").read_text()


def test_a_difference_of_percentages_is_in_points(root):
    """98.8 % less 82.8 % is 16 points; "16 %" could as well mean 96.0 %."""
    _, page = cifar10_probe(root)
    assert "98.8 % [97.2, 99.5]<br>paper 82.8 % (+16.0 points), not comparable" in page
    assert unbacked_numbers(Path("results/dcgan/tables")) == []


def test_what_is_from_memory_is_never_printed_bare(root):
    """The ± of Table 1's few-label accuracies too, where the accuracies themselves are quoted by other papers."""
    _, page = cifar10_probe(root)
    assert "paper 73.8 ± 0.4 % (spread unconfirmed) (" in page
    assert "paper 70.7 ± 0.7 % (spread unconfirmed)" in page and "paper 72.6 ± 0.7 % (spread unconfirmed)" in page
    assert "paper 63.7 ± 0.7 % (unconfirmed)" in page
    assert "Unconfirmed: the paper's number is from memory" in page


def test_the_width_of_the_papers_net_stands_beside_ours(root):
    """512 units; ours are those of the narrower net."""
    cells, page = cifar10_probe(root)
    assert cells["DCGAN (trained D) + L2-SVM", "feature units"].paper == 512
    assert "| 1,792<br>paper 512 (+1,280), not comparable |" in page
    assert "a narrower net, other data" in page


def test_a_cell_without_a_preset_can_be_adopted(root):
    """The features of an adopted GAN have none of their own: no "preset: , adopted"."""
    cells, page = cifar10_probe(root, adopted=["probe/cifar10/dcgan"])
    assert cells["DCGAN (trained D) + L2-SVM", "feature units"].preset == "adopted"
    assert "Effort: short; adopted; data: cifar10;" in page and "Adopted: made earlier" in page
    presets = dict.fromkeys(CELLS, "paper")
    some = make_table("iwae_table1_digits", effort="short", presets=presets, adopted=["evaluate_nll/digits/vae-L1-k1"])
    assert by_place(some)["L1 k=1", "VAE NLL"].preset == "paper, adopted"
    page = Path("results/demo/tables/iwae_table1_digits.md").read_text()
    assert "preset: paper; adopted in part; data: digits;" in page


def test_the_gap_of_a_cell_adopted_long_ago_has_the_error_of_its_images(root):
    """Its metrics then held the Monte Carlo error alone, as if training and test images were the same."""
    for path in Path("results/demo/evaluate_nll/digits").glob("*"):
        shutil.rmtree(path)
    made_up.make_density(Path(), seeds=(0,))
    (gap, *_) = [cell for cell in make_table("iwae_diagnostics") if cell.column == "train minus test"]
    assert (gap.ours, gap.interval) == (0.4, "test sampling")
    np.testing.assert_allclose(gap.ours_high - gap.ours, 1.959964 * np.hypot(0.3, 0.4), rtol=1e-6)


def beside_the_evaluation(measure, metrics):
    """Files of a job beside the evaluation of VAE k=1; the sources of the study with it."""
    source = f"evaluate_nll/digits/vae-L1-k1/{measure}"
    folder = Path("results/demo") / source
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    made_up.receipt(Path(), folder, measure, "digits/vae-L1-k1")
    return [*CELLS, source]


def diagnostics_of_vae(cells):
    return {c.column: c for c in make_table("iwae_diagnostics", cells) if c.row == "digits vae-L1-k1"}


def test_the_gap_of_all_training_images_goes_before_that_of_the_scored_ones(root):
    gap = {"value": 0.03, "stderr": 0.01, "interval": "regression", "test_sampling_stderr": 0.241, "unit": "nats"}
    cells = diagnostics_of_vae(beside_the_evaluation("train_minus_test", {"test_minus_train_nats": gap}))
    gap, nll = cells["train minus test"], cells["NLL"]
    assert (gap.ours, gap.interval) == (0.03, "regression")
    assert "train_minus_test" in gap.receipt and gap.receipt != nll.receipt
    page = Path("results/demo/tables/iwae_diagnostics.md").read_text()
    assert "of the regression that goes from the images scored in full to all" in page
    assert "for other test images it has a further standard error of 0.24 nats" in page
    assert unbacked_numbers(Path("results/demo/tables")) == []


def test_seeds_regressed_on_the_same_images_share_its_error():
    """Student's 4.303 standard errors of three seeds, and 1.96 of the regression's, at right angles."""
    metric = {"value": 0.2, "per_seed": [0.1, 0.2, 0.3], "stderr": 0.5, "interval": "regression"}
    value, interval = measured(metric)
    assert (value, interval.over) == (0.2, "seeds and regression")
    half = np.hypot(4.302652729749462 * 0.1 / 3**0.5, 1.959963984540054 * 0.5)
    np.testing.assert_allclose([interval.low, interval.high], [0.2 - half, 0.2 + half])
    _, of_images = measured({**metric, "interval": "test sampling"})
    assert (of_images.low, of_images.high) == (interval.low, interval.high)
    assert of_images.over == "seeds and test sampling"


def test_a_share_has_no_interval_below_nothing():
    metric = {"value": 0.01, "per_seed": [0.0, 0.0, 0.03], "unit": "fraction", "n_images": 400}
    _, interval = measured(metric)
    assert interval.low == 0 and 0.03 < interval.high < 0.1
    assert measured({**metric, "unit": "nats"})[1].low < 0


def test_a_line_through_few_images_is_known_less_well():
    """Student's 2.306 standard errors with ten images scored, 12.7 with three."""
    metric = {"value": 0.0, "stderr": 1.0, "interval": "regression"}
    for scored, reach in ((10, 2.306), (3, 12.706), (1000, 1.962)):
        assert measured({**metric, "n_scored": scored})[1].high == pytest.approx(reach, abs=1e-3)


def test_a_measured_monte_carlo_error_goes_before_the_claimed_one(root):
    """Of one seed; of several their spread is printed. Both receipts stand behind the number."""
    found = {"nll_monte_carlo_nats": {"value": 0.5}, "monte_carlo_ratio": {"value": 1.6}}
    found["pareto_k_above_0.7"] = {"value": 0.9}
    sources = beside_the_evaluation("repeated", found)
    table = "iwae_table1_digits"
    claimed, several = (by_place(make_table(table, cells))["L1 k=1", "VAE NLL"] for cells in (CELLS, sources))
    assert (several.ours_low, several.interval) == (claimed.ours_low, "seeds")
    page = Path(f"results/demo/tables/{table}.md")
    assert "claim too small." in page.read_text() and "scoring images twice" not in page.read_text()
    for path in Path("results/demo/evaluate_nll/digits").glob("*"):
        shutil.rmtree(path)
    made_up.make_density(Path(), seeds=(0,))
    beside_the_evaluation("repeated", found)
    one = by_place(make_table(table, sources))["L1 k=1", "VAE NLL"]
    assert one.interval == "monte carlo" and one.ours_high - one.ours == pytest.approx(1.959964 * 0.5)
    assert one.receipt.count("receipt.json") == 2 and "repeated" in one.receipt
    assert "Those of 1 of 10 cells are of the error that scoring images twice has shown" in page.read_text()
    assert diagnostics_of_vae(sources)["Monte Carlo error, measured over claimed"].ours == 1.6
    assert unbacked_numbers(Path("results/demo/tables")) == []


def test_what_the_paper_bounds_is_printed_as_a_bound(root):
    make_table("iwae_diagnostics")
    shown = Path("results/demo/tables/iwae_diagnostics.md").read_text()
    assert "−0.01 [−0.02, 0.00]<br>paper ≤ 0.06, not comparable" in shown and "(−0.07)" not in shown


def diagnostics_at_paper_effort(dataset, cells):
    made_up.make_density(Path(), "iwae", dataset, cells)
    for cell in cells:  # of all training images
        folder = Path("results/iwae/evaluate_nll") / dataset / cell
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["test_minus_train_nats"] |= {"stderr": 0.01, "interval": "regression"}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        made_up.receipt(Path(), folder, "evaluate_nll", f"{dataset}/{cell}")
    sources = [f"evaluate_nll/{dataset}/{cell}" for cell in cells]
    found = by_place(make_table("iwae_diagnostics", sources, effort="paper", study="iwae"))
    return {cell: {column: found[f"{dataset} {cell}", column] for _, column in found} for cell in cells}


def test_train_minus_test_is_judged_by_both_ends_of_the_papers_range(root):
    """0.40 nats, the same in all seeds but for 0.01, is far below 0.62; the MNIST cells of Table 1 have that range."""
    gap = diagnostics_at_paper_effort("mnist", ["vae-L1-k1"])["vae-L1-k1"]["train minus test"]
    assert (gap.paper - gap.paper_spread, gap.paper + gap.paper_spread) == pytest.approx((0.62, 0.79))
    assert (gap.ours, gap.verdict) == (0.4, "worse")
    page = Path("results/iwae/tables/iwae_diagnostics.md").read_text()
    assert "paper 0.62 to 0.79, worse" in page
    assert unbacked_numbers(Path("results/iwae/tables")) == []


def test_of_models_that_are_not_in_the_papers_tables_it_says_nothing(root):
    """Two latents, a switched objective, the released code's preset."""
    others = ["vae-L1-k1-2d", "vae-L1-k1-to-iwae-k50", "vae-L2-k1-code"]
    for cell in diagnostics_at_paper_effort("mnist", others).values():
        assert cell["train minus test"].paper is None
        assert cell["active z2, released code's way"].paper is None


def test_the_fixed_binarisation_has_the_number_of_the_released_code(root):
    """Its README, not the paper, says "about 3.5 nats", and it is printed as that."""
    gap = diagnostics_at_paper_effort("binarized_mnist", ["iwae-L1-k50"])["iwae-L1-k50"]["train minus test"]
    assert (gap.paper, gap.paper_sureness) == (3.5, "released code")
    assert "released code about 3.5, worse" in Path("results/iwae/tables/iwae_diagnostics.md").read_text()


def test_less_than_ten_active_units_of_layer_2_are_nine(root):
    """Counted as the paper did; one layer has no second, so nothing is said of it."""
    cells = diagnostics_at_paper_effort("mnist", ["vae-L1-k1", "vae-L2-k1"])
    units = {cell: columns["active z2, released code's way"] for cell, columns in cells.items()}
    assert (units["vae-L2-k1"].ours, units["vae-L2-k1"].paper, units["vae-L2-k1"].verdict) == (9, 9, "reproduced")
    assert units["vae-L1-k1"].paper is None


def test_a_narrower_net_is_not_the_papers(root):
    """Real data at equal n is comparable whatever the net; samples of a net of another width are not."""
    cells = by_place(make_table("dcgan_table3_mnist_nn", effort="paper"))
    assert cells["DCGAN", "test error, 50K samples"].verdict == "not comparable"
    assert cells["Real data", "test error, 50K samples"].verdict == "reproduced"
    short = by_place(make_table("dcgan_table3_mnist_nn", effort="short"))
    assert short["DCGAN", "test error, 50K samples"].verdict == "not comparable"
    assert short["Real data", "test error, 50K samples"].verdict == "reproduced"  # nothing was trained for it
    assert cells["AlignMNIST (Hauberg et al. 2015)", "test error, 10M samples"].verdict == "quoted"


def test_agreement_with_the_exact_value_is_a_verdict(root):
    """Three standard errors plus the first-order bias, on every model."""
    cells = [c for c in make_table("exact_likelihood") if c.column == "L_5000 − exact"]
    assert len(cells) == 3 and {cell.verdict for cell in cells} == {"reproduced"}


def test_the_table_of_the_data_names_hashes_classes_and_binarisations(root):
    """What no cell can hold stands below; what no dataset has, such as an extra split here, makes no row."""
    make_table("data_checks")
    shown = Path("results/demo/tables/data_checks.md").read_text()
    assert "| test images with a near copy in training, ≥ 0.95 | 3 | 3 |" in shown
    assert "digits: sha256 of the pixels train abababababab; images per class, train: 1,200, 97" in shown
    assert "test binarisation (seed 123) 000000000000." in shown
    assert "extra images" not in shown


def test_a_changed_metric_is_refused(root):
    """The table reads only bytes that their receipt names."""
    path = Path("results/demo/evaluate_nll/digits/vae-L1-k1/metrics.json")
    path.write_text(path.read_text().replace("23.", "22.", 1))
    with pytest.raises(DataIntegrityError, match=r"vae-L1-k1/metrics.json: sha256 is .*`snakemake"):
        make_table("iwae_table1_digits")


def test_the_receipt_names_all_four_files(root):
    make_table("dedup")
    receipt = check_outputs(Path("results/demo/tables/dedup.receipt.json"))
    assert {Path(record.path).suffix for record in receipt.outputs} == {".csv", ".md", ".tex", ".html"}


def test_equal_inputs_give_equal_bytes(root):
    """No time, no order of a set, no address in them."""
    folder = Path("results/demo/tables")
    runs = []
    for _ in range(2):
        for name in ("iwae_table1_digits", "dcgan_table1_digits"):
            make_table(name)
        runs.append({path.name: path.read_bytes() for path in folder.iterdir()})
        shutil.rmtree(folder)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_the_csv_is_on_all_three_pages(root, name):
    """Rendering neither drops a row nor invents one: the labels of the CSV are there."""
    cells = make_table(name)
    for kind in ("md", "html"):
        text = Path(f"results/demo/tables/{name}.{kind}").read_text()
        for row in {cell.row for cell in cells if cell.ours is not None or cell.column not in ORDERINGS}:
            group = next((prefix for _, prefix in TABLES[name].row_groups if row.startswith(prefix)), "")
            shown = row.removeprefix(group)
            assert shown.replace("<", "&lt;") in text, (kind, row)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_compiles_with_booktabs_alone(root, tmp_path):
    names = list(TABLES)
    for name in names:
        make_table(name)
    body = "\n".join(f"\\input{{results/demo/tables/{name}}}" for name in names)
    Path("all.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}{body}\\end{{document}}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_columns_of_the_module_are_those_of_the_file():
    assert len(COLUMNS) == 18


def test_arithmetic_is_printed_by_the_way_it_was_done(root):
    """A share of 200 triples has Wilson's interval, a difference its own; ways that were not tried stay empty."""
    at = by_place(make_table("dcgan_arithmetic"))
    three = at["z as it comes, k = 3", "success"]
    assert (three.ours, three.ours_low) == (0.9, pytest.approx(0.851, abs=1e-3))
    assert at["z as it comes, k = 10", "success"].ours is None
    assert at["images, not z, k = 3", "length"].ours is None
    less = at["difference, as it comes, k = 10 less k = 3", "success"]
    assert (less.ours, less.ours_high) == (-0.05, pytest.approx(-0.05 + 0.0196, abs=1e-4))
    assert less.unit == "points"
    text = Path("results/demo/tables/dcgan_arithmetic.md").read_text()
    assert "| z as it comes | k = 1 | 25.0 % [19.5, 31.4] |" in text
    assert "|  | k = 3 | 90.0 % [85.1, 93.4] |" in text
    assert "| as it comes, k = 10 less k = 3 | −5.0 points [−7.0, −3.0] |" in text  # 5 % of what?
    assert "200 triples." in text
