"""A rival of the linear probe on few labels: nearest neighbours, TSVM, M1 + M2, SWWAE, or a supervised CNN."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relatent.cli.job import Job, JobParser, run
from relatent.config.rivals import KnnRow, M2Row, RivalSettings, SupervisedRow, SwwaeRow, TsvmRow
from relatent.errors import ConfigError
from relatent.ledger.files import atomic_path, write_json

if TYPE_CHECKING:
    import numpy as np

    from relatent.probe.rivals import Fit, RivalResult


def main(argv: Sequence[str] | None = None) -> None:
    """Read features or images and labels, fit, write metrics and predictions."""
    parser = JobParser("rival", "relatent.cli.rival", RivalSettings, __doc__)
    parser.input("train", "features or images: of training and validation images for features, training for images")
    parser.input("validation", "validation images; features have them in train", required=False)
    parser.input("test")
    parser.input("train_labels")
    parser.input("validation_labels", required=False)
    parser.input("test_labels")
    parser.output("metrics")
    parser.output("predictions", "npz: few (draw, image), rows (draw, label)")
    job = parser.parse(argv)

    from relatent.training.runtime import configure_torch

    settings = job.settings
    determinism = configure_torch(settings.threads)
    work = job.work("relatent.cli.rival", settings.threads)
    if not work.restore(job.outputs):
        _judge(job)
        work.keep(job.outputs)
    job.finish(seeds=[settings.few.seed], threads=settings.threads, determinism=determinism)


def _judge(job: Job[RivalSettings]) -> None:
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from relatent.data.streams import stream
    from relatent.probe.protocols import held_out
    from relatent.probe.rivals import few_labels_with

    settings, few = job.settings, job.settings.few
    labels = [np.load(job.inputs[name]) for name in ("train_labels", "validation_labels") if name in job.inputs]
    inputs = [np.load(job.inputs[name]) for name in ("train", "validation") if name in job.inputs]
    data, names = np.concatenate(inputs), np.concatenate(labels)
    if settings.validation == "split":
        if len(labels) == 1:
            raise ConfigError(f"{job.cell}: the dataset has no validation split; set validation to a number of images")
        fit_rows, choose_rows = np.arange(len(labels[0])), np.arange(len(labels[0]), len(names))
    else:
        fit_rows, choose_rows = held_out(names, settings.validation, stream(few.seed, "validation images"))
    test, answers = np.load(job.inputs["test"]), np.load(job.inputs["test_labels"])
    with threadpool_limits(settings.threads):
        fit, options = _rival(settings.row, data[fit_rows])
        result = few_labels_with(
            fit, options, names[fit_rows], (data[choose_rows], names[choose_rows]), test, few.labels_per_class,
            few.draws, few.choosing_draws, few.seed,
        )  # fmt: skip
    write_json(job.outputs["metrics"], _metrics(result, options, answers, few.seed))
    with atomic_path(job.outputs["predictions"]) as temporary:
        np.savez(temporary, few=result.predictions, rows=result.rows)


def _rival(row: Any, train: "np.ndarray") -> "tuple[Fit, list[Any]]":
    """How to fit the rival on some labelled rows of `train`, and the settings to choose among."""
    import numpy as np

    if isinstance(row, KnnRow):
        from relatent.probe.baselines.knn import nearest_labels

        return lambda k, rows, labels: lambda x: nearest_labels(train[rows], labels, x, k), row.neighbours
    if isinstance(row, TsvmRow):
        from relatent.probe.baselines import tsvm

        def transductive(C: float, rows: np.ndarray, labels: np.ndarray) -> Any:
            others = np.setdiff1d(np.arange(len(train)), rows)
            stride = max(1, -(-len(others) // max(1, row.unlabelled)))
            unlabelled = train[others[::stride]] if row.unlabelled else train[:0]
            found = tsvm.fit_tsvm(train[rows], labels, unlabelled, C, row.unlabelled_weights)
            return lambda x: tsvm.predict(*found, x)

        return transductive, row.C_values
    if isinstance(row, M2Row):
        from relatent.probe.baselines import m1m2

        def m2(alpha: float, rows: np.ndarray, labels: np.ndarray) -> Any:
            found = m1m2.train_m2(
                train, rows, labels, row.hidden, row.latents, row.epochs, alpha * len(train) / len(rows),
                row.learning_rate, row.batch_size, row.seed,
            )  # fmt: skip
            return lambda x: m1m2.m2_predict(*found, x)

        return m2, row.alpha
    if isinstance(row, SwwaeRow):
        from relatent.probe.baselines import swwae

        def what_where(weight: float, rows: np.ndarray, labels: np.ndarray) -> Any:
            found = swwae.train_swwae(
                train, rows, labels, row.width, row.dropout, weight, row.epochs, row.learning_rate, row.batch_size,
                row.seed,
            )  # fmt: skip
            return lambda x: swwae.predict(*found, x)

        return what_where, row.reconstruction
    assert isinstance(row, SupervisedRow)
    from relatent.probe.baselines import supervised

    def convolutional(index: int, rows: np.ndarray, labels: np.ndarray) -> Any:
        trial = supervised.draw_trial(row.seed, index)
        found = supervised.train_classifier(row.net, train[rows], labels, trial, row.epochs, row.batch_size, row.seed)
        return lambda x: supervised.predict(*found, x)

    return convolutional, list(range(row.trials))


def _metrics(result: "RivalResult", options: list[Any], labels: "np.ndarray", seed: int) -> dict[str, Any]:
    from relatent.probe.diagnostics import draw_interval

    right = (result.predictions == labels).mean(axis=1)
    low, high = draw_interval(right)
    shared = {
        "sd": float(right.std(ddof=1)) if len(right) > 1 else None,
        "stderr": float((right.mean() * (1 - right.mean()) / len(labels)) ** 0.5),
        "interval": "draws",
        "unit": "fraction",
        "n_draws": len(right),
        "n_choosing_draws": result.n_choosing,
        "n_labels": result.rows.shape[1],
        "n_images": len(labels),
        "seed": seed,
        "chosen": result.chosen,
        "options": options,
        "validation_accuracy": result.validation,
    }
    seen = result.chosen_accuracy
    return {
        "accuracy_few": {"value": float(right.mean()), "per_draw": right.tolist(), "low": low, "high": high, **shared},
        "error_few": {
            **shared,
            "value": 1 - float(right.mean()),
            "per_draw": (1 - right).tolist(),
            "low": None if high is None else 1 - high,
            "high": None if low is None else 1 - low,
        },
        "error_validation": {
            "value": 1 - sum(seen) / len(seen),
            "per_draw": [1 - value for value in seen],
            "unit": "fraction",
            "n_draws": len(seen),
        },
    }


if __name__ == "__main__":
    sys.exit(run(main))
