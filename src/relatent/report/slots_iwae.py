"""Cells of the IWAE paper's tables, of the exact likelihoods, and of what tells how far a bound can be trusted."""

from collections.abc import Callable, Sequence

from relatent.config.density import ESTIMATORS, PRESETS
from relatent.report.spec import Slot, Unit
from relatent.report.statistics import Better

KS = (1, 5, 50)


LAYERS = (1, 2)


def density_cell(objective: str, layers: int, k: int) -> str:
    """Name of a density cell; k = 1 is one cell, shown under VAE and IWAE."""
    return f"{'vae' if k == 1 else objective}-L{layers}-k{k}"


def _measured_error(source: str, sources: Sequence[str]) -> tuple[str, str] | None:
    """Where the Monte Carlo error of a cell's NLL was measured, if it was."""
    repeated = f"{source}/repeated"
    return (repeated, "nll_monte_carlo_nats") if repeated in sources else None


def density_slots(reference: str, datasets: Sequence[str], same_data: Sequence[str]) -> Callable[..., list[Slot]]:
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
                    at, error = (reference, row, column), _measured_error(source, sources)
                    found.append(Slot(row, column, source, "nll_nats", "nats", "lower", 0.5, at, same, error=error))
                    for layer in range(1, layers + 1):
                        column, metric = f"{objective} active z{layer}", f"active_units_z{layer}"
                        margin = 2.0 if layer == 1 else 1.0
                        at = (reference, row, column)
                        found.append(Slot(row, column, source, metric, "units", "higher", margin, at, same))
        return found

    return slots


def switch_slots(sources: Sequence[str]) -> list[Slot]:
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
            error = _measured_error(source, sources) if metric == "nll_nats" else None
            found.append(
                Slot(row, column, source, metric, unit, better, margin, at, True, error=error)  # type: ignore[arg-type]
            )
    return found


DIFFERENCE = "NLL less the default's"


def cell_departed_from(cell: str) -> str:
    """The cell of the study's defaults, where a suffix names another preset or estimator: `vae-L1-k1-code` is one."""
    return "-".join(part for part in cell.split("-") if part not in (*PRESETS, *ESTIMATORS))


def variant_slots(sources: Sequence[str]) -> list[Slot]:
    """Cells of another preset or estimator, each group below the cell that it departs from."""
    groups: dict[str, list[str]] = {}
    for source in sources:
        if source.startswith("evaluate_nll/") and source.count("/") == 2:
            groups.setdefault(cell_departed_from(source), []).append(source)
    found = []
    for default, members in groups.items():
        variants = [source for source in members if source != default]
        known = [default] if variants and default in members else []
        for source in (*known, *variants):
            row, error = " ".join(source.split("/")[1:]), _measured_error(source, sources)
            found.append(Slot(row, "NLL", source, "nll_nats", "nats", error=error))
            if known and source != default:
                found.append(Slot(row, DIFFERENCE, source, "nll_nats", "nats", less=default))
            found += [
                Slot(row, "active z1", source, "active_units_z1", "units", "higher"),
                Slot(row, "active z2", source, "active_units_z2", "units", "higher"),
                Slot(row, "effective samples", source, "ess", "count", "higher"),
            ]
    return found


BOUND_KS = (1, 5, 50, 500, 5000)


AGREEMENT = "L_5000 − exact"


def exact_slots(sources: Sequence[str]) -> list[Slot]:
    found = []
    for source in sources:
        if source.startswith("evaluate_nll/exact/"):
            row = source.rpartition("/")[2]
            found.append(Slot(row, "exact log p(x)", source, "log_px_nats", "nats", "higher"))
            found += [Slot(row, f"L_{k}", source, f"bound_k{k}_nats", "nats", "higher") for k in BOUND_KS]
            found.append(Slot(row, AGREEMENT, source, "agreement", "nats", "higher"))
    return found


GAP, GAP_COLUMN, ERROR_RATIO = "test_minus_train_nats", "train minus test", "Monte Carlo error, measured over claimed"
REMOVAL = "change without inactive units"

# Columns of the diagnostics whose numbers come, or come better, from a job beside the evaluation.
MEASURED_BY_ITSELF = {GAP_COLUMN: "train_minus_test", ERROR_RATIO: "repeated", REMOVAL: "removed"}

# What is said of train minus test, and how far from it is the same: the paper gives ranges over the models of Table 1,
# the README of its released code says "about" of those of Table 3, which is taken as half a nat; ours.
_GAPS = {
    "mnist": ("train minus test, MNIST", 0.0),
    "omniglot": ("train minus test, OMNIGLOT", 0.0),
    "omniglot_rebuilt": ("train minus test, OMNIGLOT", 0.0),
    "binarized_mnist": ("train minus test, fixed binarization", 0.5),
    "mnist_fixed": ("train minus test, fixed binarization", 0.5),
}
_CELLS = {density_cell(objective, layers, k) for objective in ("vae", "iwae") for layers in LAYERS for k in KS}


def diagnostics_slots(sources: Sequence[str]) -> list[Slot]:
    """What Burda et al. say in running text of their models, and how far our L_k can be trusted."""
    found = []
    for source in sources:
        phase, dataset, cell = [*source.split("/"), "", ""][:3]
        if phase != "evaluate_nll" or dataset == "exact" or source.count("/") != 2:
            continue
        told, about = _GAPS.get(dataset, ("", 0.0)) if cell in _CELLS else ("", 0.0)  # of other models nothing is said
        gap = ("iwae_text", told, "log-likelihood") if told else None
        layer_2 = ("iwae_text", "active units in layer 2", "at most") if told and "-L2-" in cell else None
        removal = ("iwae_text", "test log-likelihood when inactive units are removed", "change below")
        columns: tuple[tuple[str, str, Unit, tuple[str, str, str] | None], ...] = (
            ("NLL", "nll_nats", "nats", None),
            (GAP_COLUMN, GAP, "nats", gap),
            (REMOVAL, "nll_change_without_inactive_nats", "nats", removal),
            ("active z1, released code's way", "active_units_z1_code", "units", None),
            ("active z2, released code's way", "active_units_z2_code", "units", layer_2),
            ("bias of L_k, jackknife", "bias_jackknife_nats", "nats", None),
            (ERROR_RATIO, "monte_carlo_ratio", "ratio", None),
            ("effective samples", "ess", "count", None),
            ("Pareto k above 0.7", "pareto_k_above_0.7", "fraction", None),
        )
        for column, metric, unit, at in columns:
            row, same = f"{dataset} {cell}", dataset in _GAPS and dataset != "omniglot_rebuilt"
            by_itself = f"{source}/{MEASURED_BY_ITSELF.get(column, '')}"
            where = by_itself if by_itself in sources else source
            error = _measured_error(source, sources) if metric == "nll_nats" else None
            better: Better = "within" if column == GAP_COLUMN else "at most" if at else "lower"
            margin = about if column == GAP_COLUMN else 0.0
            found.append(Slot(row, column, where, metric, unit, better, margin, at, same, error=error))
    return found


def annealing_slots(sources: Sequence[str]) -> list[Slot]:
    """How far L_k lies below log p(x), by annealed importance sampling, and how well that itself is known."""
    columns = (
        ("AIS NLL (nats)", "ais_nll_nats"),
        ("AIS above L_k (nats)", "ais_above_bound_nats"),
        ("simulated: upper above lower bound (nats)", "simulated_ais_gap_nats"),
        ("simulated: upper bound above L_k (nats)", "simulated_bound_gap_nats"),
    )
    return [
        Slot(" ".join(source.split("/")[1:3]), column, source, metric, "nats")
        for source in sources
        if source.endswith("/annealing")
        for column, metric in columns
    ]
