"""Intervals, comparison with a printed number, and paired differences: the arithmetic of the tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from relatent.report.cells import Verdict

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95
Z_95 = 1.959963984540054  # normal quantile at 0.975
Better = Literal["lower", "higher", "at most", "within"]


@dataclass(frozen=True)
class Interval:
    """Ends of a 95 % interval and what varies inside it."""

    low: float
    high: float
    over: str


def mean_interval(values: Sequence[float], over: str) -> Interval:
    """Student's t interval of the mean of at least two values: seeds of a cell, or draws of labels."""
    n = len(values)
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile(n - 1) * sd / math.sqrt(n)
    return Interval(mean - half, mean + half, over)


def t_quantile(degrees: float, probability: float = 1 - (1 - LEVEL) / 2) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def wilson_interval(fraction: float, n: int) -> Interval:
    """Interval of a proportion counted on n test images (Wilson 1927); stays inside [0, 1]."""
    centre = (fraction + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(fraction * (1 - fraction) / n + (Z_95 / (2 * n)) ** 2)
    return Interval(max(0.0, centre - half), min(1.0, centre + half), "test sampling")


def with_shared_error(interval: Interval, reach: float, over: str) -> Interval:
    """An interval over seeds widened by an error that all seeds have in common, which their spread cannot show.

    Args:
        reach: half of that error's own 95 % interval.
    """
    middle, half = (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
    wide = math.hypot(half, reach)
    return Interval(middle - wide, middle + wide, f"{interval.over} and {over}")


def verdict_beside(
    paper: float, rounding: float, ours: float, interval: Interval | None, margin: float, better: Better
) -> Verdict:
    """A comparable number of ours beside the paper's: an equivalence test against a stated margin.

    The paper's value lies within ± `rounding` of what it prints (half a unit of its last decimal), so the margin is
    widened by that much. Two one-sided tests (Schuirmann 1987), read off the interval: all of it inside the margin is
    *reproduced*, all of it outside is *better* or *worse*, anything else *inconclusive*. Where the paper only says how
    large a difference gets *at most*, everything between that and its negative is the paper's; where it gives a range
    of values, what lies *within*. Outside of these neither side is the better one: both are *worse*.

    Args:
        margin: in the unit of the value; differences up to it do not matter. Half the width of a range.
        better: whether lower or higher values are better, or the paper's is the largest there is, or the middle of a
            range.
    """
    low, high = (interval.low, interval.high) if interval is not None else (ours, ours)
    reach = margin + rounding
    if better == "at most":
        paper, reach = 0.0, paper + reach
    if paper - reach <= low and high <= paper + reach:
        return "reproduced"
    if low <= paper + reach and high >= paper - reach:
        return "inconclusive"
    side = "lower" if high < paper - reach else "higher"
    return "better" if better == side else "worse"


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over seeds and images, with its 95 % interval and two-sided p-value.

    Both are None for one value of one seed, of which no error is known.
    """

    mean: float
    interval: Interval | None
    p_value: float | None
    n_seeds: int


def paired_difference(a: "np.ndarray", b: "np.ndarray", step: float = 0.0) -> PairedDifference:
    """Difference of two cells on the same images.

    Test sampling cancels in part because the images are the same; training noise does not. Both kinds of error are
    added: variance of the image means over images, plus variance of the seed means over seeds, with Satterthwaite's
    degrees of freedom. With one seed only the images count, and `interval.over` says so.

    Args:
        a, b: (seed, image), e.g. per-image NLL, or (seed, 1), one number of each model; seeds beyond the shorter one's
            are dropped.
        step: of which values are multiples, 1 for counts: seeds that agree to the unit still vary by its rounding.

    Raises:
        ValueError: other numbers of images.
    """
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"paired values are of {a.shape[1]} and {b.shape[1]} images; they must be of the same images")
    seeds = min(a.shape[0], b.shape[0])
    difference = a[:seeds] - b[:seeds]
    images = difference.shape[1]
    mean = float(difference.mean())
    if images == seeds == 1:
        return PairedDifference(mean, None, None, seeds)
    of_images = float(difference.mean(axis=0).var(ddof=1)) / images if images > 1 else 0.0
    of_seeds = max(float(difference.mean(axis=1).var(ddof=1)), step**2 / 6) / seeds if seeds > 1 else 0.0
    variance = of_images + of_seeds
    over = " and ".join(["seeds"] * (seeds > 1) + ["test sampling"] * (images > 1))
    if variance == 0:
        return PairedDifference(mean, Interval(mean, mean, over), 0.0 if mean else 1.0, seeds)
    degrees = variance**2 / (of_images**2 / max(images - 1, 1) + of_seeds**2 / max(seeds - 1, 1))
    half = t_quantile(degrees) * math.sqrt(variance)
    from scipy.special import stdtr

    p_value = 2 * float(stdtr(degrees, -abs(mean) / math.sqrt(variance)))
    return PairedDifference(mean, Interval(mean - half, mean + half, over), p_value, seeds)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: below 0.05 keeps the chance of any false claim among all of them under 5 %."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
