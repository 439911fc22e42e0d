"""The tables there are: which cells each has, what they are read from, and how they stand on the page.

A table's rows are the paper's, run or not; tables of our own (exact_likelihood, dedup, data_checks, and the probe on
digits) have the rows of the study. Nothing is read here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from relatent.errors import ConfigError
from relatent.report.statistics import Better

Unit = Literal["nats", "units", "fraction", "share", "count", "bits", "similarity", "thousandths"]


@dataclass(frozen=True)
class Slot:
    """One cell of a table.

    Attributes:
        source: folder of the metrics, `<phase>/<cell>`; empty where the paper's number is only quoted.
        metric: name in metrics.json, or a path such as `splits.train.n` in a manifest.
        reference: (file stem, row, column) of the paper's number in data/reference/, if it prints one.
        margin: how far from the paper's value still counts as the same, in the unit.
        same_data: whether the paper's number was measured on this dataset with this protocol.
        any_effort: the number does not depend on how long anything was trained.
    """

    row: str
    column: str
    source: str
    metric: str
    unit: Unit
    better: Better = "lower"
    margin: float = 0.0
    reference: tuple[str, str, str] | None = None
    same_data: bool = False
    any_effort: bool = False


@dataclass(frozen=True)
class PrintedColumn:
    """A column as printed: one column of the CSV, or several joined, like `16+5` active units."""

    heading: str
    columns: tuple[str, ...]
    group: str = ""
    interval: bool = True
    decimals: int | None = None


@dataclass(frozen=True)
class TableSpec:
    """A table: its words, its cells, its shape.

    Attributes:
        slots: from the sources of a study to the cells, in the order of the CSV.
        printed: columns as printed; empty: the CSV's own.
        row_groups: (heading, prefix of the rows, label of a row without it); empty: rows as they are.
        orderings: reads data/reference/iwae_orderings.csv and per-image values.
        transposed: printed with the CSV's columns as rows, because there are more of them.
    """

    title: str
    caption: str
    stub: str
    slots: Callable[[Sequence[str]], list[Slot]]
    printed: tuple[PrintedColumn, ...] = ()
    row_groups: tuple[tuple[str, str], ...] = ()
    orderings: bool = False
    transposed: bool = False
    notes: tuple[str, ...] = ()

    def references(self, sources: Sequence[str]) -> list[Path]:
        """Files of data/reference/ that the table quotes."""
        stems = {slot.reference[0] for slot in self.slots(sources) if slot.reference}
        if self.orderings:
            stems.add(ORDERINGS)
        return [Path("data/reference") / f"{stem}.csv" for stem in sorted(stems)]


ORDERINGS = "iwae_orderings"
KS = (1, 5, 50)
LAYERS = (1, 2)


def table_spec(name: str) -> TableSpec:
    """A table by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in TABLES:
        raise ConfigError(f"tables: unknown table {name!r}; there are {', '.join(TABLES)}")
    return TABLES[name]


def table_sources(name: str, cells: Sequence[str]) -> list[str]:
    """Which of a study's cells, `<phase>/<cell>`, the table reads, in the study's order."""
    wanted = {slot.source for slot in table_spec(name).slots(cells)}
    return [cell for cell in cells if cell in wanted]


def density_cell(objective: str, layers: int, k: int) -> str:
    """Name of a density cell; k = 1 is one cell, shown under VAE and IWAE."""
    return f"{'vae' if k == 1 else objective}-L{layers}-k{k}"


def _density_slots(reference: str, datasets: Sequence[str], same_data: Sequence[str]) -> Callable[..., list[Slot]]:
    """Cells of Table 1 or 3: k × {VAE, IWAE} × {NLL, active units} per depth.

    Args:
        reference: file of the paper's numbers.
        datasets: names the data may have, the first that the study has being taken.
        same_data: those of them that are the paper's own data.
    """

    def slots(sources: Sequence[str]) -> list[Slot]:
        have = {source.split("/")[1] for source in sources if source.startswith("evaluate_nll/")}
        dataset = next((name for name in datasets if name in have), datasets[0])
        found = []
        for layers in LAYERS:
            for k in KS:
                for objective in ("VAE", "IWAE"):
                    source = f"evaluate_nll/{dataset}/{density_cell(objective.lower(), layers, k)}"
                    row, same = f"L{layers} k={k}", dataset in same_data
                    column = f"{objective} NLL"
                    found.append(
                        Slot(row, column, source, "nll_nats", "nats", "lower", 0.5, (reference, row, column), same)
                    )
                    for layer in range(1, layers + 1):
                        column, metric = f"{objective} active z{layer}", f"active_units_z{layer}"
                        margin = 2.0 if layer == 1 else 1.0
                        at = (reference, row, column)
                        found.append(Slot(row, column, source, metric, "units", "higher", margin, at, same))
        return found

    return slots


def _switch_slots(sources: Sequence[str]) -> list[Slot]:
    """Table 2: a stage more with the other objective."""
    stages = (
        ("VAE to IWAE", "first stage", "vae-L1-k1"),
        ("VAE to IWAE", "second stage", "vae-L1-k1-to-iwae-k50"),
        ("IWAE to VAE", "first stage", "iwae-L1-k50"),
        ("IWAE to VAE", "second stage", "iwae-L1-k50-to-vae-k1"),
    )
    found = []
    for row, stage, cell in stages:
        for column, metric, unit, better, margin in (
            (f"{stage} NLL", "nll_nats", "nats", "lower", 0.5),
            (f"{stage} active z1", "active_units_z1", "units", "higher", 2.0),
        ):
            at = ("iwae_table2", row, column)
            source = f"evaluate_nll/mnist/{cell}"
            found.append(Slot(row, column, source, metric, unit, better, margin, at, True))  # type: ignore[arg-type]
    return found


BOUND_KS = (1, 5, 50, 500, 5000)
AGREEMENT = "L_5000 − exact"


def _exact_slots(sources: Sequence[str]) -> list[Slot]:
    found = []
    for source in sources:
        if source.startswith("evaluate_nll/exact/"):
            row = source.rpartition("/")[2]
            found.append(Slot(row, "exact log p(x)", source, "log_px_nats", "nats", "higher"))
            found += [Slot(row, f"L_{k}", source, f"bound_k{k}_nats", "nats", "higher") for k in BOUND_KS]
            found.append(Slot(row, AGREEMENT, source, "agreement", "nats", "higher"))
    return found


def _dedup_slots(sources: Sequence[str]) -> list[Slot]:
    columns: tuple[tuple[str, str, Unit, Better], ...] = (
        ("images", "n_images", "count", "higher"),
        ("removed", "n_duplicates", "count", "lower"),
        ("clusters", "n_clusters", "count", "lower"),
        ("largest cluster", "largest_cluster", "count", "lower"),
        ("precision", "precision", "fraction", "higher"),
        ("recall, JPEG", "recall_jpeg", "fraction", "higher"),
        ("recall, shift", "recall_shift", "fraction", "higher"),
        ("recall, brightness", "recall_brightness", "fraction", "higher"),
        ("recall, resize", "recall_resize", "fraction", "higher"),
        ("code entropy", "code_entropy_bits", "bits", "higher"),
        ("collision entropy", "collision_entropy_bits", "bits", "higher"),
        ("needed entropy", "needed_entropy_bits", "bits", "lower"),
    )
    return [
        Slot(source.partition("/")[2], column, source, metric, unit, better)
        for source in sources
        if source.startswith("dedup/")
        for column, metric, unit, better in columns
    ]


# Rows of a probe table that the paper prints too, by the name of our row.
PAPER_PROBE_ROWS = {
    "kmeans": "1-layer K-means",
    "kmeans-4800": "1-layer K-means",
    "kmeans-3layer": "3-layer K-means, learned RF",
    "exemplar": "Exemplar CNN",
    "dcgan": "DCGAN + L2-SVM",
}
PROBE_ROW_TITLES = {
    "pixels": "raw pixels + L2-SVM",
    "pca": "PCA + L2-SVM",
    "zca": "ZCA + L2-SVM",
    "kmeans": "1-layer K-means + L2-SVM",
    "random": "random-initialised D + L2-SVM",
    "autoencoder": "autoencoder code + L2-SVM",
    "vae": "VAE latents + L2-SVM",
    "iwae": "IWAE latents + L2-SVM",
    "dcgan": "DCGAN (trained D) + L2-SVM",
}
ALL_LABELS = "accuracy, all labels"
FEW_LABELS = "accuracy, few labels per class"
PAPER_FEW_LABELS = "accuracy, 400 labels per class"
FEATURE_UNITS = "feature units"


def _probe_slots(target: str, same_data: bool) -> Callable[..., list[Slot]]:
    """CIFAR-10's Table 1, on CIFAR-10 or on the digits: the study's rows, then those that are only quoted."""
    few = PAPER_FEW_LABELS if same_data else FEW_LABELS

    def slots(sources: Sequence[str]) -> list[Slot]:
        found, shown = [], set()
        for source in sources:
            phase, where, row = [*source.split("/"), "", ""][:3]
            if phase != "probe" or where != target or row == "comparisons":
                continue
            paper = PAPER_PROBE_ROWS.get(row)
            shown.add(paper)
            title = probe_row_title(row)
            for column, metric, unit, margin, quoted in (
                (ALL_LABELS, "accuracy_full", "fraction", 0.015, ALL_LABELS),
                (few, "accuracy_few", "fraction", 0.015, PAPER_FEW_LABELS),
                (FEATURE_UNITS, "feature_units", "units", 0.0, None),
            ):
                at = ("dcgan_table1_cifar10", paper, quoted) if paper and quoted else None
                found.append(Slot(title, column, source, metric, unit, "higher", margin, at, same_data))  # type: ignore[arg-type]
        if same_data:
            for paper in (
                "1-layer K-means",
                "3-layer K-means, learned RF",
                "View-invariant K-means",
                "Exemplar CNN",
                "DCGAN + L2-SVM",
            ):
                if paper not in shown:
                    found += _quoted(paper, (ALL_LABELS, few, FEATURE_UNITS), paper == "DCGAN + L2-SVM")
        return found

    return slots


def probe_row_title(row: str) -> str:
    """How a probe row is printed; `kmeans-1600` tells its units, a row without a title is printed by its name."""
    base, dash, units = row.rpartition("-")
    if dash and base in PROBE_ROW_TITLES and units.isdigit():
        method, _, classifier = PROBE_ROW_TITLES[base].partition(" + ")
        return f"{method}, {int(units):,} units + {classifier}"
    return PROBE_ROW_TITLES.get(row, row)


def _quoted(row: str, columns: Sequence[str], ours_to_run: bool = False) -> list[Slot]:
    """Cells that show the paper's number alone: *not run* where the row is ours to run, else *quoted*."""
    units: dict[str, Unit] = {FEATURE_UNITS: "units"}
    source = f"probe/{row}" if ours_to_run else ""
    return [
        Slot(row, column, source, "", units.get(column, "fraction"), reference=("dcgan_table1_cifar10", row, column))
        for column in columns
    ]


SVHN_ROWS = (
    ("KNN", "knn"),
    ("TSVM", "tsvm"),
    ("M1 + KNN", "m1-knn"),
    ("M1 + TSVM", "m1-tsvm"),
    ("M1 + M2", "m1-m2"),
    ("SWWAE without dropout", "swwae"),
    ("SWWAE with dropout", "swwae-dropout"),
    ("DCGAN + L2-SVM", "dcgan"),
    ("Supervised CNN, same architecture", "supervised"),
)
SVHN_ERROR = "test error, 1,000 labels"


def _svhn_slots(sources: Sequence[str]) -> list[Slot]:
    found = []
    for title, row in SVHN_ROWS:
        at = ("dcgan_table2_svhn", title, SVHN_ERROR)
        found.append(
            Slot(
                title, SVHN_ERROR, f"probe/svhn/{row}", "error_few", "fraction", "lower", 0.02, at, row != "supervised"
            )
        )
    return found


NN_COLUMNS = (("test error, 50K samples", "nn_error_50k"), ("test error, 10M samples", "nn_error_10m"))


def _nn_slots(sources: Sequence[str]) -> list[Slot]:
    """Table 3: the first conditional net of the study that trains a classifier; the paper's width has no suffix."""
    ours = next(
        (s for s in sources if s.endswith("/nearest_neighbour")), "sample/mnist/mnist_conditional/nearest_neighbour"
    )
    paper_net = ours.split("/")[1:3] == ["mnist", "mnist_conditional"]
    rows = (
        ("AlignMNIST (Hauberg et al. 2015)", "", (1,), False),
        ("InfiMNIST", "", (1,), False),
        ("Real data", ours, (0,), ours.split("/")[1] == "mnist"),
        ("GAN (permutation-invariant)", "", (0, 1), False),
        ("DCGAN", ours, (0, 1), paper_net),
    )
    found = []
    for row, source, columns, same in rows:
        for index in columns:
            column, metric = NN_COLUMNS[index]
            name = "nn_error_real" if row == "Real data" else metric
            at = ("dcgan_table3_mnist_nn", row, column)
            found.append(Slot(row, column, source, name, "fraction", "lower", 0.005, at, same))
    return found


def _diagnostics_slots(sources: Sequence[str]) -> list[Slot]:
    """What Burda et al. say in running text of their models, and how far our L_k can be trusted."""
    found = []
    for source in sources:
        phase, dataset, cell = [*source.split("/"), "", ""][:3]
        if phase != "evaluate_nll" or dataset == "exact" or source.count("/") != 2:
            continue
        paper = "train minus test, MNIST" if dataset == "mnist" else "train minus test, OMNIGLOT"
        gap = ("iwae_text", paper, "log-likelihood highest") if dataset in ("mnist", "omniglot") else None
        removal = ("iwae_text", "test log-likelihood when inactive units are removed", "change below")
        columns: tuple[tuple[str, str, Unit, tuple[str, str, str] | None], ...] = (
            ("train minus test", "test_minus_train_nats", "nats", gap),
            ("change without inactive units", "nll_change_without_inactive_nats", "nats", removal),
            ("active z1, released code's way", "active_units_z1_code", "units", None),
            ("active z2, released code's way", "active_units_z2_code", "units", None),
            ("bias of L_k, jackknife", "bias_jackknife_nats", "nats", None),
            ("effective samples", "ess", "count", None),
            ("Pareto k above 0.7", "pareto_k_above_0.7", "fraction", None),
        )
        for column, metric, unit, at in columns:
            found.append(Slot(f"{dataset} {cell}", column, source, metric, unit, "lower", 0.0, at))
    return found


def _annealing_slots(sources: Sequence[str]) -> list[Slot]:
    """How far L_k lies below log p(x), by annealed importance sampling, and how well that itself is known."""
    columns = (
        ("AIS NLL", "ais_nll_nats"),
        ("AIS above L_k", "ais_above_bound_nats"),
        ("simulated: exact within", "simulated_ais_gap_nats"),
        ("simulated: L_k below by at most", "simulated_bound_gap_nats"),
    )
    return [
        Slot(" ".join(source.split("/")[1:3]), column, source, metric, "nats")
        for source in sources
        if source.endswith("/annealing")
        for column, metric in columns
    ]


def _gan_slots(sources: Sequence[str]) -> list[Slot]:
    """Sample quality of every GAN of the study, and of real images measured the same way."""
    columns: tuple[tuple[str, str, Unit], ...] = (
        ("KID, own features (×1,000)", "kid", "thousandths"),
        ("precision", "precision", "fraction"),
        ("recall", "recall", "fraction"),
        ("1-NN two-sample accuracy", "two_sample_accuracy", "fraction"),
        ("MS-SSIM between samples", "ms_ssim", "similarity"),
    )
    memory: tuple[tuple[str, str, Unit], ...] = (
        ("memorising gap (×1,000)", "memorising_gap", "thousandths"),
        ("near copies of training images", "copies", "fraction"),
    )
    found, real = [], set()
    for source in sources:
        phase, dataset, net = [*source.split("/"), "", ""][:3]
        if phase != "sample" or source.count("/") != 2 or net.startswith(("vae-", "iwae-")):
            continue
        if dataset not in real:
            real.add(dataset)
            row = f"{dataset}, real images"
            found += [Slot(row, column, source, f"{metric}_real", unit) for column, metric, unit in columns]
        found += [
            Slot(f"{dataset} {net}", column, source, metric, unit) for column, metric, unit in (*columns, *memory)
        ]
    return found


def _data_slots(sources: Sequence[str]) -> list[Slot]:
    columns: tuple[tuple[str, str, Unit], ...] = (
        ("training images", "n_train", "count"),
        ("validation images", "n_validation", "count"),
        ("test images", "n_test", "count"),
        ("extra images", "n_extra", "count"),
        ("mean grey, training", "mean_train", "share"),
        ("mean grey, test", "mean_test", "share"),
        ("exact copies within training", "duplicates_train", "count"),
        ("exact copies within test", "duplicates_test", "count"),
        ("test images also in training", "duplicates_test_in_train", "count"),
        ("validation images also in training", "duplicates_validation_in_train", "count"),
        ("equal images, other labels (training)", "inconsistent_labels_train", "count"),
    )
    found = []
    for source in sources:
        if source.startswith("prepared/"):
            dataset = source.rpartition("/")[2]
            for column, metric, unit in columns:
                at = ("data_sizes", dataset, column)
                found.append(Slot(dataset, column, source, metric, unit, reference=at, same_data=True, any_effort=True))
    return found


_DENSITY_PRINTED = tuple(
    column
    for objective in ("VAE", "IWAE")
    for column in (
        PrintedColumn("NLL (nats)", (f"{objective} NLL",), objective),
        PrintedColumn("active units", (f"{objective} active z1", f"{objective} active z2"), objective, interval=False),
    )
)
_DEPTHS = (("1 stochastic layer", "L1 k="), ("2 stochastic layers", "L2 k="))
_DENSITY_NOTES = (
    "NLL is minus L_k, a lower bound on the log-likelihood, at the evaluation k named in the caption: compare only at "
    "equal k. Active units of two layers are printed as z1+z2. k=1 is one cell, shown under VAE and IWAE.",
)


def _density_table(title: str, caption: str, slots: Callable[..., list[Slot]]) -> TableSpec:
    return TableSpec(
        title=title,
        caption=caption,
        stub="k",
        slots=slots,
        printed=_DENSITY_PRINTED,
        row_groups=_DEPTHS,
        orderings=True,
        notes=_DENSITY_NOTES,
    )


_PROBE_CAPTION = (
    "Linear classification on frozen features: max-pooled activations of all convolutions of the discriminator under "
    "an L2-SVM, beside simpler features under the same classifier"
)

TABLES: dict[str, TableSpec] = {
    "iwae_table1_digits": _density_table(
        "VAE and IWAE on the digits",
        "Test negative log-likelihood and active units on scikit-learn's 8×8 digits, in the shape of Table 1 of Burda "
        "et al. 2016; the paper's numbers beside ours are those of its MNIST half",
        _density_slots("iwae_table1_mnist", ("digits",), ()),
    ),
    "iwae_table1_mnist": _density_table(
        "Table 1 of Burda et al. 2016, MNIST",
        "Test negative log-likelihood and active units on MNIST, dynamically binarised",
        _density_slots("iwae_table1_mnist", ("mnist",), ("mnist",)),
    ),
    "iwae_table1_omniglot": _density_table(
        "Table 1 of Burda et al. 2016, OMNIGLOT",
        "Test negative log-likelihood and active units on OMNIGLOT, dynamically binarised",
        _density_slots("iwae_table1_omniglot", ("omniglot", "omniglot_rebuilt"), ("omniglot",)),
    ),
    "iwae_table2": TableSpec(
        title="Table 2 of Burda et al. 2016",
        caption="What the other objective makes of a trained model: MNIST, one stochastic layer; the second stage is "
        "3^7 more passes at the last learning rate in the paper",
        stub="experiment",
        slots=_switch_slots,
        printed=tuple(
            column
            for stage in ("first stage", "second stage")
            for column in (
                PrintedColumn("NLL (nats)", (f"{stage} NLL",), stage),
                PrintedColumn("active units", (f"{stage} active z1",), stage, interval=False),
            )
        ),
    ),
    "iwae_table3": _density_table(
        "Table 3 of Burda et al. 2016",
        "Test negative log-likelihood and active units on MNIST with Larochelle's fixed binarisation",
        _density_slots("iwae_table3", ("binarized_mnist", "mnist_fixed"), ("binarized_mnist", "mnist_fixed")),
    ),
    "exact_likelihood": TableSpec(
        title="Bounds beside the exact likelihood",
        caption="Mean log p(x), in nats, of models whose likelihood can be summed or integrated, and L_k from k "
        "importance samples. The brackets of the last row are three standard errors, widened upwards by the "
        "first-order bias of L_5000: zero inside them is agreement",
        stub="model",
        slots=_exact_slots,
        printed=(
            PrintedColumn("exact log p(x)", ("exact log p(x)",), interval=False, decimals=4),
            *(PrintedColumn(f"L_{k}", (f"L_{k}",), decimals=4) for k in BOUND_KS),
            PrintedColumn(AGREEMENT, (AGREEMENT,), decimals=4),
        ),
        transposed=True,
    ),
    "dedup": TableSpec(
        title="Near-duplicates",
        caption="Binary codes of a denoising, dropout-regularised ReLU autoencoder: what was removed, how often a "
        "removed image is the picture that was kept (by an automatic judge of pixels), how many planted copies are "
        "found, and how much room the codes have (bits)",
        stub="dataset",
        slots=_dedup_slots,
        transposed=True,
    ),
    "dcgan_table1_digits": TableSpec(
        title="A linear probe on the digits",
        caption=f"{_PROBE_CAPTION}. Digits at 32×32, in the shape of Table 1 of Radford et al. 2016; the paper's "
        "numbers beside ours are for CIFAR-10",
        stub="features",
        slots=_probe_slots("digits32", same_data=False),
    ),
    "dcgan_table1_cifar10": TableSpec(
        title="Table 1 of Radford et al. 2016, CIFAR-10",
        caption=_PROBE_CAPTION,
        stub="features",
        slots=_probe_slots("cifar10", same_data=True),
    ),
    "dcgan_table2_svhn": TableSpec(
        title="Table 2 of Radford et al. 2016, SVHN",
        caption="Test error with 1,000 labels; the paper's last row is a validation error, ours are test errors",
        stub="method",
        slots=_svhn_slots,
    ),
    "dcgan_table3_mnist_nn": TableSpec(
        title="Table 3 of Radford et al. 2016, conditional MNIST",
        caption="Test error of a nearest-neighbour classifier whose training set is samples of a class-conditional "
        "generator",
        stub="training set of the classifier",
        slots=_nn_slots,
        printed=tuple(PrintedColumn(column, (column,)) for column, _ in NN_COLUMNS),
    ),
    "iwae_diagnostics": TableSpec(
        title="How far the bounds can be trusted",
        caption="What Burda et al. 2016 say of their models in running text (the paper's numbers are the largest gap "
        "between training and test likelihood, and the bound it gives for the change), and diagnostics of L_k: the "
        "jackknife's estimate of its bias, the effective number of samples, and the share of images whose weights have "
        "a Pareto shape above 0.7",
        stub="cell",
        slots=_diagnostics_slots,
    ),
    "iwae_annealing": TableSpec(
        title="The gap of the bound, measured",
        caption="Annealed importance sampling (AIS) of test images: an estimate of log p(x) whose mean lies between "
        "L_k and the truth. On images that the model itself made, AIS from both sides (bidirectional Monte Carlo) "
        "encloses the exact value, and so bounds what L_k is short of",
        stub="cell",
        slots=_annealing_slots,
    ),
    "dcgan_samples": TableSpec(
        title="Samples of the GANs",
        caption="Samples against held-out images, on features of our own (random convolutions, never the judged "
        "discriminator, never called FID); real training images measured the same way show what perfect samples would "
        "get. A two-sample accuracy of 50 % means that samples cannot be told from images; MS-SSIM above that of real "
        "images means less variety; a memorising gap above zero means that samples lie nearer to the training images "
        "than new images do",
        stub="net",
        slots=_gan_slots,
    ),
    "data_checks": TableSpec(
        title="The data",
        caption="What each prepared dataset holds, and exact copies within and across its splits; the sha256 of every "
        "array is in its manifest and receipt",
        stub="dataset",
        slots=_data_slots,
        transposed=True,
    ),
}
