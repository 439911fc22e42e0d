"""The L2-SVM in the space of the rows, for fewer rows than features."""

import numpy as np
from scipy import linalg

from relatent.probe.newton import (
    CG_STEPS,
    NEWTON_STEPS,
    Array,
    Watch,
    cg_tolerance,
    conjugate_gradients,
    exact_step,
    hinge_slack,
)
from relatent.probe.rows import Answer, Rows, positive_factor

# A class is solved by a factorisation when at most OUTRIGHT * n^(2/3) of its n rows are inside their margin: about
# where a third of the cube of their number costs what thirty steps of conjugate gradients do.
OUTRIGHT = 9.0


class GramSpace:
    """For fewer rows than features: w = sum_i a_i x_i, and the problem is one of the n numbers a.

    The Gram matrix is made once for all classes, all C and, as sub-blocks, all draws of labels. If it was made in
    float32, its error is measured against the rows themselves and taken out, so that answers are those of float64.

    Args:
        rows: the training rows.
        gram: their Gram matrix as `Rows.gram` gives it, if it is there already.
    """

    def __init__(self, rows: Rows, gram: Array | None = None) -> None:
        self.rows = rows
        self.gram = rows.gram() if gram is None else gram
        self.diagonal = np.einsum("ii->i", self.gram).copy()
        self.factored: tuple[float, tuple] | None = None

    def solve(self, signs: Array, C: float, tol: float, start: Answer | None = None) -> Answer:
        """Least P for every class.

        Args:
            signs: (class, row) in {-1, 1}.
            C: weight of the squared slacks.
            tol: relative gap at which to stop; the best reached is returned and its gap tells how good it is.
            start: the answer for another C.
        """
        dual = np.zeros(signs.shape) if start is None or start.dual is None else start.dual
        offset = np.zeros(signs.shape)  # exact scores minus the Gram matrix's, at the last point where both were seen
        best: Answer | None = None
        steps = products = 0
        for _ in range(12):
            dual, new_steps, new_products = self._newton(signs, C, dual, offset, tol)
            steps, products = steps + new_steps, products + new_products + 2
            weights = self.rows.combine(dual)
            scores = self.rows.scores(weights)
            slack = hinge_slack(signs, scores)
            residual = dual - 2 * C * signs * slack
            objective = 0.5 * (weights**2).sum(axis=1) + C * (slack**2).sum(axis=1)
            # |grad P|^2 = r' K r; float32 products of K are off by less than the second term.
            squares = np.einsum("cn,cn->c", residual @ self.gram, residual)
            slip = self._rounding() * (np.abs(residual).sum(axis=1) * np.sqrt(self.diagonal.max())) ** 2
            gap = 0.5 * (np.maximum(squares, 0.0) + slip)
            answer = Answer(weights, scores, objective, gap, steps, products, dual)
            improved = best is None or gap.sum() < 0.5 * best.gap.sum()
            if best is None or gap.sum() < best.gap.sum():
                best = answer
            if (gap <= tol * objective).all() or not improved:
                break
            offset = scores - dual @ self.gram
        assert best is not None
        best.newton_steps, best.products = steps, products
        return best

    def _rounding(self) -> float:
        """Bound, in practice, on the relative error of an entry of the Gram matrix."""
        return float(np.finfo(np.float32 if self.rows.large else np.float64).eps) * np.sqrt(self.rows.shape[1])

    def _newton(self, signs: Array, C: float, dual: Array, offset: Array, tol: float) -> tuple[Array, int, int]:
        """Newton's method on a with scores K a + offset, until rounding or `tol` ends it for every class."""
        dual = dual.copy()
        scores = dual @ self.gram
        watch = Watch(len(signs))
        products = 1
        step = 0
        for step in range(NEWTON_STEPS):  # noqa: B007
            slack = hinge_slack(signs, scores + offset)
            residual = dual - 2 * C * signs * slack
            shape = residual @ self.gram
            size = np.maximum(np.einsum("cn,cn->c", shape, residual), 0.0)  # |grad P|^2
            objective = 0.5 * np.einsum("cn,cn->c", dual, scores) + C * (slack**2).sum(axis=1)
            # Four orders more than asked, because the last Newton step is nearly free and squares the error.
            going = watch.going(objective, size, 1e-4 * tol)
            if not len(going):
                break
            tolerance = cg_tolerance(size[going], objective[going], 1e-10)
            change, change_scores, more = self._step(residual[going], slack[going] > 0, C, tolerance)
            products += more + 2
            length = exact_step(
                signs[going],
                scores[going] + offset[going],
                change_scores,
                np.einsum("cn,cn->c", dual[going], change_scores),
                np.einsum("cn,cn->c", change, change_scores),
                C,
            )[:, None]
            dual[going] += length * change
            scores[going] += length * change_scores
        return dual, step, products

    def _step(self, residual: Array, inside: Array, C: float, tolerance: Array) -> tuple[Array, Array, int]:
        """Solve (I + 2 C D K) change = -residual, D picking the rows inside their margin; also K change, and products.

        A class with few rows inside is solved outright on those rows; the others share conjugate gradients.
        """
        change, change_scores = np.empty_like(residual), np.empty_like(residual)
        n = residual.shape[1]
        outright = inside.sum(axis=1) <= OUTRIGHT * n ** (2 / 3)
        for index in np.flatnonzero(outright):
            solved = self._outright(residual[index], inside[index], C)
            outright[index] = solved is not None
            if solved is not None:
                change[index] = solved
        change_scores[outright] = change[outright] @ self.gram
        rest = np.flatnonzero(~outright)
        if not len(rest):
            return change, change_scores, 0
        factor = self._factor(C)

        def apply(vectors: Array, shapes: Array, classes: Array) -> Array:
            return vectors + 2 * C * np.where(inside[rest[classes]], shapes, 0.0)

        def precondition(vectors: Array, _: Array) -> Array:
            return linalg.cho_solve(factor, vectors.T, check_finite=False).T

        change[rest], change_scores[rest], products = conjugate_gradients(
            apply, precondition, lambda vectors: vectors @ self.gram, -residual[rest], tolerance[rest], CG_STEPS
        )
        return change, change_scores, products

    def _outright(self, residual: Array, inside: Array, C: float) -> Array | None:
        """One class's Newton change by a factorisation; None if rounding made its matrix indefinite."""
        change = -residual  # what it must be outside the margin, where the answer is a_i = 0
        rows = np.flatnonzero(inside)
        if not len(rows):
            return change
        outer = np.flatnonzero(~inside & (residual != 0))
        target = change[rows] - 2 * C * (self.gram[np.ix_(rows, outer)] @ change[outer])
        matrix = 2 * C * self.gram[np.ix_(rows, rows)]
        np.einsum("ii->i", matrix)[:] += 1.0
        try:
            change[rows] = linalg.cho_solve(linalg.cho_factor(matrix, lower=True, check_finite=False), target)
        except linalg.LinAlgError:
            return None
        return change

    def _factor(self, C: float) -> tuple:
        """Cholesky factor of I + 2 C K, the Hessian with every row inside its margin: the preconditioner."""
        if self.factored is None or self.factored[0] != C:
            self.factored = C, positive_factor(2 * C * self.gram)
        return self.factored[1]
