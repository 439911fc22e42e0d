"""A linear transductive L2-SVM with the balance constraint (Joachims 1999; Sindhwani and Keerthi 2006).

For each class, over w and the labels y' in {-1, 1} of the unlabelled rows,

    1/2 |w|^2 + C [ sum over labelled  max(0, 1 - y f)^2  +  mu l/u  sum over unlabelled  max(0, 1 - y' f)^2 ]

with a fixed share r of y' = 1. For a given w the best y' is 1 for the rows with the largest f; for a given y' the best
w is an L2-SVM's. The two take turns, so the objective falls with each, while mu rises. This is no self-training: every
unlabelled row has a label at all times and may change it.
"""

from collections.abc import Sequence

import numpy as np

from relatent.probe.l2svm import class_signs, problem
from relatent.probe.rows import Answer

TURNS = 10


def fit_tsvm(
    labelled: np.ndarray,
    labels: np.ndarray,
    unlabelled: np.ndarray,
    C: float,
    unlabelled_weights: Sequence[float],
    tol: float = 1e-6,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights, (class, feature + 1), and the classes.

    Args:
        labelled, unlabelled: (row, feature).
        labels: of the labelled rows; a class's share among them is its share r among the unlabelled.
        unlabelled_weights: values of mu, rising.

    Raises:
        ValueError: fewer than two classes.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError("a transductive SVM needs labelled rows of at least two classes")
    known = class_signs(codes, len(classes))
    n_labelled, n_unlabelled = len(labelled), len(unlabelled)
    space = problem(np.concatenate([labelled, unlabelled]))
    positive = np.maximum(1, np.round((known > 0).mean(axis=1) * n_unlabelled)).astype(int)
    signs = np.hstack([known, np.zeros((len(known), n_unlabelled))])
    answer: Answer = space.solve(signs, C, tol)
    for mu in unlabelled_weights if n_unlabelled else ():
        size = np.sqrt(mu * n_labelled / n_unlabelled)
        previous = None
        for _ in range(TURNS):
            guessed = _largest(answer.scores[:, n_labelled:], positive)
            if previous is not None and (guessed == previous).all():
                break
            previous = guessed
            signs = np.hstack([known, size * guessed])
            answer = space.solve(signs, C, tol, answer)
    return answer.weights, classes


def _largest(scores: np.ndarray, count: np.ndarray) -> np.ndarray:
    """1 for the `count` largest scores of each class, -1 for the others."""
    signs = np.full(scores.shape, -1.0)
    for index, order in enumerate(np.argsort(-scores, axis=1, kind="stable")):
        signs[index, order[: count[index]]] = 1.0
    return signs


def predict(weights: np.ndarray, classes: np.ndarray, features: np.ndarray) -> np.ndarray:
    """The class with the largest score."""
    scores = features @ weights[:, :-1].T.astype(features.dtype) + weights[:, -1]
    return classes[(scores[:, 0] > 0).astype(int) if len(weights) == 1 else scores.argmax(axis=1)]
