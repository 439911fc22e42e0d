"""Two rows set side by side on the same test images and the same draws of labels: a paired difference, an interval, a
sentence."""

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr


@dataclass(frozen=True)
class Difference:
    """Accuracy of one row less another's; fractions.

    Attributes:
        low, high: 95 % interval of `value`.
        interval: what it covers, "test sampling" or "draws and test sampling".
        p_value: of McNemar's exact test, two-sided; None where there are several draws.
        only_first, only_second: test images that only the one, or only the other, gets right (summed over draws).
    """

    value: float
    low: float
    high: float
    interval: str
    p_value: float | None
    only_first: int
    only_second: int
    n_images: int
    n_draws: int


def paired_difference(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, resamples: int, rng: np.random.Generator
) -> Difference:
    """Paired bootstrap of an accuracy difference, by percentiles.

    Args:
        first, second: predictions, (image,) or (draw, image), for the same images and draws.
        labels: (image,).
        resamples: bootstrap samples; images, and draws if there are several, are resampled together for both rows.

    Raises:
        ValueError: shapes differ.
    """
    if first.shape != second.shape or first.shape[-1:] != labels.shape:
        raise ValueError(f"predictions are {first.shape} and {second.shape} for {len(labels)} labels; pair equal draws")
    right, other = np.atleast_2d(first == labels), np.atleast_2d(second == labels)
    gain = right.astype(np.float64) - other
    draws, images = gain.shape
    values = np.empty(resamples)
    for index in range(resamples):
        weights = rng.multinomial(images, np.full(images, 1 / images))
        of_draws = gain @ weights / images
        values[index] = of_draws.mean() if draws == 1 else of_draws[rng.integers(draws, size=draws)].mean()
    low, high = np.quantile(values, [0.025, 0.975])
    only_first, only_second = int((gain > 0).sum()), int((gain < 0).sum())
    p_value = None
    if draws == 1:
        # Twice the smaller tail of a fair coin; where both are equal they overlap.
        p_value = min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))
    kind = "test sampling" if draws == 1 else "draws and test sampling"
    return Difference(
        float(gain.mean()), float(low), float(high), kind, p_value, only_first, only_second, images, draws
    )


def sentence(first: str, second: str, setting: str, difference: Difference) -> str:
    """What the difference says, plainly, whichever way it fell; accuracies in percentage points."""
    points, low, high = (100 * value for value in (difference.value, difference.low, difference.high))
    interval = f"95 % interval {low:+.1f} to {high:+.1f}"
    if difference.low > 0:
        verdict = f"{first} is more accurate than {second}"
    elif difference.high < 0:
        verdict = f"{first} is less accurate than {second}"
    else:
        verdict = f"{first} and {second} cannot be told apart"
    draws = f"{difference.n_draws} draws and " if difference.n_draws > 1 else ""
    return f"With {setting}, {verdict}: {points:+.1f} points ({interval}; {draws}{difference.n_images} test images)."
