"""The few-label protocol for classifiers other than the L2-SVM: same draws, same images to choose on, same test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from relatent.data.streams import stream
from relatent.probe.protocols import accuracy, draw_labels
from relatent.progress import Progress

# (a setting, rows that are labelled, their labels) -> predictor of images or features -> labels
Fit = Callable[[Any, np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


@dataclass(frozen=True)
class RivalResult:
    """Attributes: as those of `protocols.Few`; `chosen` is the setting, `validation` the mean accuracy of each."""

    chosen: Any
    validation: list[float]
    predictions: np.ndarray
    rows: np.ndarray
    n_choosing: int
    chosen_accuracy: list[float]


def few_labels_with(
    fit: Fit,
    options: Sequence[Any],
    train_labels: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    per_class: int,
    draws: int,
    choosing_draws: int,
    seed: int,
) -> RivalResult:
    """Choose a setting by mean validation accuracy over some draws of labels, then predict the test with fresh draws.

    Args:
        fit: knows the training images, of which only the rows it is given have labels.
        options: settings to choose among; the first wins a tie. With one, nothing is chosen.
        validation: inputs and labels.
        test: inputs.
        per_class, draws, choosing_draws, seed: as for `protocols.few_labels`; the draws are the same.

    Returns:
        `chosen_accuracy` is the validation accuracy of each tested draw at the chosen setting.
    """
    total = draws + (choosing_draws * len(options) if len(options) > 1 else 0)
    with Progress("few labels", total, "fits") as progress:
        sums = np.zeros(len(options))
        for index in range(draws, draws + choosing_draws if len(options) > 1 else draws):
            rows = draw_labels(train_labels, per_class, stream(seed, "labelled draw", index))
            for place, option in enumerate(options):
                predictor = fit(option, rows, train_labels[rows])
                sums[place] += accuracy(predictor(validation[0]), validation[1])
                progress.advance()
        chosen = options[int(sums.argmax())]
        drawn, predictions, seen = [], [], []
        for index in range(draws):
            drawn.append(draw_labels(train_labels, per_class, stream(seed, "labelled draw", index)))
            predictor = fit(chosen, drawn[-1], train_labels[drawn[-1]])
            predictions.append(predictor(test))
            seen.append(accuracy(predictor(validation[0]), validation[1]))
            progress.advance()
    n_choosing = choosing_draws if len(options) > 1 else 0
    return RivalResult(
        chosen, (sums / max(1, n_choosing)).tolist(), np.stack(predictions), np.stack(drawn), n_choosing, seen
    )
