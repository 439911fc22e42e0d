"""The tables there are: which cells each has, what they are read from, and how they stand on the page.

A table's rows are the paper's, run or not; tables of our own (exact_likelihood, dedup, data_checks, and the probe on
digits) have the rows of the study. Nothing is read here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relatent.errors import ConfigError
from relatent.report.data_notes import data_notes
from relatent.report.printed import number
from relatent.report.slots_dcgan import (
    ARITHMETIC_COMPARED,
    ARITHMETIC_DIFFERENCE,
    ARITHMETIC_WAYS,
    NN_COLUMNS,
    arithmetic_slots,
    data_slots,
    dedup_slots,
    gan_sample_slots,
    nearest_neighbour_slots,
    probe_slots,
    svhn_slots,
)
from relatent.report.slots_iwae import (
    AGREEMENT,
    BOUND_KS,
    DIFFERENCE,
    ERROR_RATIO,
    annealing_slots,
    density_slots,
    diagnostics_slots,
    exact_slots,
    switch_slots,
    variant_slots,
)
from relatent.report.spec import PrintedColumn, Slot, TableSpec


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
    errors = {slot.error[0] for slot in table_spec(name).slots(cells) if slot.error}
    wanted = errors.union(shown_sources(name, cells))
    return [cell for cell in cells if cell in wanted]


def shown_sources(name: str, cells: Sequence[str]) -> list[str]:
    """Those of `table_sources` whose own numbers are shown; the others measured an error of theirs."""
    wanted = {slot.source for slot in table_spec(name).slots(cells)}
    return [cell for cell in cells if cell in wanted]


def compared_sources(name: str, cells: Sequence[str]) -> list[str]:
    """Those of `shown_sources` whose values are compared image by image; none where nothing is."""
    return shown_sources(name, cells) if table_spec(name).is_paired(cells) else []


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


def _heavy_tails(documents: Mapping[str, Any]) -> tuple[str, ...]:
    """Of how many images the importance weights are too heavy-tailed for their mean to be known well."""
    shares = [
        metric["value"] for document in documents.values() if (metric := document.get("pareto_k_above_0.7")) is not None
    ]
    if not shares:
        return ()
    low, high = (number(share, "share", 0) for share in (min(shares), max(shares)))
    share = high if low == high else f"{low.removesuffix(' %')} to {high}"
    heavy = (
        f"The importance weights of {share} of the images have a Pareto shape above 0.7: where that is most of them, "
    )
    return (
        f"{heavy}L_k is a loose bound and the Monte Carlo error that its weights claim too small.{_whose(documents)}",
    )


def _whose(documents: Mapping[str, Any]) -> str:
    """Whether the intervals printed are of the error claimed or of the one measured; of several seeds, of neither."""
    one = [s for s, document in documents.items() if len(document.get("nll_nats", {}).get("per_seed", ())) == 1]
    repeated = [source for source in one if f"{source}/repeated" in documents]
    if not repeated:
        return " The interval of one seed is too narrow there." if one else ""
    which = "The intervals are" if len(repeated) == len(one) else f"Those of {len(repeated)} of {len(one)} cells are"
    return f" {which} of the error that scoring images twice has shown."


def _gap_of_other_images(documents: Mapping[str, Any]) -> tuple[str, ...]:
    """What the interval of train minus test leaves out where it is that of a regression."""
    gaps = [d["test_minus_train_nats"] for source, d in documents.items() if source.endswith("/train_minus_test")]
    errors = [gap["test_sampling_stderr"] for gap in gaps if gap["test_sampling_stderr"] is not None]
    if not errors:
        return ()
    low, high = (number(error, "nats", 2) for error in (min(errors), max(errors)))
    return (
        "Train minus test is that of the two splits as they are; as a forecast for other test images it has a further "
        f"standard error of {low if low == high else f'{low} to {high}'} nats.",
    )


def _one_training(documents: Mapping[str, Any]) -> tuple[str, ...]:
    """What the interval of a paired difference leaves out."""
    seeds = [len(d["nll_nats"].get("per_seed", ())) for d in documents.values() if "nll_nats" in d]
    if not seeds or max(seeds) > 1:
        return ()
    return ("There is one seed of each: what another training would change is not counted.",)


def _density_table(title: str, caption: str, slots: Callable[..., list[Slot]]) -> TableSpec:
    return TableSpec(
        title=title,
        caption=caption,
        stub="k",
        slots=slots,
        printed=_DENSITY_PRINTED,
        row_groups=_DEPTHS,
        orderings="iwae_orderings",
        notes=_DENSITY_NOTES,
        notes_of=_heavy_tails,
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
        density_slots("iwae_table1_mnist", ("digits",), ()),
    ),
    "iwae_table1_mnist": _density_table(
        "Table 1 of Burda et al. 2016, MNIST",
        "Test negative log-likelihood and active units on MNIST, dynamically binarised",
        density_slots("iwae_table1_mnist", ("mnist",), ("mnist",)),
    ),
    "iwae_table1_omniglot": _density_table(
        "Table 1 of Burda et al. 2016, OMNIGLOT",
        "Test negative log-likelihood and active units on OMNIGLOT, dynamically binarised (omniglot_rebuilt: made anew "
        "from the published drawings, in another order and with 45 more test images)",
        density_slots("iwae_table1_omniglot", ("omniglot", "omniglot_rebuilt"), ("omniglot",)),
    ),
    "iwae_table2": TableSpec(
        title="Table 2 of Burda et al. 2016",
        caption="What the other objective makes of a trained model: MNIST, one stochastic layer; the second stage is "
        "the last stage of the schedule once more, 3^7 passes in the paper",
        stub="experiment",
        slots=switch_slots,
        orderings="iwae_table2_orderings",
        notes_of=_heavy_tails,
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
        density_slots("iwae_table3", ("binarized_mnist", "mnist_fixed"), ("binarized_mnist", "mnist_fixed")),
    ),
    "exact_likelihood": TableSpec(
        title="Bounds beside the exact likelihood",
        caption="Mean log p(x), in nats, of models whose likelihood can be summed or integrated, and L_k from k "
        "importance samples. The brackets of the last row are three standard errors, widened upwards by the "
        "first-order bias of L_5000: zero inside them is agreement",
        stub="model",
        slots=exact_slots,
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
        slots=dedup_slots,
        transposed=True,
        notes=(
            "≥: at least. The code entropy is that of the codes as found, which for n images is log2 n at most, where "
            "all codes differ. The needed entropy is to be set against the collision entropy.",
        ),
    ),
    "dcgan_table1_digits": TableSpec(
        title="A linear probe on the digits",
        caption=f"{_PROBE_CAPTION}. Digits at 32×32, in the shape of Table 1 of Radford et al. 2016; the paper's "
        "numbers beside ours are for CIFAR-10",
        stub="features",
        slots=probe_slots("digits32", same_data=False),
    ),
    "dcgan_table1_cifar10": TableSpec(
        title="Table 1 of Radford et al. 2016, CIFAR-10",
        caption=_PROBE_CAPTION,
        stub="features",
        slots=probe_slots("cifar10", same_data=True),
    ),
    "dcgan_table2_svhn": TableSpec(
        title="Table 2 of Radford et al. 2016, SVHN",
        caption="Test error with 1,000 labels; the paper's last row is a validation error, ours are test errors",
        stub="method",
        slots=svhn_slots,
    ),
    "dcgan_table3_mnist_nn": TableSpec(
        title="Table 3 of Radford et al. 2016, conditional MNIST",
        caption="Test error of a nearest-neighbour classifier whose training set is samples of a class-conditional "
        "generator",
        stub="training set of the classifier",
        slots=nearest_neighbour_slots,
        printed=tuple(PrintedColumn(column, (column,)) for column, _ in NN_COLUMNS),
    ),
    "iwae_diagnostics": TableSpec(
        title="How far the bounds can be trusted",
        caption="What Burda et al. 2016 say in running text of the models of their tables (the range of the gaps "
        "between the likelihoods of all training and all test images, for the fixed binarisation as the README of the "
        "released code has it; the bounds for the change and for layer 2), and diagnostics of L_k: the jackknife's "
        "estimate of its bias, its Monte Carlo error as scoring images twice shows it over the one that the weights "
        "claim, the effective number of samples, and the share of images whose weights have a Pareto shape above 0.7",
        stub="cell",
        slots=diagnostics_slots,
        printed=(
            PrintedColumn("NLL (nats)", ("NLL",)),
            PrintedColumn("train minus test (nats)", ("train minus test",), within=True),
            PrintedColumn("change without inactive units (nats)", ("change without inactive units",), at_most=True),
            PrintedColumn("active units, released code's way", ("active z1, released code's way",), interval=False),
            PrintedColumn("active units of layer 2", ("active z2, released code's way",), interval=False, at_most=True),
            PrintedColumn("bias of L_k, jackknife (nats)", ("bias of L_k, jackknife",)),
            PrintedColumn("Monte Carlo error, measured over claimed", (ERROR_RATIO,)),
            PrintedColumn("effective samples", ("effective samples",)),
            PrintedColumn("Pareto k above 0.7", ("Pareto k above 0.7",)),
        ),
        notes=(
            "The jackknife sees the weights that were drawn only: where most images have a Pareto shape above 0.7, the "
            "bias is far larger than it says. Annealing measures it.",
        ),
        notes_of=_gap_of_other_images,
    ),
    "iwae_variants": TableSpec(
        title="Other presets and estimators",
        caption="The same cell trained otherwise: by the preset `code`, what the released code does where the paper "
        "says something else; with the KL term in closed form (kl); by another estimator of the gradient of the same "
        "bound (stl, dreg, single). The difference is that of the NLL on the same test images, in nats",
        stub="cell",
        slots=variant_slots,
        printed=(
            PrintedColumn("NLL (nats)", ("NLL",)),
            PrintedColumn("less that of the default", (DIFFERENCE,)),
            PrintedColumn("active units", ("active z1", "active z2"), interval=False),
            PrintedColumn("effective samples", ("effective samples",)),
        ),
        notes_of=_one_training,
    ),
    "iwae_annealing": TableSpec(
        title="The gap of the bound, measured",
        caption="Test images: annealed importance sampling (AIS), whose mean is a lower bound on log p(x) as L_k is, "
        "but a closer one; from the annealed images to all by regression on L_k. Images that the model itself made: "
        "bidirectional Monte Carlo, AIS from both ends, encloses log p(x) and so shows how far L_k is below it",
        stub="cell",
        slots=annealing_slots,
    ),
    "dcgan_samples": TableSpec(
        title="Samples of the GANs",
        caption="Samples against held-out images, on features of our own (random convolutions, never the judged "
        "discriminator, never called FID); real training images measured the same way show what perfect samples would "
        "get. A two-sample accuracy of 50 % means that samples cannot be told from images; MS-SSIM above that of real "
        "images means less variety; a memorising gap above zero means that samples lie nearer to the training images "
        "than new images do",
        stub="net",
        slots=gan_sample_slots,
    ),
    "dcgan_arithmetic": TableSpec(
        title="Arithmetic on z, measured",
        caption="A − B + C of means of k exemplars: A heavy and leaning right, B light and leaning right, C light and "
        "leaning left, by the outer fifths of weight and slant among drawn images of their class; A − B + C should be "
        "heavy and lean left (Radford et al. 2016, sec. 6.3.2 and fig. 7, with k = 3 faces chosen by eye). Success: "
        "heavier and further to the left than half of the class, and still of the class, as the nearest real image "
        "says. Length: of z over the prior's; independent draws would have the square root of 3/k. Distance: to the "
        "nearest real image. Greyness: how far the ink is from white",
        stub="result",
        slots=arithmetic_slots,
        printed=tuple(
            PrintedColumn(column, (column,), interval=interval, decimals=decimals)
            for column, interval, decimals in (
                ("success", True, None),
                ("heavy and left", False, 0),
                ("heavy and left, outer fifths", False, 0),
                ("still its class", False, 0),
                ("length", False, 2),
                ("expected length", False, 2),
                ("distance", False, 3),
                ("greyness", False, 3),
            )
        ),
        row_groups=(
            ("to compare with", ARITHMETIC_COMPARED),
            *((title, f"{title}, ") for title in ARITHMETIC_WAYS.values()),
            ("paired difference", ARITHMETIC_DIFFERENCE),
        ),
        notes=(
            "All ways are tried on the same triples of sets of exemplars, and the intervals are of drawing other "
            "triples. What heavy, left images of this net are like is in the second row. A smaller distance alone is "
            "no merit: an average of images is near to all of them, and its ink is grey.",
        ),
    ),
    "data_checks": TableSpec(
        title="The data",
        caption="What each prepared dataset holds, and exact and near copies within and across its splits: the pixels "
        "of near copies correlate by 0.98 or 0.95 at least, which two drawings of a 1 do too; the whole sha256 of "
        "every array is in its manifest and receipt",
        stub="dataset",
        slots=data_slots,
        transposed=True,
        notes_of=data_notes,
    ),
}
