"""What a set of importance weights says: L_k, its error and bias, and whether it may be trusted.

Weights come in blocks of any size and are forgotten: memory does not grow with k. Everything is kept relative to the
largest weight seen, in float64, so any chunking of the same weights gives the same answer to rounding.
"""

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KEPT = 256  # largest weights that are kept one by one, if the tail of the Pareto fit is no larger
ALIKE = 1e-6  # largest weights that differ by less, relative to their logarithm, differ by float32's rounding
MOMENTS = 5  # powers of the weights that are summed
PARETO_UNTRUSTED = 0.7  # Vehtari et al. 2024: above it the estimate's error is unreliable at any practical k


def tail_size(k: int) -> int:
    """How many of the largest of `k` weights make the tail of a Pareto fit: min(k/5, 3 sqrt k); Vehtari et al. 2024."""
    return math.ceil(min(k / 5, 3 * math.sqrt(k)))


class LogWeights:
    """Running summary of log importance weights, one per image of a batch.

    Args:
        batch: number of images.
        k: samples per image that will come in all; decides how many of the largest weights are kept.
    """

    def __init__(self, batch: int, k: int) -> None:
        if k < 1:
            raise ValueError(f"k is {k}; a bound needs at least one sample per image")
        self.k = k
        self.seen = 0
        self.largest: Array = np.full((0, batch), -np.inf)
        self.top = np.full(batch, -np.inf)
        self.powers = np.zeros((MOMENTS, batch))  # sums of exp(p * (log_w - top)), p = 1...MOMENTS
        self.total_log_w = np.zeros(batch)

    def add(self, log_w: NDArray[np.floating]) -> Self:
        """Take in a block of log weights, (k of the block, batch).

        Raises:
            ValueError: a weight is NaN or +inf, or there are more than the `k` announced. A weight of 0 (-inf) is fine.
        """
        log_w = np.asarray(log_w, dtype=np.float64)
        self.seen += len(log_w)
        if self.seen > self.k:
            raise ValueError(f"{self.seen} weights per image were given, {self.k} announced")
        self.largest = _largest(np.concatenate([self.largest, log_w]), max(KEPT, tail_size(self.k) + 1))
        top = self.largest.max(axis=0, initial=-np.inf)
        if not (top < np.inf).all():  # NaN propagates through max
            image = int(np.flatnonzero(~(top < np.inf))[0])
            raise ValueError(f"log weight of image {image} of the batch is {top[image]}; the densities are not finite")
        anchor = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(invalid="ignore"):
            shrink = np.exp(np.where(np.isfinite(self.top), self.top - anchor, -np.inf))
        scaled = np.exp(log_w - anchor)
        power = scaled
        for index in range(MOMENTS):
            self.powers[index] = self.powers[index] * shrink ** (index + 1) + power.sum(axis=0)
            power = power * scaled
        self.top = top
        self.total_log_w += log_w.sum(axis=0)
        return self

    @property
    def bound(self) -> Array:
        """L_k of each image: log of the mean weight, in nats."""
        with np.errstate(divide="ignore"):
            return self.top + np.log(self.powers[0]) - math.log(self.seen)

    @property
    def elbo(self) -> Array:
        """Mean log weight: the k-sample estimate of L_1."""
        return self.total_log_w / self.seen

    @property
    def effective_samples(self) -> Array:
        """(sum w)^2 / sum w^2, between 1 and k; k when q is the posterior."""
        return self.powers[0] ** 2 / self.powers[1]

    @property
    def relative_variance(self) -> Array:
        """Var(w) / E(w)^2, unbiased in the numerator; NaN at k = 1."""
        k = self.seen
        if k == 1:
            return np.full_like(self.top, np.nan)
        return np.maximum(k / self.effective_samples - 1, 0) * k / (k - 1)

    @property
    def stderr(self) -> Array:
        """Monte Carlo standard error of L_k by the delta method, sqrt(Var(w) / k) / E(w)."""
        return np.sqrt(self.relative_variance / self.seen)

    @property
    def bias_first_order(self) -> Array:
        """L_k minus log p(x) to first order in 1/k: -Var(w) / (2 k E(w)^2) (Nowozin 2018, Prop. 1). Never positive."""
        return -self.relative_variance / (2 * self.seen)

    @property
    def bias_jackknife(self) -> Array:
        """The jackknife's estimate of L_k minus log p(x): (k - 1) (mean of the leave-one-out L_{k-1} - L_k).

        Leaving sample i out multiplies the sum of weights by 1 - w_i / sum(w). The logarithms of these factors are
        taken one by one for the largest weights and, for the rest, from the power sums: their shares are below 1/KEPT,
        so that a series of MOMENTS terms is exact to 1e-12. L_k minus this is closer to log p(x) but no longer a bound.
        It sees the weights that were drawn only: under a heavy tail it is far too small.
        """
        k = self.seen
        if k == 1:
            return np.full_like(self.top, np.nan)
        scaled = np.exp(self.largest - np.where(np.isfinite(self.top), self.top, 0.0))
        total = self.powers[0]
        shares = np.minimum(scaled / total, 1 - 1e-16)  # one weight may be all there is
        sum_log = np.log1p(-shares).sum(axis=0)
        rest = self.powers / total ** np.arange(1, MOMENTS + 1)[:, None]
        for power in range(1, MOMENTS + 1):
            sum_log -= np.maximum(rest[power - 1] - (shares**power).sum(axis=0), 0) / power
        return (k - 1) * (math.log(k / (k - 1)) + sum_log / k)

    @property
    def pareto_k(self) -> Array:
        """Shape of the generalised Pareto tail of each image's weights; above 0.7 do not trust L_k. NaN if k < 21.

        At most 1/shape moments of the weights exist, so the error of L_k shrinks as sqrt(k) only for shapes below 1/2.
        """
        if tail_size(self.seen) < 5:
            return np.full_like(self.top, np.nan)
        ordered = np.sort(self.largest, axis=0)[-(tail_size(self.seen) + 1) :]
        return np.array([_pareto_shape(column) for column in ordered.T])


def _largest(log_w: Array, count: int) -> Array:
    """The `count` largest of each column, in no order."""
    if len(log_w) <= count:
        return log_w
    return np.partition(log_w, len(log_w) - count, axis=0)[-count:]


def _pareto_shape(log_w: Array) -> float:
    """Shape of the generalised Pareto distribution of exceedances over the first of ascending log weights.

    Zhang and Stephens 2009, with the weak prior towards 1/2 of Vehtari et al. 2024 (10 pseudo-observations).
    """
    if not np.isfinite(log_w[-1]):
        return math.nan  # all zero: nothing to say
    if not np.isfinite(log_w[0]):
        return math.inf  # fewer positive weights than make a tail
    if log_w[-1] - log_w[0] < ALIKE * max(1.0, abs(log_w[-1])):
        return 0.0  # no tail
    excess = np.exp(log_w[1:] - log_w[-1]) - math.exp(log_w[0] - log_w[-1])
    excess = np.maximum(excess, 1e-300)
    n = len(excess)
    grid_size = 30 + int(math.sqrt(n))
    grid = 1 - np.sqrt(grid_size / (np.arange(1, grid_size + 1) - 0.5))
    grid = grid / (3 * excess[int(n / 4 + 0.5) - 1]) + 1 / excess[-1]
    shapes = np.log1p(-grid[:, None] * excess).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_profile = n * (np.log(-(grid / shapes)) - shapes - 1)
    log_profile = np.where(np.isnan(log_profile), -np.inf, log_profile)
    weights = np.exp(log_profile - log_profile.max())
    best = float((weights * grid).sum() / weights.sum())
    shape = float(np.log1p(-best * excess).mean())
    return (n * shape + 10 * 0.5) / (n + 10)


def nested_bounds(log_w: Array, k: int) -> Array:
    """L_k of the disjoint runs of `k` samples in `log_w`, (samples, ...) -> (samples // k, ...).

    Over the same samples the mean over runs grows with k wherever the smaller k divides the larger: the mean of two
    halves' logs is at most the log of their mean.

    Raises:
        ValueError: fewer than `k` samples.
    """
    runs = len(log_w) // k
    if runs == 0:
        raise ValueError(f"L_{k} needs {k} samples per image; there are {len(log_w)}")
    grouped = log_w[: runs * k].reshape(runs, k, *log_w.shape[1:])
    top = grouped.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(grouped - top).mean(axis=1)) + top[:, 0]
