"""The L2-SVM in the space of the features, for at least as many rows as features."""

import numpy as np
from scipy import linalg

from relatent.probe.newton import (
    CG_STEPS,
    NEWTON_STEPS,
    Array,
    Operator,
    Watch,
    cg_tolerance,
    conjugate_gradients,
    exact_step,
    hinge_slack,
)
from relatent.probe.rows import Answer, Rows, positive_factor

# A class is solved by a factorisation when that costs no more than so many passes over the rows for one class.
OUTRIGHT_PASSES = 60


class PrimalSpace:
    """For at least as many rows as features: truncated Newton on w, all classes sharing each pass over the rows.

    Conjugate gradients are preconditioned by I + 2 C X'X, the Hessian with every row inside its margin: factored
    whole up to DENSE_FEATURES, beyond that known on its leading directions only (Nystrom), which needs no matrix of
    features against features, and scaled by each class's share of rows inside (a fifth fewer products).
    """

    DENSE_FEATURES = 8192
    LEADING = 384

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        # Made when first needed: a problem whose classes are all solved outright needs neither.
        self.moments: Array | None = None
        self.leading: tuple[Array, Array] | None = None
        self.factor: tuple[float, tuple] | None = None  # of which C

    def solve(self, signs: Array, C: float, tol: float, start: Answer | None = None) -> Answer:
        """Least P for every class; arguments as for `GramSpace.solve`."""
        shape = (len(signs), self.rows.shape[1])
        weights = np.zeros(shape) if start is None else start.weights.copy()
        scores = np.zeros(signs.shape) if start is None else start.scores.copy()
        gap, objective = np.empty(len(signs)), np.empty(len(signs))
        watch = Watch(len(signs))
        going = np.arange(len(signs))
        products = step = 0
        for step in range(NEWTON_STEPS + 1):
            slack = hinge_slack(signs[going], scores[going])
            gradient = weights[going] - 2 * C * self.rows.combine(signs[going] * slack)
            gap[going] = 0.5 * (gradient**2).sum(axis=1)
            objective[going] = 0.5 * (weights[going] ** 2).sum(axis=1) + C * (slack**2).sum(axis=1)
            still = watch.going(objective, 2 * gap, 1e-2 * tol)
            if not len(still) or step == NEWTON_STEPS:
                break
            chosen = np.isin(going, still)
            going, gradient = going[chosen], gradient[chosen]
            inside = np.where(slack[chosen] > 0, signs[going] ** 2, 0.0)
            tolerance = cg_tolerance(2 * gap[going], objective[going], 1e-5 if self.rows.large else 1e-10)
            change, more = self._step(gradient, inside, C, tolerance)
            scores_change = self.rows.scores(change)
            products += 2 * more + 2
            weight_dot, step_dot = (weights[going] * change).sum(axis=1), (change**2).sum(axis=1)
            length = exact_step(signs[going], scores[going], scores_change, weight_dot, step_dot, C)[:, None]
            weights[going] += length * change
            scores[going] += length * scores_change
        return Answer(weights, scores, objective, gap, step, products)

    def _step(self, gradient: Array, inside: Array, C: float, tolerance: Array) -> tuple[Array, int]:
        """Solve (I + 2 C X'DX) change = -gradient, D weighing the rows inside their margin; also passes over the rows.

        A class is solved outright where that is cheap; the others share conjugate gradients.
        """
        n, d = self.rows.shape
        count = (inside > 0).sum(axis=1)
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
            self._preconditioner(C, inside[rest].mean(axis=1)),
            lambda vectors: vectors,
            -gradient[rest],
            tolerance[rest],
            CG_STEPS,
        )
        return change, products

    def _outright(self, gradient: Array, inside: Array, C: float) -> Array:
        """One class's Newton change by a factorisation, of rows against rows or of features against features."""
        chosen = self.rows.with_constant(np.flatnonzero(inside))
        weights = np.sqrt(inside[inside > 0])
        if (weights != 1).any():
            chosen *= weights[:, None]
        if len(chosen) >= chosen.shape[1]:
            return -linalg.cho_solve(positive_factor(2 * C * (chosen.T @ chosen)), gradient)
        # (I + 2 C X'X)^-1 = I - X' (I / 2C + X X')^-1 X
        inner = linalg.cho_solve(positive_factor(2 * C * (chosen @ chosen.T)), chosen @ gradient)
        return 2 * C * (inner @ chosen) - gradient

    def _hessian(self, vectors: Array, inside: Array, C: float) -> Array:
        """(I + 2 C X'DX) v for each class, in one pass over the rows."""
        kind = np.float32 if self.rows.large else np.float64
        left: Array = vectors[:, :-1].astype(kind)
        constant: Array = vectors[:, -1:].astype(kind)
        total = np.zeros(vectors.shape)
        for rows in self.rows.blocks():
            block = self.rows.features[rows].astype(kind, copy=False)
            chosen = (left @ block.T + constant) * inside[:, rows].astype(kind)
            total[:, :-1] += chosen @ block
            total[:, -1] += chosen.sum(axis=1)
        return vectors + 2 * C * total

    def _preconditioner(self, C: float, share: Array) -> Operator:
        """Approximate inverse of the Hessian of each class, of whose rows `share` are inside their margin."""
        return self._whole(C) if self.rows.shape[1] <= self.DENSE_FEATURES else self._low_rank(C, share)

    def _whole(self, C: float) -> Operator:
        if self.factor is None or self.factor[0] != C:
            if self.moments is None:
                self.moments = self.rows.moments()
            self.factor = C, positive_factor(2 * C * self.moments)
        _, factor = self.factor
        return lambda vectors, _: linalg.cho_solve(factor, vectors.T, check_finite=False).T

    def _low_rank(self, C: float, share: Array) -> Operator:
        """Inverse of I + 2 C s U S U' with the directions U and strengths S of `_nystrom`, the last S for the rest."""
        if self.leading is None:
            self.leading = self._nystrom()
        directions, strengths = self.leading
        weight = 2 * C * share[:, None]
        shrink = ((1 + weight * strengths[-1]) / (1 + weight * strengths) - 1.0).astype(np.float32)

        def precondition(vectors: Array, classes: Array) -> Array:
            inside = vectors.astype(np.float32) @ directions
            return vectors + (inside * shrink[classes]) @ directions.T

        return precondition

    def _nystrom(self) -> tuple[Array, Array]:
        """Leading directions and strengths of X'X from one random sketch (Frangella, Tropp, Udell 2023)."""
        d = self.rows.shape[1]
        rng = np.random.Generator(np.random.Philox(key=0))  # any numbers do: they change the time, not the answer
        test = np.linalg.qr(rng.standard_normal((d, min(self.LEADING, d)), dtype=np.float32))[0]
        sketch = np.zeros_like(test)
        for rows in self.rows.blocks():
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
