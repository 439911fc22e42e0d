"""From metrics with receipts, and the paper's numbers, to the cells of a table. All arithmetic of a table is here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relatent.config.report import PageSettings
from relatent.errors import DataIntegrityError
from relatent.report.cells import ADOPTED, TableCell, Verdict, cell_id
from relatent.report.reference import PaperNumber
from relatent.report.slots_dcgan import CODE_ENTROPY
from relatent.report.slots_iwae import AGREEMENT, GAP
from relatent.report.spec import Slot
from relatent.report.statistics import (
    Z_95,
    Interval,
    mean_interval,
    paired_difference,
    t_quantile,
    verdict_beside,
    wilson_interval,
    with_shared_error,
)

if TYPE_CHECKING:
    import numpy as np

Metrics = Mapping[str, Any]
PairedValues = Mapping[tuple[str, str], "np.ndarray"]
Reference = Mapping[str, Mapping[tuple[str, str], PaperNumber]]


def build_cells(
    slots: Sequence[Slot],
    documents: Mapping[str, Metrics],
    receipts: Mapping[str, str],
    reference: Reference,
    settings: PageSettings,
    values: PairedValues,
) -> list[TableCell]:
    """The cells of a table, in the order of its slots.

    Args:
        documents: source → its metrics.json (of data, its checks.json) as read.
        receipts: source → path of the receipt that proves it.
        reference: file stem → the paper's numbers.
        values: (source, metric) → (seed, image), for the slots that are paired differences.

    Raises:
        DataIntegrityError: a metric is not where it should be, or the paper's number is not in the reference.
    """
    return [_cell(slot, documents, receipts, reference, settings, values) for slot in slots]


def _cell(
    slot: Slot,
    documents: Mapping[str, Metrics],
    receipts: Mapping[str, str],
    reference: Reference,
    settings: PageSettings,
    values: PairedValues,
) -> TableCell:
    paper = _paper(slot, reference)
    cell = TableCell(
        row=slot.row,
        column=slot.column,
        paper=paper.value if paper else None,
        paper_spread=paper.spread if paper else None,
        paper_sureness=paper.sureness if paper else "",
        ours=None,
        ours_low=None,
        ours_high=None,
        interval="",
        n_seeds=None,
        n_draws=None,
        unit=slot.unit,
        effort=settings.effort,
        preset="",
        data=settings.dataset_of(slot.source) if slot.source else "",
        verdict="not run" if slot.source else "quoted",
        cell_id=cell_id(settings.name, slot.row, slot.column),
        receipt="",
    )
    if slot.source not in documents:
        return replace(cell, effort="", data="")
    metric = find_metric(documents[slot.source], slot, slot.source)
    if metric is None:  # a row that has no such column, e.g. one layer has no second
        return replace(cell, effort="", data="")
    receipt = receipts[slot.source]
    if slot.error is not None and len(metric.get("per_seed") or []) < 2:  # several: their spread is printed
        source, name = slot.error
        metric = {**metric, "stderr": documents[source][name]["value"]}
        receipt = f"{receipt} {receipts[source]}"
    if slot.less:
        metric = _less(slot, values)
        receipt = f"{receipt} {receipts[slot.less]}"
    value, interval = measured(metric)
    if slot.unit == "share":  # of a mean, not of a count of images
        interval = None
    preset = settings.presets.get(slot.source, "")
    at_least = metric.get("bound") == "at least"
    verdict = _verdict(slot, settings.effort, paper, value, interval)
    if slot.column == AGREEMENT:
        verdict = "reproduced" if interval and interval.low <= 0 <= interval.high else "worse"
    return replace(
        cell,
        ours=value,
        ours_low=value if at_least else interval.low if interval else None,
        ours_high=interval.high if interval else None,
        interval="at least" if at_least else interval.over if interval else "",
        n_seeds=len(metric["per_seed"]) if metric.get("per_seed") else None,
        n_draws=len(metric["per_draw"]) if metric.get("per_draw") else None,
        preset=", ".join(filter(None, (preset, ADOPTED if slot.source in settings.adopted else ""))),
        verdict=verdict,
        receipt=receipt,
    )


def _paper(slot: Slot, reference: Reference) -> PaperNumber | None:
    if slot.reference is None:
        return None
    stem, row, column = slot.reference
    return reference[stem].get((row, column))


def find_metric(document: Metrics, slot: Slot, where: str) -> Metrics | None:
    """The metric a slot shows, as a mapping with "value"; None if the cell has no such metric.

    Raises:
        DataIntegrityError: the metric is not a number.
    """
    if slot.metric == "agreement":
        return _agreement(document, where) if "bound_k5000_nats" in document else None
    found = document.get(slot.metric)
    metric = found if isinstance(found, Mapping) else {"value": found}
    if slot.metric == GAP and metric and "interval" not in metric:
        metric = {**metric, **_error_of_gap(document)}
    if slot.metric == CODE_ENTROPY and _at_ceiling(metric, document):
        metric = {**metric, "bound": "at least"}
    if metric.get("value") is None:  # e.g. the precision of removals where nothing was removed
        return None
    if not isinstance(metric.get("value"), (int, float)) or isinstance(metric["value"], bool):
        raise DataIntegrityError(f"{where}: metric {slot.metric} has no number as its value. Make the cell again.")
    return metric


def _less(slot: Slot, values: PairedValues) -> Metrics:
    """A paired difference as a metric."""
    a, b = values[slot.source, slot.metric], values[slot.less, slot.metric]
    found = paired_difference(a, b)
    ends = {} if found.interval is None else {"low": found.interval.low, "high": found.interval.high}
    over = found.interval.over if found.interval is not None else ""
    per_seed = (a[: found.n_seeds] - b[: found.n_seeds]).mean(axis=1).tolist()
    return {"value": found.mean, "interval": over, "per_seed": per_seed, **ends}


def _at_ceiling(metric: Metrics, document: Metrics) -> bool:
    """Whether an entropy is, as printed, the log2 n that n codes as found cannot exceed."""
    n, value = document.get("n_images", {}).get("value"), metric.get("value")
    return bool(n) and value is not None and value > math.log2(n) - 0.05


def _agreement(document: Metrics, where: str) -> Metrics:
    """L_5000 minus the exact value, with three standard errors and the first-order bias as its interval.

    The bias of L_k is to first order -mu2 / (2 k mu^2) (Nowozin 2018), so the interval reaches further up than down.
    """
    try:
        exact, bound = document["log_px_nats"]["value"], document["bound_k5000_nats"]
        difference = bound["value"] - exact
        reach, bias = 3 * bound["stderr"], abs(bound.get("bias_first_order") or 0.0)
    except (KeyError, TypeError) as error:
        raise DataIntegrityError(f"{where}: no {error} to compare the bound with. Make the cell again.") from None
    return {
        "value": difference,
        "low": difference - reach,
        "high": difference + reach + bias,
        "interval": "monte carlo",
    }


def _error_of_gap(document: Metrics) -> Metrics:
    """Of cells adopted before their gap's error held what other training and test images would change."""
    errors = [document.get(name, {}).get("test_sampling_stderr") for name in ("nll_nats", "train_nll_nats")]
    return {"stderr": None if None in errors else math.hypot(*errors), "interval": "test sampling"}


def measured(metric: Metrics) -> tuple[float, Interval | None]:
    """Value and 95 % interval of a metric.

    The interval that the metric brings comes first; else the largest known source of chance decides: several seeds,
    else several draws of labels, else a proportion's test sampling, else the standard error. A standard error is of
    Monte Carlo if the metric does not say of what; where it does, that of a proportion is taken too, and seeds, which
    are measured on the same images, share it: it is added to their spread. The far smaller Monte Carlo error that they
    share is left out.
    """
    value, stderr, said = metric["value"], metric.get("stderr"), metric.get("interval")
    regressed = said == "regression" and metric.get("n_scored", 0) > 2
    reach = t_quantile(metric["n_scored"] - 2) if regressed else Z_95
    if metric.get("low") is not None and metric.get("high") is not None:
        return value, Interval(metric["low"], metric["high"], metric.get("interval", "test sampling"))
    for key, over in (("per_seed", "seeds"), ("per_draw", "draws")):
        values = metric.get(key) or []
        if len(values) > 1:
            interval = mean_interval(values, over)
            if key == "per_seed" and said and stderr is not None:
                interval = with_shared_error(interval, reach * stderr, said)
            if metric.get("unit") == "fraction":  # Student does not know that there is nothing below 0 or above 1
                interval = replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))
            return value, interval
    if metric.get("unit") == "fraction" and metric.get("n_images") and "interval" not in metric:
        return value, wilson_interval(value, metric["n_images"])
    if stderr is not None:
        return value, Interval(value - reach * stderr, value + reach * stderr, said or "monte carlo")
    return value, None


def _verdict(slot: Slot, effort: str, paper: PaperNumber | None, value: float, interval: Interval | None) -> Verdict:
    """DESIGN 4.8: a shorter schedule, other data or fewer images are not comparable, whatever the numbers say."""
    if paper is None or (effort != "paper" and not slot.any_effort) or not slot.same_data:
        return "not comparable"
    margin = slot.margin + (paper.spread or 0.0 if slot.better == "within" else 0.0)
    return verdict_beside(paper.value, paper.rounding, value, interval, margin, slot.better)
