"""Probe one row's features: accuracy with all labels and with few, by the target's protocol."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relatent.cli.job import Job, JobParser, run
from relatent.config.protocol import ProbeSettings
from relatent.errors import ConfigError
from relatent.ledger.files import atomic_path, read_json, write_json

if TYPE_CHECKING:
    import numpy as np

    from relatent.probe.protocols import Few, Full, Labelled


def main(argv: Sequence[str] | None = None) -> None:
    """Read features and labels, fit, write metrics and predictions."""
    parser = JobParser("probe", "relatent.cli.probe", ProbeSettings, __doc__)
    parser.input("train", "features of training and validation images, in that order")
    parser.input("test")
    parser.input("layout", "JSON beside the features")
    parser.input("train_labels")
    parser.input("validation_labels", required=False)
    parser.input("test_labels")
    parser.output("metrics")
    parser.output("predictions", "npz: full (image,), few and honest (draw, image), rows (draw, label)")
    job = parser.parse(argv)
    settings = job.settings

    work = job.work("relatent.cli.probe", settings.threads)
    if not work.restore(job.outputs):
        _probe(job)
        work.keep(job.outputs)
    job.finish(seeds=[settings.few.seed] if settings.few else [], threads=settings.threads)


def _probe(job: Job[ProbeSettings]) -> None:
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    settings = job.settings
    train, validation, test = _splits(job)
    layout = read_json(job.inputs["layout"])
    arrays: dict[str, np.ndarray] = {}
    metrics: dict[str, Any] = {
        "feature_units": {"value": layout["units"], "unit": "count"},
        "features": {"value": layout["features"], "unit": "count"},
    }
    if "explained_variance" in layout:
        metrics["explained_variance"] = {"value": layout["explained_variance"], "unit": "fraction"}
    with threadpool_limits(settings.threads):
        _accuracies(settings, train, validation, test, metrics, arrays)
        if settings.by_layer and "layers" in layout:
            stops = np.cumsum(layout["layers"])
            for index, (start, stop) in enumerate(zip(stops - layout["layers"], stops, strict=True), start=1):
                fit, choose, held = (split.columns(int(start), int(stop)) for split in (train, validation, test))
                _accuracies(settings, fit, choose, held, metrics, {}, f"_layer{index}")
        for count in settings.curve:
            assert settings.few is not None
            metrics[f"accuracy_at_{count}"] = (
                metrics["accuracy_few"]
                if count == settings.few.labels_per_class
                else _few(_published(settings, train, validation, test, count), test.labels, settings)
            )
    write_json(job.outputs["metrics"], metrics)
    with atomic_path(job.outputs["predictions"]) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _splits(job: Job[ProbeSettings]) -> "tuple[Labelled, Labelled, Labelled]":
    """Features and labels to fit on, to choose C on, and to test on."""
    import numpy as np

    from relatent.data.streams import stream
    from relatent.probe.protocols import Labelled, held_out

    settings = job.settings
    labels = [np.load(job.inputs[name]) for name in ("train_labels", "validation_labels") if name in job.inputs]
    development = Labelled(np.load(job.inputs["train"], mmap_mode="r"), np.concatenate(labels))
    test = Labelled(np.load(job.inputs["test"]), np.load(job.inputs["test_labels"]))
    if settings.validation == "split":
        if len(labels) == 1:
            raise ConfigError(f"{job.cell}: the dataset has no validation split; set validation to a number of images")
        border = len(labels[0])
        return development[:border], development[border:], test
    rng = stream(settings.few.seed if settings.few else 0, "validation images")
    fit_rows, choose_rows = held_out(development.labels, settings.validation, rng)
    return development[fit_rows], development[choose_rows], test


def _accuracies(
    settings: ProbeSettings,
    train: "Labelled",
    validation: "Labelled",
    test: "Labelled",
    metrics: dict[str, Any],
    arrays: "dict[str, np.ndarray]",
    suffix: str = "",
) -> None:
    """Add the accuracies of all protocols, their names ending in `suffix`, and the predictions."""
    from relatent.probe.protocols import all_labels, few_labels_honest

    if settings.all_labels:
        full = all_labels(train, validation, test, settings.C_values, settings.refit, settings.tol)
        arrays["full"] = full.predictions
        n_labels = len(train) + settings.refit * len(validation)
        metrics["accuracy_full" + suffix] = _full(full, test.labels, n_labels)
    if settings.few is None:
        return
    asked = settings.few
    few = _published(settings, train, validation, test, asked.labels_per_class)
    arrays["few"], arrays["rows"] = few.predictions, few.rows
    metrics["accuracy_few" + suffix] = _few(few, test.labels, settings)
    if not suffix:  # Table 2 prints errors
        metrics["error_few"] = _as_error(metrics["accuracy_few"])
    if asked.honest_folds and not suffix:
        honest = few_labels_honest(
            train, test, settings.C_values, asked.labels_per_class, asked.draws, asked.honest_folds, asked.seed,
            settings.tol,
        )  # fmt: skip
        arrays["honest"] = honest.predictions
        metrics["accuracy_few_honest"] = _few(honest, test.labels, settings)


def _published(
    settings: ProbeSettings, train: "Labelled", validation: "Labelled", test: "Labelled", per_class: int
) -> "Few":
    from relatent.probe.protocols import few_labels

    asked = settings.few
    assert asked is not None
    return few_labels(
        train, validation, test, settings.C_values, per_class, asked.draws, asked.choosing_draws, asked.seed,
        settings.tol,
    )  # fmt: skip


def _full(full: "Full", labels: "np.ndarray", n_labels: int) -> dict[str, Any]:
    from relatent.probe.diagnostics import confusion, per_class, wilson

    value = float((full.predictions == labels).mean())
    low, high = wilson(value, len(labels))
    return {
        "value": value,
        "low": low,
        "high": high,
        "interval": "test sampling",
        "unit": "fraction",
        "stderr": (value * (1 - value) / len(labels)) ** 0.5,
        "n_images": len(labels),
        "n_labels": n_labels,
        "C": full.choice.C,
        "validation_accuracy": {f"{C:g}": score for C, score in full.choice.accuracy_per_C.items()},
        "per_class": per_class(full.predictions, labels),
        "confusion": confusion(full.predictions, labels),
        "objective_gap": float((full.model.gap_ / full.model.objective_).max()),
        "newton_steps": full.model.n_iter_,
    }


def _as_error(accuracy: dict[str, Any]) -> dict[str, Any]:
    """The same measurement as an error."""
    low, high = accuracy["low"], accuracy["high"]
    return {
        **{
            name: accuracy[name]
            for name in ("interval", "stderr", "sd", "spread_196_sd", "unit", "n_draws", "n_images")
        },
        "value": 1 - accuracy["value"],
        "per_draw": [1 - value for value in accuracy["per_draw"]],
        "low": None if high is None else 1 - high,
        "high": None if low is None else 1 - low,
    }


def _few(few: "Few", labels: "np.ndarray", settings: ProbeSettings) -> dict[str, Any]:
    from relatent.probe.diagnostics import draw_interval

    per_draw = (few.predictions == labels).mean(axis=1)
    value = float(per_draw.mean())
    sd = float(per_draw.std(ddof=1)) if len(per_draw) > 1 else None
    low, high = draw_interval(per_draw)
    return {
        "value": value,
        "per_draw": per_draw.tolist(),
        "sd": sd,
        "spread_196_sd": None if sd is None else 1.96 * sd,
        "low": low,
        "high": high,
        "interval": "draws",
        "stderr": (value * (1 - value) / len(labels)) ** 0.5,
        "unit": "fraction",
        "n_draws": len(per_draw),
        "n_choosing_draws": few.n_choosing,
        "n_labels": few.rows.shape[1],
        "n_images": len(labels),
        "seed": settings.few.seed if settings.few else None,
        "C": few.choice.C if few.choice else None,
        "C_per_draw": few.C_per_draw,
        "validation_accuracy": {f"{C:g}": v for C, v in few.choice.accuracy_per_C.items()} if few.choice else None,
        "objective_gap": few.worst_gap,
    }


if __name__ == "__main__":
    sys.exit(run(main))
