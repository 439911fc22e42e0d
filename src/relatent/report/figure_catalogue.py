"""The figures there are: what each reads and which function draws it. Nothing is read or drawn here."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relatent.config.gan import ABLATION_NAMES
from relatent.errors import ConfigError
from relatent.report.figures import alike, curves, inside, pictures, probe, visual

if TYPE_CHECKING:
    from relatent.config.report import PageSettings
    from relatent.report.figures.inputs import Inputs
    from relatent.report.figures.style import Drawing


@dataclass(frozen=True)
class FigureSpec:
    """A figure.

    Attributes:
        files: from the cells of a study, `<phase>/<cell>`, to the files read, as (source, name).
        draw: draws it. The functions are imported here in plain sight, so that the code digest of the figure command
            covers them; matplotlib they import when called.
    """

    title: str
    caption: str
    files: Callable[[Sequence[str]], list[tuple[str, str]]]
    draw: "Callable[[Inputs, PageSettings], Drawing]"


def figure_spec(name: str) -> FigureSpec:
    """A figure by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in FIGURES:
        raise ConfigError(f"figures: unknown figure {name!r}; there are {', '.join(FIGURES)}")
    return FIGURES[name]


def _of_phase(phase: str, cells: Sequence[str]) -> list[str]:
    return [cell for cell in cells if cell.startswith(f"{phase}/")]


def _default_density(cells: Sequence[str]) -> list[tuple[str, str]]:
    """(dataset, cell) of density cells without a suffix, of the first dataset of the study that has any."""
    pairs = [(cell.split("/")[1], cell.split("/")[2]) for cell in _of_phase("train_density", cells)]
    plain = [(dataset, name) for dataset, name in pairs if name.count("-") == 2]
    return [pair for pair in plain if pair[0] == plain[0][0]]


def _extremes(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The VAE with the smallest k and the IWAE with the largest, per depth, as in Fig. 3 of the paper."""
    chosen = []
    for layers in ("L1", "L2"):
        for objective, pick in (("vae", min), ("iwae", max)):
            of_kind = [pair for pair in pairs if pair[1].startswith(f"{objective}-{layers}-")]
            if of_kind:
                chosen.append(pick(of_kind, key=lambda pair: int(pair[1].rpartition("k")[2])))
    return chosen


def _sampled(cells: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Sampled density cells without a suffix as (dataset, cell), of the first dataset; and sampled GANs."""
    names = [cell.partition("/")[2] for cell in _of_phase("sample", cells) if cell.count("/") == 2]
    density = [name for name in names if re.search(r"/i?wae-L|/vae-L", name)]
    plain = [(name.split("/")[0], name.split("/")[1]) for name in density if name.count("-") == 2]
    return [pair for pair in plain if pair[0] == plain[0][0]], [name for name in names if name not in density]


def _density_samples(cells: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"sample/{dataset}/{name}", "samples.npy") for dataset, name in _extremes(_sampled(cells)[0])]


def _posteriors(cells: Sequence[str]) -> list[tuple[str, str]]:
    """Sampled models of two latents, the VAE first, then by k."""
    two = [cell for cell in _of_phase("sample", cells) if cell.endswith("-2d")]
    by_kind = sorted(two, key=lambda cell: (cell.split("/")[2][0] == "i", int(cell.split("-k")[1].split("-")[0])))
    return [(f"{cell}/posterior", "posterior.npz") for cell in by_kind]


def _filters(cells: Sequence[str]) -> list[tuple[str, str]]:
    return [(source, "filters.npz") for source, _ in _density_samples(cells) if "-L1-" in source]


def _whole_gans(cells: Sequence[str]) -> list[str]:
    """Sampled GANs that no rule was taken away from, two at most: a figure has room for no more."""
    return [name for name in _sampled(cells)[1] if not set(name.split("-")) & set(ABLATION_NAMES)][:2]


def _gan_samples(cells: Sequence[str]) -> list[tuple[str, str]]:
    """The samples, and the history of the training, whose receipt says when the early ones were kept."""
    found = [(f"sample/{cell}", name) for cell in _whole_gans(cells) for name in ("early.npy", "samples.npy")]
    trained = [f"train_gan/{cell}" for cell in _whole_gans(cells)]
    return [*found, *((source, "history.csv") for source in trained if source in cells)]


def _scored_samples(cells: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"sample/{cell}", name) for cell in _whole_gans(cells) for name in ("samples.npy", "metrics.json")]


def _ablation_samples(cells: Sequence[str]) -> list[tuple[str, str]]:
    """The net whose rules are taken away, then each net without one."""
    gans = _sampled(cells)[1]
    without = [name for name in gans if set(name.split("-")) & set(ABLATION_NAMES)]
    whole = [name for name in gans if any(other.startswith(f"{name}-") for other in without)]
    return [(f"sample/{name}", "samples.npy") for name in [*whole, *without]]


def _interpolation(cells: Sequence[str]) -> list[tuple[str, str]]:
    """The GANs' paths, and those of the IWAE shown among the samples."""
    density = [source for source, _ in _density_samples(cells) if "/iwae-L1-" in source]
    return [(source, "interpolation.npy") for source in [*(f"sample/{cell}" for cell in _whole_gans(cells)), *density]]


def _arithmetic(cells: Sequence[str]) -> list[tuple[str, str]]:
    """The first GAN whose z were added up."""
    return [(cell, "arithmetic.npz") for cell in _of_phase("sample", cells) if cell.endswith("/arithmetic")][:1]


def _guided(cells: Sequence[str]) -> list[tuple[str, str]]:
    """The first GAN whose discriminator was looked into."""
    found = [cell for cell in _of_phase("sample", cells) if cell.endswith("/guided")][:1]
    return [(cell, name) for cell in found for name in ("guided.npz", "metrics.json")]


def _density_history(cells: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"train_density/{dataset}/{name}", "history.csv") for dataset, name in _default_density(cells)]


def _gan_history(cells: Sequence[str]) -> list[tuple[str, str]]:
    """Every GAN but those with a rule taken away; if there are no others, those."""
    gans = [cell.partition("/")[2] for cell in _of_phase("train_gan", cells)]
    whole = [name for name in gans if not set(name.split("-")) & set(ABLATION_NAMES)] or gans
    return [(f"train_gan/{cell}", "history.csv") for cell in whole[:2]]


def _activity(cells: Sequence[str]) -> list[tuple[str, str]]:
    """The VAE of the paper's figure, and the IWAE with the largest k beside it; one stochastic layer."""
    pairs = [pair for pair in _extremes(_default_density(cells)) if "-L1-" in pair[1]]
    return [(f"evaluate_nll/{dataset}/{name}", "activity.csv") for dataset, name in pairs]


def _duplicates(cells: Sequence[str]) -> list[tuple[str, str]]:
    datasets = [cell.partition("/")[2] for cell in _of_phase("dedup", cells)]
    found = [(f"dedup/{dataset}", name) for dataset in datasets for name in ("clusters.csv", "metrics.json")]
    return [*found, *((f"prepared/{dataset}", "train_images.npy") for dataset in datasets)]


def _exact(cells: Sequence[str]) -> list[tuple[str, str]]:
    return [(cell, "metrics.json") for cell in cells if cell.startswith("evaluate_nll/exact/")]


def _probe(cells: Sequence[str]) -> list[tuple[str, str]]:
    """The rows of the first target of the study."""
    rows = _of_phase("probe", cells)
    return [(cell, "metrics.json") for cell in rows if cell.split("/")[1] == rows[0].split("/")[1]]


def _confusion(cells: Sequence[str]) -> list[tuple[str, str]]:
    """The trained and the random discriminator of the first target; the first row if there is neither; its classes."""
    rows = [source for source, _ in _probe(cells)]
    discriminators = [source for source in rows if source.endswith(("/dcgan", "/random"))]
    chosen = discriminators or rows[:1]
    datasets = dict.fromkeys(source.split("/")[1] for source in chosen)
    return [
        *((source, "metrics.json") for source in chosen),
        *((f"prepared/{dataset}", "manifest.json") for dataset in datasets),
    ]


def _discriminators(cells: Sequence[str]) -> list[tuple[str, str]]:
    return [(source, name) for source, name in _probe(cells) if source.endswith(("/dcgan", "/random"))]


def _pictures(cells: Sequence[str]) -> list[tuple[str, str]]:
    """Rows whose nearest neighbours the study keeps, three at most."""
    cells = [cell.replace("probe_pictures/", "probe/", 1) for cell in _of_phase("probe_pictures", cells)]
    return [(cell, "pictures.npz") for cell in cells[:3]]


def _probe_filters(cells: Sequence[str]) -> list[tuple[str, str]]:
    """K-means and the discriminators of the first target that has any, three at most."""
    rows = _of_phase("features", cells)
    return [(cell, "layout.json") for cell in rows if cell.split("/")[1] == rows[0].split("/")[1]][:3]


FIGURES: dict[str, FigureSpec] = {
    "samples_density": FigureSpec(
        "Samples of VAE and IWAE",
        "Samples as in Fig. 3 of Burda et al. 2016: means of p(x|z) for z from the prior (with two layers z1 is "
        "sampled), in the order they were drawn",
        _density_samples,
        pictures.draw_density_samples,
    ),
    "samples_gan": FigureSpec(
        "Samples of the DCGAN, early and late",
        "Samples of the first generator that the run kept (Fig. 2 of Radford et al. 2016: after one epoch) and at the "
        "end, as in Fig. 3: same z in both panels, in the order they were drawn",
        _gan_samples,
        pictures.draw_gan_samples,
    ),
    "samples_by_realness": FigureSpec(
        "Samples of the DCGAN, unsorted and sorted",
        "The same samples twice, as in Figs 10 and 11 of Radford et al. 2016: in the order they were drawn, and by "
        "what their own discriminator finds most real, which the released demo does before it shows any",
        _scored_samples,
        pictures.draw_samples_by_realness,
    ),
    "samples_ablation": FigureSpec(
        "Samples without one of the five rules",
        "Samples of the whole net, and of the same net with one of the DCGAN rules taken away, trained alike; in the "
        "order they were drawn, same z in all panels",
        _ablation_samples,
        pictures.draw_ablation_samples,
    ),
    "posteriors": FigureSpec(
        "True posteriors of models with two latents",
        "p(z|x) on a grid for six training images, as in Fig. 2 of Burda et al. 2016, with q at two standard "
        "deviations (white) and KL(q || p(z|x)), which is large where q misses the posterior. Colours are of the log "
        "density below its own maximum, and each window is as wide as its posterior and q are: compare their ticks; "
        "below, the image and four reconstructions from draws of q",
        _posteriors,
        inside.draw_posteriors,
    ),
    "first_layer": FigureSpec(
        "First-layer weights",
        "Weights of the encoder's first layer, one picture per hidden unit, and of the decoder's last layer, as the "
        f"released code of Burda et al. 2016 draws them: the {inside.FILTERS_SHOWN} units with the largest weights, "
        "largest first; red is positive, blue negative, each picture scaled by its own largest weight",
        _filters,
        inside.draw_filters,
    ),
    "interpolation": FigureSpec(
        "Walking the latent space",
        "Paths between pairs of z, one per row, as in Fig. 4 of Radford et al. 2016: straight lines for a GAN, arcs of "
        "a circle for a density model, each point of which is distributed as the prior is",
        _interpolation,
        pictures.draw_interpolation,
    ),
    "arithmetic": FigureSpec(
        "Arithmetic on z",
        "In the form of Fig. 7 of Radford et al. 2016: three exemplars of each concept, under the line the image of "
        "their mean z; then, framed, the image of A − B + C among eight neighbours, whose z have uniform noise added; "
        "and the same sum of the exemplars' pixels. Of each class the first triple that was drawn is shown, whether or "
        "not it succeeded",
        _arithmetic,
        visual.draw_arithmetic,
    ),
    "features_gan": FigureSpec(
        "What the discriminator's features look at",
        "The first six features of the last convolution, one per row, as in Fig. 5 of Radford et al. 2016: the images "
        "it was trained on that excite each most, and the gradient of its answer there, by guided backpropagation and "
        "plain (grey is zero; each picture has its own scale); and the same of the net before its training. Below, "
        "means over the net's features: the share of pixels with half of the gradient's squares, and its correlation r "
        "with the image and with the gradient of the next feature at the same image, which shows how much of a picture "
        "is not of its feature",
        _guided,
        visual.draw_features,
    ),
    "log_activity": FigureSpec(
        "Active units",
        "Histogram of log A_u of the first layer, A_u being the variance over images of the posterior mean of unit u, "
        "as in Fig. 1 of Burda et al. 2016; a unit above the threshold is active",
        _activity,
        curves.draw_log_activity,
    ),
    "training_density": FigureSpec(
        "Training of the density models",
        "Minus the training bound (each cell's own: L_k or ELBO, so levels of different objectives or k are not "
        "comparable), one line per seed; the frame holds the late epochs, and the first ones may lie above it. At the "
        "dotted uprights the schedule lowers the learning rate",
        _density_history,
        curves.draw_density_training,
    ),
    "training_gan": FigureSpec(
        "Training of the DCGAN",
        "Losses and gradient norms over the images seen; the strong line is a running median",
        _gan_history,
        curves.draw_gan_training,
    ),
    "duplicates": FigureSpec(
        "Near-duplicates",
        "Clusters of images with near codes, sorted by size and evenly spaced from the largest to the smallest, "
        "because the largest alone would be flat patches; the first image of a row is kept, the others are removed "
        "from training, and +n stands for those that are not shown. The search radius, and how often a removal is "
        "right, are below the figure",
        _duplicates,
        alike.draw_duplicates,
    ),
    "exact_gap": FigureSpec(
        "The bound closes on the exact likelihood",
        "Exact log p(x) minus L_k against k for models whose likelihood is known; bars are 95 % Monte Carlo intervals, "
        "the axis is linear near zero; points of the three models are set slightly apart",
        _exact,
        curves.draw_exact_gap,
    ),
    "probe_rows": FigureSpec(
        "The probe's rows side by side",
        "Test accuracy of the same L2-SVM on different features, with 95 % intervals over what the figure names; the "
        "discriminators, trained and random, are filled",
        _probe,
        probe.draw_probe_rows,
    ),
    "probe_confusion": FigureSpec(
        "What the probe confuses",
        "Confusion matrices of the L2-SVM with all labels; colours are errors, the numbers on the diagonal are the "
        "percentage of each class that is right",
        _confusion,
        probe.draw_confusion,
    ),
    "probe_curve": FigureSpec(
        "Accuracy against labels",
        "Test accuracy of the L2-SVM with more and more labels per class, mean over draws of the labels; bars are 95 % "
        "intervals over what the figure names",
        _probe,
        probe.draw_learning_curve,
    ),
    "probe_layers": FigureSpec(
        "Accuracy by layer",
        "Test accuracy of the probe on each convolution of the discriminator by itself, and on all of them, for "
        "trained and random weights; bars are 95 % intervals over what the figure names",
        _discriminators,
        probe.draw_layers,
    ),
    "probe_filters": FigureSpec(
        "What the rows look for",
        "Centroids of K-means in their whitened space, and weights of the first convolution of the discriminators; "
        "grey is zero, each filter is scaled by its own largest weight",
        _probe_filters,
        alike.draw_probe_filters,
    ),
    "neighbours": FigureSpec(
        "Nearest neighbours",
        "Test images, and to the right of the line the training images nearest to them in each row's features",
        _pictures,
        alike.draw_neighbours,
    ),
}
