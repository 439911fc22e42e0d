"""Probe one row's features: accuracy with all labels and with few, by the target's protocol."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relatent.cli.job import JobParser, run
from relatent.config.probe import ProbeSettings
from relatent.errors import ConfigError
from relatent.ledger.files import atomic_path, read_json, write_json

if TYPE_CHECKING:
    import numpy as np

    from relatent.probe.protocols import Few, Full


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

    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from relatent.data.streams import stream
    from relatent.probe import protocols
    from relatent.probe.protocols import Labelled

    labels = [np.load(job.inputs[name]) for name in ("train_labels", "validation_labels") if name in job.inputs]
    features = np.load(job.inputs["train"], mmap_mode="r")
    if settings.validation == "split":
        if len(labels) == 1:
            raise ConfigError(f"{job.cell}: the dataset has no validation split; set validation to a number of images")
        fit_rows, choose_rows = np.arange(len(labels[0])), np.arange(len(labels[0]), len(features))
    else:
        rng = stream(settings.few.seed if settings.few else 0, "validation images")
        fit_rows, choose_rows = protocols.held_out(np.concatenate(labels), settings.validation, rng)
    development = Labelled(features, np.concatenate(labels))
    train, validation = development[fit_rows], development[choose_rows]
    test = Labelled(np.load(job.inputs["test"]), np.load(job.inputs["test_labels"]))

    arrays: dict[str, np.ndarray] = {}
    layout = read_json(job.inputs["layout"])
    metrics: dict[str, Any] = {
        "feature_units": {"value": layout["units"], "unit": "count"},
        "features": {"value": layout["features"], "unit": "count"},
    }
    with threadpool_limits(settings.threads):
        if settings.all_labels:
            full = protocols.all_labels(train, validation, test, settings.C_values, settings.refit, settings.tol)
            arrays["full"] = full.predictions
            metrics["accuracy_full"] = _full(full, test.labels, len(train) + settings.refit * len(validation))
        if settings.few is not None:
            asked = settings.few
            few = protocols.few_labels(
                train, validation, test, settings.C_values, asked.labels_per_class, asked.draws, asked.choosing_draws,
                asked.seed, settings.tol,
            )  # fmt: skip
            arrays["few"], arrays["rows"] = few.predictions, few.rows
            metrics["accuracy_few"] = _few(few, test.labels, asked.seed)
            if asked.honest_folds:
                honest = protocols.few_labels_honest(
                    train, test, settings.C_values, asked.labels_per_class, asked.draws, asked.honest_folds, asked.seed,
                    settings.tol,
                )  # fmt: skip
                arrays["honest"] = honest.predictions
                metrics["accuracy_few_honest"] = _few(honest, test.labels, asked.seed)
    write_json(job.outputs["metrics"], metrics)
    with atomic_path(job.outputs["predictions"]) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
    job.finish(seeds=[settings.few.seed] if settings.few else [], threads=settings.threads)


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


def _few(few: "Few", labels: "np.ndarray", seed: int) -> dict[str, Any]:
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
        "seed": seed,
        "C": few.choice.C if few.choice else None,
        "C_per_draw": few.C_per_draw,
        "validation_accuracy": {f"{C:g}": v for C, v in few.choice.accuracy_per_C.items()} if few.choice else None,
        "objective_gap": few.worst_gap,
    }


if __name__ == "__main__":
    sys.exit(run(main))
