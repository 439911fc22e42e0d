"""Cells of the DCGAN paper's tables, of its samples' quality and of its de-duplication; and of checks of the data."""

from collections.abc import Callable, Sequence

from relatent.report.spec import Slot, Unit
from relatent.report.statistics import Better
from relatent.report.words import ablations

CODE_ENTROPY = "code_entropy_bits"


def dedup_slots(sources: Sequence[str]) -> list[Slot]:
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
        ("code entropy", CODE_ENTROPY, "bits", "higher"),
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

# Of them, those whose published recipe leaves much open: never comparable, at any effort.
APPROXIMATE_ROWS = ("kmeans-3layer",)


PROBE_ROW_TITLES = {
    "pixels": "raw pixels + L2-SVM",
    "pca": "PCA + L2-SVM",
    "zca": "ZCA + L2-SVM",
    "kmeans": "1-layer K-means + L2-SVM",
    "kmeans-3layer": "3-layer K-means, learned RF (approximate) + L2-SVM",
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


def probe_slots(target: str, same_data: bool) -> Callable[..., list[Slot]]:
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
            same = same_data and row not in APPROXIMATE_ROWS
            for column, metric, unit, margin, quoted in (
                (ALL_LABELS, "accuracy_full", "fraction", 0.015, ALL_LABELS),
                (few, "accuracy_few", "fraction", 0.015, PAPER_FEW_LABELS),
                (FEATURE_UNITS, "feature_units", "units", 0.0, FEATURE_UNITS),
            ):
                at = ("dcgan_table1_cifar10", paper, quoted) if paper else None
                found.append(Slot(title, column, source, metric, unit, "higher", margin, at, same))  # type: ignore[arg-type]
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


def svhn_slots(sources: Sequence[str]) -> list[Slot]:
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


def nearest_neighbour_slots(sources: Sequence[str]) -> list[Slot]:
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
            name = metric.replace("nn_error", "nn_error_real") if row == "Real data" else metric
            at = ("dcgan_table3_mnist_nn", row, column)
            untrained = row == "Real data"  # the classifier on real images: no schedule could be shorter
            found.append(Slot(row, column, source, name, "fraction", "lower", 0.005, at, same, any_effort=untrained))
    return found


def gan_sample_slots(sources: Sequence[str]) -> list[Slot]:
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
        row = ", ".join(part for part in (f"{dataset} {net}", ablations(net)) if part)
        found += [Slot(row, column, source, metric, unit) for column, metric, unit in (*columns, *memory)]
    return found


# How `latent_arithmetic` does the sum, and how the table's rows begin.
ARITHMETIC_WAYS = {
    "latent": "z as it comes",
    "prior_length": "z at prior length",
    "random_step": "C and a random step as long as A − B",
    "pixels": "images, not z",
}
ARITHMETIC_REFERENCES = {
    "drawn": "drawn z: chance",
    "drawn_target": "drawn z, heavy and left",
}
ARITHMETIC_DIFFERENCES = {
    "length_alone": "k = 1, at prior length less as it comes",
    "averaging_alone": "at prior length, k = 3 less k = 1",
    "beyond_three": "as it comes, k = 10 less k = 3",
}
ARITHMETIC_COMPARED, ARITHMETIC_DIFFERENCE = "to compare with, ", "difference, "
ARITHMETIC_KS = (1, 2, 3, 5, 10)


def arithmetic_slots(sources: Sequence[str]) -> list[Slot]:
    """Arithmetic on the z of the first cell of the study that has it done, every way it is done."""
    source = next((source for source in sources if source.endswith("/arithmetic")), None)
    if source is None:
        return []
    columns: tuple[tuple[str, str, Unit], ...] = (
        ("success", "success", "fraction"),
        ("heavy and left", "target", "fraction"),
        ("heavy and left, outer fifths", "outer", "fraction"),
        ("still its class", "kept", "fraction"),
        ("length", "length", "ratio"),
        ("expected length", "expected_length", "ratio"),
        ("distance", "distance", "similarity"),
        ("greyness", "greyness", "similarity"),
    )
    rows = {name: (ARITHMETIC_COMPARED, title) for name, title in ARITHMETIC_REFERENCES.items()}
    rows |= {f"{way}_k{k}": (f"{title}, ", f"k = {k}") for way, title in ARITHMETIC_WAYS.items() for k in ARITHMETIC_KS}
    found = [
        Slot(group + row, column, source, f"{metric}_{name}", unit)
        for name, (group, row) in rows.items()
        for column, metric, unit in columns
    ]
    differences = [
        Slot(ARITHMETIC_DIFFERENCE + row, "success", source, name, "points")
        for name, row in ARITHMETIC_DIFFERENCES.items()
    ]
    return [*found, *differences]


def data_slots(sources: Sequence[str]) -> list[Slot]:
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
        ("near copies within training, correlation ≥ 0.98", "near_duplicates_train", "count"),
        ("near copies within training, correlation ≥ 0.95", "alike_train", "count"),
        ("test images with a near copy in training, ≥ 0.98", "near_duplicates_test_in_train", "count"),
        ("test images with a near copy in training, ≥ 0.95", "alike_test_in_train", "count"),
        ("smallest class, training", "smallest_class_train", "count"),
        ("largest class, training", "largest_class_train", "count"),
        ("smallest class, test", "smallest_class_test", "count"),
        ("largest class, test", "largest_class_test", "count"),
        ("equal images, other labels (training)", "inconsistent_labels_train", "count"),
    )
    found = []
    for source in sources:
        if source.startswith("prepared/"):
            dataset = source.rpartition("/")[2]
            for column, metric, unit in columns:
                at = ("data_sizes", dataset, column)
                found.append(Slot(dataset, column, source, metric, unit, "within", 0.0, at, True, any_effort=True))
    return found
