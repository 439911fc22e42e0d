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
from relatent.probe.primal import PrimalSpace
from relatent.probe.rows import Answer, Rows, positive_factor

# A class is solved by a factorisation when at most OUTRIGHT * n^(2/3) of its n rows are inside their margin: about
# where a third of the cube of their number costs what thirty steps of conjugate gradients do.
OUTRIGHT = 9.0
# Residual sought, relatively, where a float32 factor is refined: a Newton step need not be better.
REFINED = np.array([1e-9])
# From how many rows on a first guess is made with a quarter of them.
ROUGH_ROWS = 400


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
        self.largest = float(np.abs(self.gram).sum(axis=0).max())  # at least the largest eigenvalue
        self.factored: tuple[float, tuple] | None = None

    def solve(self, signs: Array, C: float, tol: float, start: Answer | None = None) -> Answer:
        """Least P for every class.

        Args:
            signs: (class, row), -1 or 1; 0 leaves a row out, and s counts a row's squared slack s^2 times.
            C: weight of the squared slacks.
            tol: relative gap at which to stop; the best reached is returned and its gap tells how good it is.
            start: the answer for another C.
        """
        dual = self._rough(signs, C) if start is None or start.dual is None else start.dual
        # Exact scores minus the Gram matrix's, at the last point where both were seen.
        offset = np.zeros(signs.shape) if start is None or start.dual is None else start.scores - start.dual @ self.gram
        best: Answer | None = None
        steps = products = 0
        for turn in range(12):
            # Before the float32 error is known, solving to more than it allows would be in vain.
            goal = 1e-8 if self.rows.large and turn == 0 and start is None else 1e-2 * tol
            dual, new_steps, new_products = self._newton(signs, C, dual, offset, goal)
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
        if (best.gap > tol * best.objective).any():
            # Where features are of very different size, w is small beside the terms a_i x_i it is the sum of, and a
            # holds too few digits of it; w itself holds enough.
            polished = PrimalSpace(self.rows).solve(signs, C, tol, best)
            if polished.gap.sum() < best.gap.sum():
                polished.dual = best.dual
                return polished
        return best

    def _rough(self, signs: Array, C: float) -> Array:
        """A first guess: nothing for few rows, else roughly the answer for every fourth row, each counted four times.

        It finds most of the rows that end inside their margin at a small part of the price of a step with all rows.
        """
        dual = np.zeros(signs.shape)
        if signs.shape[1] > ROUGH_ROWS:
            part = GramSpace(self.rows, np.ascontiguousarray(self.gram[::4, ::4]))
            few = np.ascontiguousarray(signs[:, ::4])
            guess = part._rough(few, 4 * C)
            dual[:, ::4] = part._newton(few, 4 * C, guess, np.zeros(few.shape), 1e-3)[0]
        return dual

    def _rounding(self) -> float:
        """Bound, in practice, on the relative error of an entry of the Gram matrix."""
        return float(np.finfo(np.float32 if self.rows.large else np.float64).eps) * np.sqrt(self.rows.shape[1])

    def _newton(self, signs: Array, C: float, dual: Array, offset: Array, goal: float) -> tuple[Array, int, int]:
        """Newton's method on a with scores K a + offset, until |grad P|^2 / P is at `goal` or rounding ends it."""
        dual = dual.copy()
        scores = dual @ self.gram
        watch = Watch(len(signs))
        products = 1
        step = 0
        for step in range(NEWTON_STEPS):  # noqa: B007
            slack = hinge_slack(signs, scores + offset)
            residual = dual - 2 * C * signs * slack
            size = self.largest * (residual**2).sum(axis=1)  # at least |grad P|^2 = r' K r
            objective = 0.5 * np.einsum("cn,cn->c", dual, scores) + C * (slack**2).sum(axis=1)
            going = watch.going(objective, size, goal)
            if not len(going):
                break
            tolerance = cg_tolerance(size[going], objective[going], 1e-10)
            change, change_scores, more = self._step(
                residual[going], slack[going] > 0, np.abs(signs[going]), C, tolerance
            )
            products += more + 1
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

    def _step(
        self, residual: Array, inside: Array, sizes: Array, C: float, tolerance: Array
    ) -> tuple[Array, Array, int]:
        """Solve (I + 2 C D K) change = -residual; also K change, and products. D is sizes^2 for rows inside.

        Outside the margin the change is -residual, where the answer is a_i = 0. Inside, with change = sizes v, what
        is left is symmetric: (I + 2 C sizes K sizes) v = target. A class with few rows inside is solved outright on
        those rows, the others share conjugate gradients.
        """
        change = np.where(inside, 0.0, -residual)
        moved = np.flatnonzero(change.any(axis=0))  # mostly rows that have just left their margin
        pull = change[:, moved] @ self.gram[moved] if 8 * len(moved) < len(self.gram) else change @ self.gram
        sizes = np.where(inside, sizes, 0.0)
        target = np.divide(-residual, sizes, out=np.zeros_like(residual), where=inside) - 2 * C * sizes * pull
        products = 2
        outright = inside.sum(axis=1) <= OUTRIGHT * residual.shape[1] ** (2 / 3)
        for index in np.flatnonzero(outright):
            rows = np.flatnonzero(inside[index])
            solved = self._outright(target[index, rows], rows, sizes[index, rows], C)
            outright[index] = solved is not None
            if solved is not None:
                change[index, rows] = sizes[index, rows] * solved
        rest = np.flatnonzero(~outright)
        if len(rest):
            factor = self._factor(C)

            def apply(vectors: Array, _: Array, classes: Array) -> Array:
                scale = sizes[rest[classes]]
                return vectors + 2 * C * scale * ((scale * vectors) @ self.gram)

            def precondition(vectors: Array, classes: Array) -> Array:
                solved = linalg.cho_solve(factor, vectors.T, check_finite=False).T
                return np.where(inside[rest[classes]], solved, 0.0)

            # This inner product weighs an error of the scores less than P does, hence the tighter tolerance.
            found, _, more = conjugate_gradients(
                apply, precondition, lambda vectors: vectors, target[rest], 1e-2 * tolerance[rest], CG_STEPS
            )
            change[rest] += sizes[rest] * found
            products += more
        return change, change @ self.gram, products

    def _outright(self, target: Array, rows: Array, sizes: Array, C: float) -> Array | None:
        """(I + 2 C sizes K sizes)^-1 target on some rows, factored; None if rounding made the matrix indefinite."""
        matrix = self.gram[rows].take(rows, axis=1)
        matrix *= 2 * C
        if (sizes != 1).any():
            matrix *= sizes
            matrix *= sizes[:, None]
        np.einsum("ii->i", matrix)[:] += 1.0
        if self.rows.large and len(rows) > ROUGH_ROWS:
            found = _refined(matrix, target)
            if found is not None:
                return found
        try:
            # The transpose of a symmetric matrix is itself, and in the order that LAPACK can work in without a copy.
            factor = linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            return None
        return linalg.cho_solve(factor, target, check_finite=False)

    def _factor(self, C: float) -> tuple:
        """Cholesky factor of I + 2 C K, the Hessian with every row inside its margin: the preconditioner."""
        if self.factored is None or self.factored[0] != C:
            self.factored = C, positive_factor(2 * C * self.gram)
        return self.factored[1]


def _refined(matrix: Array, target: Array) -> Array | None:
    """Solve with a float32 factor, half the price, and take its error out with float64 products; None if it cannot."""
    try:
        factor = linalg.cho_factor(matrix.T.astype(np.float32, order="F"), True, True, check_finite=False)
    except linalg.LinAlgError:
        return None

    def precondition(vectors: Array, _: Array) -> Array:
        return linalg.cho_solve(factor, vectors[0].astype(np.float32), check_finite=False)[None].astype(np.float64)

    found, _, products = conjugate_gradients(
        lambda vectors, _, __: vectors @ matrix, precondition, lambda vectors: vectors, target[None], REFINED, 12
    )
    return found[0] if products < 12 else None
