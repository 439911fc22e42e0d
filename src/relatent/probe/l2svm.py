"""The linear probe: an L2-regularised squared-hinge SVM, solved exactly (liblinear's objective, our solver)."""

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from relatent.probe.gram import GramSpace
from relatent.probe.newton import Array
from relatent.probe.primal import PrimalSpace
from relatent.probe.rows import Answer, Rows


class L2SVM(ClassifierMixin, BaseEstimator):
    """Linear SVM with squared hinge loss and L2 penalty, one class against the rest.

    For each class with y in {-1, 1} it minimises, over w and b together,

        P = 1/2 (|w|^2 + b^2) + C sum_i max(0, 1 - y_i (w.x_i + b))^2,

    the objective of scikit-learn's LinearSVC at its defaults (liblinear, Fan et al. 2008), the intercept regularised
    as there. All classes are solved together, in the space of the rows when there are fewer rows than features and of
    the features otherwise. P is 1-strongly convex, so 1/2 |grad P|^2 bounds how far an answer is from the optimum:
    `gap_` is that bound, and an answer whose bound exceeds `tol` comes with a ConvergenceWarning.

    Args:
        C: weight of the squared slacks, positive and finite.
        tol: bound sought on (P - min P) / P.

    Attributes after `fit` (class stands for 1 when there are two classes, as in LinearSVC):
        classes_: labels, sorted.
        coef_, intercept_: (class, feature) and (class,), float64.
        objective_, gap_: (class,), P and the bound on P - min P.
        n_iter_: Newton steps.
        converged_: whether every gap_ is within tol.
    """

    def __init__(self, C: float = 1.0, *, tol: float = 1e-13) -> None:
        self.C = C
        self.tol = tol

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Fit to rows X, (row, feature), finite numbers, and their labels y, (row,).

        Raises:
            ValueError: C is not positive and finite, X holds NaN or infinity, or fewer than two classes are there.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], order="C")
        check_classification_targets(y)
        _check_C(self.C)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"L2SVM needs at least two classes, y has 1 class only ({self.classes_[0]!r}); give rows of another"
            )
        space = problem(X)
        return self._take(space.solve(class_signs(codes, len(self.classes_)), float(self.C), self.tol))

    def _take(self, answer: Answer) -> Self:
        self.coef_ = answer.weights[:, :-1]
        self.intercept_ = answer.weights[:, -1]
        self.objective_, self.gap_ = answer.objective, answer.gap
        self.n_iter_ = answer.newton_steps
        self.converged_ = _warn(answer, self.C, self.tol)
        return self

    def decision_function(self, X: Any) -> Array:
        """w x + b of each row: (row, class), or (row,) for two classes, positive for the second."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False, order="C")
        scores = Rows(X).scores(np.column_stack([self.coef_, self.intercept_])).T
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The label of the largest score; the lower label on a tie."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


def fit_path(
    X: Array, y: Array, C_values: Sequence[float], tol: float = 1e-13, gram: Array | None = None
) -> list[L2SVM]:
    """One fitted L2SVM per C, in the order given.

    What does not depend on C, such as the Gram matrix, is made once; each C starts from the answer of the next
    smaller one.

    Args:
        X, y: as for `L2SVM.fit`.
        C_values: positive, finite.
        gram: X X' + 1, (row, row), if it is there already, for instance as a block of a larger one.
    """
    for C in C_values:
        _check_C(C)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"fit_path needs at least two classes, y has 1 class only ({classes[0]!r})")
    space, signs = problem(X, gram), class_signs(codes, len(classes))
    fitted: dict[float, L2SVM] = {}
    answer: Answer | None = None
    for C in sorted(set(C_values)):
        answer = space.solve(signs, float(C), tol, answer)
        model = L2SVM(C=C, tol=tol)
        model.classes_, model.n_features_in_ = classes, X.shape[1]
        fitted[C] = model._take(answer)
    return [fitted[C] for C in C_values]


def cross_validate(
    X: Array, y: Array, C_values: Sequence[float], part: Array, tol: float = 1e-13
) -> dict[float, float]:
    """Mean accuracy on the part left out, for each C; all parts and all classes are one problem over the same rows.

    Args:
        part: (row,), the part, 0, 1, ..., that each row belongs to; each is left out once.

    Raises:
        ValueError: a class lies in one part alone, so that it would be missing where that part is left out.
    """
    classes, codes = np.unique(y, return_inverse=True)
    parts = np.unique(part)
    if any(len(np.unique(part[codes == index])) < 2 for index in range(len(classes))):
        raise ValueError("a class lies in one part alone; use fewer parts or more rows per class")
    signs = class_signs(codes, len(classes))
    kept = part != parts[:, None]
    masked = (signs * kept[:, None]).reshape(-1, len(X))
    space = problem(X)
    accuracies = {}
    answer: Answer | None = None
    for C in sorted(set(C_values)):
        _check_C(C)
        answer = space.solve(masked, float(C), tol, answer)
        scores = answer.scores.reshape(len(parts), len(signs), len(X))
        found = (scores[:, 0] > 0).astype(int) if len(signs) == 1 else scores.argmax(axis=1)
        accuracies[C] = float(np.mean([(found == codes)[index, ~kept[index]].mean() for index in range(len(parts))]))
        _warn(answer, C, tol)
    return {C: accuracies[C] for C in C_values}


def problem(X: Array, gram: Array | None = None) -> GramSpace | PrimalSpace:
    """The space to solve in: of the rows if they are fewer than the features, else of the features."""
    rows = Rows(np.ascontiguousarray(X))
    n, d = rows.shape
    return GramSpace(rows, gram) if n < d or gram is not None else PrimalSpace(rows)


def class_signs(codes: Array, n_classes: int) -> Array:
    """One row of -1 and 1 per class, (class, row); a single row, positive for the second, if there are two."""
    classes = [1] if n_classes == 2 else range(n_classes)
    return np.stack([np.where(codes == index, 1.0, -1.0) for index in classes])


def _check_C(C: Any) -> None:
    if not (isinstance(C, Real) and 0 < float(C) < np.inf):
        raise ValueError(f"C must be a positive, finite number, got {C!r}")


def _warn(answer: Answer, C: float, tol: float) -> bool:
    """Whether an answer's proven gap is within tol; a warning if not."""
    if (answer.gap <= tol * answer.objective).all():
        return True
    worst = float((answer.gap / np.maximum(answer.objective, np.finfo(float).tiny)).max())
    warnings.warn(
        f"L2SVM at C={C:g}: the objective is proven within {worst:.1e} of its optimum, relatively; tol asks {tol:.1e}. "
        "The data may be badly scaled: scale the features, or lower C, or raise tol.",
        ConvergenceWarning,
        stacklevel=4,
    )
    return False
