"""Newton's method for the squared hinge, all classes of one problem side by side.

Every array has the class in front: weights (class, feature), margins (class, row). One-vs-rest makes the classes
independent problems over the same rows; they are solved together because their products with the data are one product.
"""

from collections.abc import Callable

import numpy as np

NEWTON_STEPS = 100
CG_STEPS = 200

Array = np.ndarray
Operator = Callable[..., Array]
Metric = Callable[[Array], Array]


def hinge_slack(signs: Array, scores: Array) -> Array:
    """s max(0, 1 - y f), (class, row), for signs s y: how far each row is from the margin it should have.

    A sign's size s makes the row's squared slack count s^2 times; 0 leaves the row out.
    """
    return np.maximum(0.0, np.abs(signs) - signs * scores)


def conjugate_gradients(
    apply: Operator, precondition: Operator, metric: Metric, target: Array, tolerance: Array, max_iter: int
) -> tuple[Array, Array, int]:
    """Solve H_c x_c = target_c for each class c, H_c symmetric positive definite in the inner product <u, v>.

    Args:
        apply: (vectors, their metric, classes) -> H vectors, for the classes named.
        precondition: (vectors, classes) -> approximate inverse of H times vectors, symmetric in <., .> too.
        metric: vectors -> G vectors, where <u, v> = u.G v.
        target: (class, n).
        tolerance: (class,), residual sought, relative to the target, in the norm of the preconditioner.
        max_iter: products with H at most.

    Returns:
        x and G x: (class, n); and the number of products made. A class that is done takes part in no further product.
    """
    solution, solution_metric = np.zeros_like(target), np.zeros_like(target)
    active = np.arange(len(target))
    residual = target.copy()
    direction = precondition(residual, active)
    shape = metric(direction)
    size = _dots(residual, shape)
    goal = size * tolerance**2
    keep = size > 0
    active, residual, direction, shape = active[keep], residual[keep], direction[keep], shape[keep]
    size, goal = size[keep], goal[keep]
    for iteration in range(max_iter):
        if not len(active):
            return solution, solution_metric, iteration
        product = apply(direction, shape, active)
        curvature = _dots(product, shape)
        step = np.divide(size, curvature, out=np.zeros_like(size), where=curvature > 0)[:, None]
        solution[active] += step * direction
        solution_metric[active] += step * shape
        residual -= step * product
        next_direction = precondition(residual, active)
        next_shape = metric(next_direction)
        previous, size = size, _dots(residual, next_shape)
        ratio = (size / previous)[:, None]
        direction, shape = next_direction + ratio * direction, next_shape + ratio * shape
        going = (size > goal) & (curvature > 0)  # no curvature left: rounding has the last word
        if not going.all():
            active, residual, direction, shape = active[going], residual[going], direction[going], shape[going]
            size, goal = size[going], goal[going]
    return solution, solution_metric, max_iter


def exact_step(
    signs: Array, scores: Array, change: Array, weight_dot: Array, step_dot: Array, C: float, tolerance: float = 1e-12
) -> Array:
    """Length t, (class,), at which the objective is least on the line w + t d.

    Along a line the objective is convex and piecewise quadratic, so its derivative is increasing and piecewise
    linear: Newton's method on it, kept inside a bracket, ends in a few evaluations.

    Args:
        signs: (class, row), as for `hinge_slack`.
        scores: (class, row), f = w x.
        change: (class, row), d x.
        weight_dot: (class,), w . d.
        step_dot: (class,), d . d.
        C: weight of the squared slacks.
    """
    short, gain = np.abs(signs) - signs * scores, signs * change
    low, high = np.zeros(len(signs)), np.full(len(signs), np.inf)
    t = np.ones(len(signs))
    for _ in range(60):
        slack = short - t[:, None] * gain
        np.maximum(slack, 0.0, out=slack)
        slope = weight_dot + t * step_dot - 2 * C * _dots(slack, gain)
        curvature = step_dot + 2 * C * _dots(gain * (slack > 0), gain)
        low, high = np.where(slope < 0, t, low), np.where(slope >= 0, t, high)
        proposal = t - np.divide(slope, curvature, out=np.zeros_like(t), where=curvature > 0)
        inside = (proposal >= low) & (proposal <= high)
        middle = np.where(np.isinf(high), 2 * np.maximum(low, 1.0), (low + np.minimum(high, 1e300)) / 2)
        proposal = np.where(inside, proposal, middle)
        if (np.abs(proposal - t) <= tolerance * np.maximum(t, 1.0)).all():
            return proposal
        t = proposal
    return t


def _dots(left: Array, right: Array) -> Array:
    """Inner product of each class's pair of rows, in float64."""
    return np.einsum("cn,cn->c", left, right, dtype=np.float64)


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

    def going(self, objective: Array, size: Array, tol: float) -> Array:
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
