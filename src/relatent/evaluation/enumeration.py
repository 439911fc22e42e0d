"""L_k without sampling: the expectation over all counts that k draws from a few states can give."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]

LARGEST = 20_000_000  # compositions held at once


def exact_bound(log_w: Array, q: Array, k: int) -> tuple[float, float]:
    """L_k = E log(mean of k weights), and the variance of that logarithm, by multinomial enumeration.

    Args:
        log_w: (states,) log weight log p(x, z) - log q(z|x) of each state.
        q: (states,) proposal, summing to one.
        k: samples.

    Raises:
        ValueError: too many counts to enumerate.
    """
    counts = compositions(k, len(q))
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(counts > 0, counts * np.log(q), 0.0)
    log_probability = gammaln(k + 1) - gammaln(counts + 1).sum(axis=1) + parts.sum(axis=1)
    probability = np.exp(log_probability)
    top = log_w.max()
    log_mean = np.log(counts @ np.exp(log_w - top) / k) + top
    bound = float(probability @ log_mean)
    return bound, float(probability @ (log_mean - bound) ** 2)


def compositions(k: int, states: int) -> NDArray[np.int64]:
    """All ways to put k draws into so many states, (ways, states)."""
    ways = np.exp(gammaln(k + states) - gammaln(k + 1) - gammaln(states))
    if ways * states > LARGEST:
        raise ValueError(f"{k} draws from {states} states have {ways:.3g} counts; too many to enumerate")
    if states == 1:
        return np.array([[k]])
    rest = [(first, compositions(k - first, states - 1)) for first in range(k + 1)]
    return np.concatenate([np.insert(part, 0, first, axis=1) for first, part in rest])
