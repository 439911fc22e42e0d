"""Training rows of the L2-SVM, the answer to one C, and the problem both spaces solve.

The problem of one class, with y in {-1, 1} and the constant 1 appended to every row as its last feature, is

    P(w) = 1/2 |w|^2 + C sum_i max(0, 1 - y_i w.x_i)^2,

liblinear's objective (Fan et al. 2008): the intercept is part of w and regularised with it. P is 1-strongly convex,
hence the certificate used throughout: P(w) - min P <= 1/2 |grad P(w)|^2.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from relatent.probe.newton import Array

# A block of rows that is cast to float64 for an exact product: small enough for a core's cache, but not too few rows.
BLOCK_BYTES = 4 << 20
BLOCK_ROWS = 64
# From this many multiplications on, products inside the solver are made in float32 and their error is taken out again.
LARGE_PRODUCT = 2e10


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
        self.block = max(BLOCK_ROWS, BLOCK_BYTES // (8 * features.shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and features with the constant counted."""
        return self.features.shape[0], self.features.shape[1] + 1

    @property
    def large(self) -> bool:
        """Whether products for the solver's own use are made in float32."""
        n, d = self.shape
        return self.features.dtype == np.float32 and n * d * min(n, d) > LARGE_PRODUCT

    def blocks(self) -> list[slice]:
        """Slices that cover the rows in order."""
        return [slice(start, start + self.block) for start in range(0, len(self.features), self.block)]

    def with_constant(self, rows: Array) -> Array:
        """Some rows with the constant appended, (row, feature + 1), float64, in memory."""
        chosen = np.ones((len(rows), self.shape[1]))
        for start in range(0, len(rows), self.block):  # in blocks, or a float32 copy would stand beside it
            part = rows[start : start + self.block]
            chosen[start : start + len(part), :-1] = self.features[part]
        return chosen

    def scores(self, weights: Array) -> Array:
        """w x of every row, (class, row)."""
        scores = np.empty((len(weights), len(self.features)))
        for rows in self.blocks():
            scores[:, rows] = weights[:, :-1] @ self.features[rows].astype(np.float64, copy=False).T
        return scores + weights[:, -1:]

    def combine(self, dual: Array) -> Array:
        """sum_i a_i x_i, (class, feature + 1)."""
        weights = np.zeros((len(dual), self.shape[1]))
        for rows in self.blocks():
            weights[:, :-1] += dual[:, rows] @ self.features[rows].astype(np.float64, copy=False)
        weights[:, -1] = dual.sum(axis=1)
        return weights

    def gram(self) -> Array:
        """Inner products of all rows, the constant included, (row, row); float64, from float32 products if large."""
        values = self.features if self.large else self.features.astype(np.float64, copy=False)
        product = values @ values.T  # numpy sees the symmetry and does half the work
        return product.astype(np.float64) + 1.0

    def moments(self) -> Array:
        """Inner products of all features, the constant included, (feature + 1, feature + 1)."""
        n, d = self.shape
        values = self.features if self.large else self.features.astype(np.float64, copy=False)
        product = np.empty((d, d))
        product[:-1, :-1] = values.T @ values
        product[-1, :-1] = product[:-1, -1] = values.sum(axis=0, dtype=np.float64)
        product[-1, -1] = n
        return product


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
