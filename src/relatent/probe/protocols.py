"""What is trained on what, and what is counted: the protocols of the two tables (Radford et al. 2016, sec. 5).

C is chosen on images that the final fit and the test never see, by mean accuracy, the smaller C on a tie. The
published few-label protocol chooses on the whole validation split, which holds more labels than the fit may use;
the honest variant chooses by cross-validation inside the few labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relatent.data.streams import stream
from relatent.probe.l2svm import L2SVM, cross_validate, fit_path
from relatent.progress import Progress


@dataclass(frozen=True)
class Labelled:
    """Features, (image, feature), and labels, (image,), of one split."""

    features: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if len(self.features) != len(self.labels):
            raise ValueError(f"{len(self.features)} rows of features for {len(self.labels)} labels")

    def __getitem__(self, rows: np.ndarray | slice) -> "Labelled":
        return Labelled(self.features[rows], self.labels[rows])

    def columns(self, start: int, stop: int) -> "Labelled":
        """The same images with some of the features."""
        return Labelled(self.features[:, start:stop], self.labels)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Choice:
    """A chosen C and the mean accuracy that each C had where it was chosen."""

    C: float
    accuracy_per_C: dict[float, float]


@dataclass(frozen=True)
class Full:
    """The protocol with all labels: predictions on the test images, and the machine that made them."""

    choice: Choice
    predictions: np.ndarray
    model: L2SVM


@dataclass(frozen=True)
class Few:
    """The protocol with few labels.

    Attributes:
        choice: of C; None where every draw chose its own (honest variant).
        C_per_draw: the C of each draw.
        predictions: (draw, test image).
        rows: (draw, label), which training images were labelled.
        n_choosing: draws made only to choose C.
    """

    choice: Choice | None
    C_per_draw: list[float]
    predictions: np.ndarray
    rows: np.ndarray
    n_choosing: int
    worst_gap: float


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Share of predictions that are right; a fraction."""
    return float(np.mean(predictions == labels))


def best_of(accuracies: dict[float, float]) -> Choice:
    """The C with the highest accuracy, the smallest of them on a tie."""
    top = max(accuracies.values())
    return Choice(min(C for C, value in accuracies.items() if value == top), accuracies)


def draw_labels(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of `per_class` images of every class, drawn without replacement, in the order of the rows.

    Raises:
        ValueError: a class has fewer images.
    """
    chosen = []
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        if len(rows) < per_class:
            raise ValueError(f"class {name} has {len(rows)} images, {per_class} labels per class are asked")
        chosen.append(rng.choice(rows, per_class, replace=False))
    return np.sort(np.concatenate(chosen))


def held_out(labels: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and `count` rows to choose C on, each class in its share; for sets without a validation split."""
    shares = {name: int(np.sum(labels == name)) * count / len(labels) for name in np.unique(labels)}
    counts = {name: int(share) for name, share in shares.items()}
    # Largest remainders get what rounding down left over.
    for name in sorted(shares, key=lambda name: counts[name] - shares[name])[: count - sum(counts.values())]:
        counts[name] += 1
    chosen = [rng.choice(np.flatnonzero(labels == name), counts[name], replace=False) for name in counts]
    validation = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def all_labels(
    train: Labelled, validation: Labelled, test: Labelled, C_values: Sequence[float], refit: bool, tol: float
) -> Full:
    """Choose C on the validation images, then fit and predict the test images.

    Args:
        refit: fit at the chosen C on training and validation images together; otherwise on the training images.
    """
    with Progress("all labels", len(C_values) + refit, "fits") as progress:
        models = fit_path(train.features, train.labels, C_values, tol)
        progress.advance(len(models))
        scored = {model.C: accuracy(model.predict(validation.features), validation.labels) for model in models}
        choice = best_of(scored)
        model = next(model for model in models if choice.C == model.C)
        if refit:
            features = np.concatenate([train.features, validation.features])
            model = fit_path(features, np.concatenate([train.labels, validation.labels]), [choice.C], tol)[0]
            progress.advance()
    return Full(choice, model.predict(test.features), model)


def few_labels(
    train: Labelled,
    validation: Labelled,
    test: Labelled,
    C_values: Sequence[float],
    per_class: int,
    draws: int,
    choosing_draws: int,
    seed: int,
    tol: float,
) -> Few:
    """Choose C by mean validation accuracy over some draws of labels, then test fresh draws at that C.

    Args:
        per_class: labels per class in a draw.
        draws, choosing_draws: draws tested, and draws that only choose C; no draw does both.
        seed: draw i holds the images of the stream (seed, "labelled draw", i); choosing draws come after the tested.
    """
    with Progress("few labels", draws + choosing_draws, "draws") as progress:
        sums = dict.fromkeys(C_values, 0.0)
        worst = 0.0
        for index in range(draws, draws + choosing_draws):
            drawn = train[draw_labels(train.labels, per_class, stream(seed, "labelled draw", index))]
            for model in fit_path(drawn.features, drawn.labels, C_values, tol):
                sums[model.C] += accuracy(model.predict(validation.features), validation.labels)
            progress.advance()
        choice = best_of({C: total / choosing_draws for C, total in sums.items()})
        rows, predictions = [], []
        for index in range(draws):
            rows.append(draw_labels(train.labels, per_class, stream(seed, "labelled draw", index)))
            drawn = train[rows[-1]]
            model = fit_path(drawn.features, drawn.labels, [choice.C], tol)[0]
            worst = max(worst, float((model.gap_ / model.objective_).max()))
            predictions.append(model.predict(test.features))
            progress.advance()
    return Few(choice, [choice.C] * draws, np.stack(predictions), np.stack(rows), choosing_draws, worst)


def few_labels_honest(
    train: Labelled,
    test: Labelled,
    C_values: Sequence[float],
    per_class: int,
    draws: int,
    folds: int,
    seed: int,
    tol: float,
) -> Few:
    """The same draws, C chosen by cross-validation inside each draw's own labels: no other label is looked at.

    Args:
        folds: parts of equal class shares; a draw's C has the best mean accuracy on the part left out.
    """
    rows, predictions, chosen = [], [], []
    worst = 0.0
    with Progress("few labels, honest", draws, "draws") as progress:
        for index in range(draws):
            rows.append(draw_labels(train.labels, per_class, stream(seed, "labelled draw", index)))
            drawn = train[rows[-1]]
            part = fold_of(drawn.labels, folds, stream(seed, "fold", index))
            chosen.append(best_of(cross_validate(drawn.features, drawn.labels, C_values, part, tol)).C)
            model = fit_path(drawn.features, drawn.labels, [chosen[-1]], tol)[0]
            worst = max(worst, float((model.gap_ / model.objective_).max()))
            predictions.append(model.predict(test.features))
            progress.advance()
    return Few(None, chosen, np.stack(predictions), np.stack(rows), 0, worst)


def fold_of(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The part, 0..folds - 1, of each image; each class is dealt out evenly, in random order."""
    part = np.empty(len(labels), int)
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        part[rng.permutation(rows)] = np.arange(len(rows)) % folds
    return part
