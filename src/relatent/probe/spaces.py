"""Two spaces in which the L2-SVM is solved, chosen by shape: rows against rows (Gram), or features against features.

The problem of one class, with y in {-1, 1} and the constant 1 appended to every row as its last feature, is

    P(w) = 1/2 |w|^2 + C sum_i max(0, 1 - y_i w.x_i)^2,

liblinear's objective (Fan et al. 2008): the intercept is part of w and regularised with it. P is 1-strongly convex,
hence the certificate used throughout: P(w) - min P <= 1/2 |grad P(w)|^2.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from relatent.probe.newton import Array, Operator, conjugate_gradients, exact_step, hinge_slack

# Bytes of a block of rows that is cast to float64 for an exact product: small enough for the cache of one core.
BLOCK_BYTES = 4 << 20
# From this many multiplications on, products inside the solver are made in float32 and their error is taken out again.
LARGE_PRODUCT = 2e10
NEWTON_STEPS = 100
CG_STEPS = 200
# A class is solved by a factorisation when at most OUTRIGHT * n^(2/3) of its n rows are inside their margin: about
# where a third of the cube of their number costs what thirty steps of conjugate gradients do.
OUTRIGHT = 9.0
# In the space of features: when it costs no more than this many passes over the rows for one class.
OUTRIGHT_PASSES = 60


@dataclass
class Answer:
    """One C's solution for all classes.

    Attributes:
        weights: (class, feature + 1), the intercept last; float64.
        scores: (class, row), w x of the training rows.
        objective, gap: (class,), P(w), and a proven bound on P(w) - min P.
        newton_steps, products: Newton steps, and products of the data (or its Gram matrix) with a set of vectors.
        dual: (class, row), coefficients a with w = sum_i a_i x_i (Gram space only).
    """

    weights: Array
    scores: Array
    objective: Array
    gap: Array
    newton_steps: int
    products: int
    dual: Array | None = None


class Rows:
    """Training rows with the constant 1 appended in effect, never in memory. Products are exact to float64."""

    def __init__(self, features: Array) -> None:
        self.features = features
        self.block = max(1, BLOCK_BYTES // (8 * max(1, features.shape[1])))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and features with the constant counted."""
        return self.features.shape[0], self.features.shape[1] + 1

    def _blocks(self) -> list[slice]:
        return [slice(start, start + self.block) for start in range(0, len(self.features), self.block)]

    def with_constant(self, rows: NDArray[np.intp]) -> Array:
        """Some rows with the constant appended, (row, feature + 1), float64, in memory."""
        return np.column_stack([self.features[rows].astype(np.float64), np.ones(len(rows))])

    def scores(self, weights: Array) -> Array:
        """w x of every row, (class, row)."""
        scores = np.empty((len(weights), len(self.features)))
        for rows in self._blocks():
            scores[:, rows] = weights[:, :-1] @ self.features[rows].astype(np.float64, copy=False).T
        return scores + weights[:, -1:]

    def combine(self, dual: Array) -> Array:
        """sum_i a_i x_i, (class, feature + 1)."""
        weights = np.zeros((len(dual), self.shape[1]))
        for rows in self._blocks():
            weights[:, :-1] += dual[:, rows] @ self.features[rows].astype(np.float64, copy=False)
        weights[:, -1] = dual.sum(axis=1)
        return weights

    def gram(self) -> Array:
        """Inner products of all rows, the constant included, (row, row); float64, from float32 products if large."""
        n, d = self.shape
        single = n * n * d > LARGE_PRODUCT and self.features.dtype == np.float32
        values = self.features if single else self.features.astype(np.float64, copy=False)
        product = values @ values.T  # numpy sees the symmetry and does half the work
        return product.astype(np.float64) + 1.0

    def moments(self) -> Array:
        """Inner products of all features, the constant included, (feature + 1, feature + 1)."""
        n, d = self.shape
        single = n * d * d > LARGE_PRODUCT and self.features.dtype == np.float32
        values = self.features if single else self.features.astype(np.float64, copy=False)
        product = np.empty((d, d))
        product[:-1, :-1] = values.T @ values
        product[-1, :-1] = product[:-1, -1] = values.sum(axis=0, dtype=np.float64)
        product[-1, -1] = n
        return product


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
        n, d = self.rows.shape
        single = self.rows.features.dtype == np.float32 and n * n * d > LARGE_PRODUCT
        return float(np.finfo(np.float32 if single else np.float64).eps) * np.sqrt(d)

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

    def _step(self, residual: Array, inside: NDArray[np.bool_], C: float, tolerance: Array) -> tuple[Array, Array, int]:
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

        def apply(vectors: Array, shapes: Array, classes: NDArray[np.intp]) -> Array:
            return vectors + 2 * C * np.where(inside[rest[classes]], shapes, 0.0)

        def precondition(vectors: Array, _: NDArray[np.intp]) -> Array:
            return linalg.cho_solve(factor, vectors.T, check_finite=False).T

        change[rest], change_scores[rest], products = conjugate_gradients(
            apply, precondition, lambda vectors: vectors @ self.gram, -residual[rest], tolerance[rest], CG_STEPS
        )
        return change, change_scores, products

    def _outright(self, residual: Array, inside: NDArray[np.bool_], C: float) -> Array | None:
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


def cg_tolerance(size: Array, objective: Array, lowest: float) -> Array:
    """How well to solve for a Newton step: roughly when far from the optimum, better and better near it."""
    return np.clip(np.sqrt(size / np.maximum(objective, 1e-300)), lowest, 0.03)


class Watch:
    """Says which classes are still worth a Newton step: not at their goal, nor where rounding lets them go no lower."""

    def __init__(self, classes: int) -> None:
        self.objective = np.full(classes, np.inf)
        self.size = np.full(classes, np.inf)
        self.stalls = np.zeros(classes, int)
        self.done = np.zeros(classes, bool)

    def going(self, objective: Array, size: Array, tol: float) -> NDArray[np.intp]:
        """Indices of the classes to go on with.

        Args:
            objective, size: (class,), P and |grad P|^2 now.
            tol: size, relative to the objective, that is enough.
        """
        lower = (objective < self.objective * (1 - 1e-12)) | (size < 0.25 * self.size)
        self.stalls = np.where(lower, 0, self.stalls + 1)
        self.objective, self.size = np.minimum(objective, self.objective), np.minimum(size, self.size)
        self.done |= (size <= tol * objective) | (self.stalls >= 2)
        return np.flatnonzero(~self.done)


class PrimalSpace:
    """For at least as many rows as features: truncated Newton on w, all classes sharing each pass over the rows.

    Conjugate gradients are preconditioned by I + 2 C X'X, the Hessian with every row inside its margin: factored
    whole up to DENSE_FEATURES, beyond that known on its leading directions only (Nystrom), which needs no matrix of
    features against features.
    """

    DENSE_FEATURES = 8192
    LEADING = 384

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        n, d = rows.shape
        self.single = n * d * d > LARGE_PRODUCT and rows.features.dtype == np.float32
        # Made when first needed: a problem whose classes are all solved outright needs neither.
        self.moments: Array | None = None
        self.leading: tuple[Array, Array] | None = None
        self.preconditioner: tuple[float, Operator] | None = None

    def solve(self, signs: Array, C: float, tol: float, start: Answer | None = None) -> Answer:
        """Least P for every class; arguments as for `GramSpace.solve`."""
        shape = (len(signs), self.rows.shape[1])
        weights = np.zeros(shape) if start is None else start.weights.copy()
        scores = np.zeros(signs.shape) if start is None else start.scores.copy()
        gap, objective = np.empty(len(signs)), np.empty(len(signs))
        watch = Watch(len(signs))
        going = np.arange(len(signs))
        products = 0
        step = 0
        for step in range(NEWTON_STEPS):  # noqa: B007
            slack = hinge_slack(signs[going], scores[going])
            gradient = weights[going] - 2 * C * self.rows.combine(signs[going] * slack)
            gap[going] = 0.5 * (gradient**2).sum(axis=1)
            objective[going] = 0.5 * (weights[going] ** 2).sum(axis=1) + C * (slack**2).sum(axis=1)
            still = watch.going(objective, 2 * gap, 1e-2 * tol)
            if not len(still):
                break
            chosen = np.isin(going, still)
            going, gradient, inside = going[chosen], gradient[chosen], slack[chosen] > 0
            tolerance = cg_tolerance(2 * gap[going], objective[going], 1e-5 if self.single else 1e-10)
            change, more = self._step(gradient, inside, C, tolerance)
            scores_change = self.rows.scores(change)
            products += 2 * more + 2
            weight_dot, step_dot = (weights[going] * change).sum(axis=1), (change**2).sum(axis=1)
            length = exact_step(signs[going], scores[going], scores_change, weight_dot, step_dot, C)[:, None]
            weights[going] += length * change
            scores[going] += length * scores_change
        return Answer(weights, scores, objective, gap, step, products)

    def _step(self, gradient: Array, inside: NDArray[np.bool_], C: float, tolerance: Array) -> tuple[Array, int]:
        """Solve (I + 2 C X'DX) change = -gradient, D picking the rows inside their margin; also passes over the rows.

        A class is solved outright where that is cheap; the others share conjugate gradients.
        """
        n, d = self.rows.shape
        count = inside.sum(axis=1)
        cost = np.minimum(count * count * d + count**3 / 3, count * d * d + d**3 / 3)
        outright = cost <= OUTRIGHT_PASSES * 4 * n * d
        change = np.empty_like(gradient)
        for index in np.flatnonzero(outright):
            change[index] = self._outright(gradient[index], inside[index], C)
        rest = np.flatnonzero(~outright)
        if not len(rest):
            return change, 0
        change[rest], _, products = conjugate_gradients(
            lambda vectors, _, classes: self._hessian(vectors, inside[rest[classes]], C),
            self._preconditioner(C),
            lambda vectors: vectors,
            -gradient[rest],
            tolerance[rest],
            CG_STEPS,
        )
        return change, products

    def _outright(self, gradient: Array, inside: NDArray[np.bool_], C: float) -> Array:
        """One class's Newton change by a factorisation, of rows against rows or of features against features."""
        chosen = self.rows.with_constant(np.flatnonzero(inside))
        if len(chosen) >= chosen.shape[1]:
            return -linalg.cho_solve(positive_factor(2 * C * (chosen.T @ chosen)), gradient)
        # (I + 2 C X'X)^-1 = I - X' (I / 2C + X X')^-1 X
        inner = linalg.cho_solve(positive_factor(2 * C * (chosen @ chosen.T)), chosen @ gradient)
        return 2 * C * (inner @ chosen) - gradient

    def _hessian(self, vectors: Array, inside: NDArray[np.bool_], C: float) -> Array:
        """(I + 2 C X'DX) v for each class, in one pass over the rows."""
        kind = np.float32 if self.single else np.float64
        left, constant = vectors[:, :-1].astype(kind), vectors[:, -1:].astype(kind)
        total = np.zeros(vectors.shape)
        for rows in self.rows._blocks():
            block = self.rows.features[rows].astype(kind, copy=False)
            chosen = np.where(inside[:, rows], left @ block.T + constant, kind(0))
            total[:, :-1] += chosen @ block
            total[:, -1] += chosen.sum(axis=1)
        return vectors + 2 * C * total

    def _preconditioner(self, C: float):
        if self.moments is None:
            return self._low_rank(C)
        hessian = 2 * C * self.moments
        factor = positive_factor(hessian)
        return lambda vectors, _: linalg.cho_solve(factor, vectors.T, check_finite=False).T

    def _low_rank(self, C: float):
        """Inverse of I + 2 C U S U' with the directions U and strengths S of `_nystrom`, the last S for the rest."""
        if self.leading is None:
            self.leading = self._nystrom()
        directions, strengths = self.leading
        rest = 1 + 2 * C * strengths[-1]
        shrink = rest / (1 + 2 * C * strengths) - 1.0

        def precondition(vectors: Array, _: NDArray[np.intp]) -> Array:
            inside = vectors.astype(np.float32) @ directions
            return vectors + (inside * shrink.astype(np.float32)) @ directions.T

        return precondition

    def _nystrom(self) -> tuple[Array, Array]:
        """Leading directions and strengths of X'X from one random sketch (Frangella, Tropp, Udell 2023)."""
        d = self.rows.shape[1]
        rng = np.random.Generator(np.random.Philox(key=0))  # any numbers do: they change the time, not the answer
        test = np.linalg.qr(rng.standard_normal((d, min(self.LEADING, d)), dtype=np.float32))[0]
        sketch = np.zeros_like(test)
        for rows in self.rows._blocks():
            block = self.rows.features[rows].astype(np.float32, copy=False)
            seen = block @ test[:-1] + test[-1]
            sketch[:-1] += block.T @ seen
            sketch[-1] += seen.sum(axis=0)
        shift = np.float32(np.sqrt(d) * np.finfo(np.float32).eps * np.linalg.norm(sketch))
        sketch += shift * test
        core = test.T.astype(np.float64) @ sketch.astype(np.float64)
        lower = np.linalg.cholesky((core + core.T) / 2)
        half = linalg.solve_triangular(lower, sketch.T.astype(np.float64), lower=True)
        directions, values, _ = np.linalg.svd(half.T.astype(np.float32), full_matrices=False)
        return directions, np.maximum(values.astype(np.float64) ** 2 - shift, 0.0)


def positive_factor(matrix: Array) -> tuple:
    """Cholesky factor of I + `matrix`; more than I is added where rounding made the matrix indefinite.

    A preconditioner need not be exact, only positive.
    """
    np.einsum("ii->i", matrix)[:] += 1.0
    jitter = 0.0
    while True:
        try:
            return linalg.cho_factor(matrix, lower=True, check_finite=False)
        except linalg.LinAlgError:
            more = max(10 * jitter, 1e-12 * float(matrix.trace()))
            np.einsum("ii->i", matrix)[:] += more - jitter
            jitter = more
