"""Means over many images of which few are scored in full: two-phase sampling with a regression on a cheap control.

A control that goes up and down with the target, e.g. L_50 beside L_5000, is computed for every image. What the scored
images' controls lack of the mean of all is carried over by the regression of the target on it, so that easy images
among the scored ones no longer count as a gain, and only the scatter about the line is left as the error. Cochran
1977, Sampling Techniques, sec. 7.1 to 7.3.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relatent.data.streams import permutation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RegressionEstimate:
    """Mean of the target over all images.

    Args:
        mean: of each seed, (seeds,).
        stderr: of the mean over seeds, by the choice of the scored images and the noise of their scores. Seeds are
            scored on the same images, so these errors do not average out.
        slope: of the target on the control, (seeds,).
        correlation: of the two, (seeds,); the variance of a plain mean is 1 / (1 - correlation^2) times as large.
    """

    mean: Array
    stderr: float
    slope: Array
    correlation: Array


def drawn_images(of: int, count: int, seed: int, purpose: str) -> NDArray[np.int64]:
    """The images that are scored in full: `count` of `of`, ascending; drawn, because MNIST's first ones are easier."""
    return np.sort(permutation(of, seed, purpose)[:count])


def regression_estimate(target: Array, control: Array, control_of_all: Array) -> RegressionEstimate:
    """Estimate the mean over all images from the few whose target is known.

    The error leaves out the correction for a finite population: the scatter holds the targets' own noise, which scoring
    every image would not remove.

    Args:
        target: (seeds, scored) values of the scored images.
        control: (seeds, scored) controls of the same images.
        control_of_all: (seeds, images) controls of all images, the scored ones among them.

    Raises:
        ValueError: fewer than three images are scored, or shapes disagree.
    """
    if target.shape != control.shape or len(control_of_all) != len(target):
        raise ValueError(f"targets {target.shape}, controls {control.shape} and {control_of_all.shape} do not match")
    scored = target.shape[1]
    if scored < 3:
        raise ValueError(f"{scored} images are scored; the scatter about a line needs three")
    around_target = target - target.mean(axis=1, keepdims=True)
    around_control = control - control.mean(axis=1, keepdims=True)
    together, spread = (around_target * around_control).sum(axis=1), (around_control**2).sum(axis=1)
    slope = np.divide(together, spread, out=np.zeros_like(spread), where=spread > 0)
    scatter = (around_target - slope[:, None] * around_control).mean(axis=0)
    scale = np.sqrt(spread * (around_target**2).sum(axis=1))
    return RegressionEstimate(
        target.mean(axis=1) + slope * (control_of_all.mean(axis=1) - control.mean(axis=1)),
        float(np.sqrt((scatter**2).sum() / (scored - 2) / scored)),
        slope,
        np.divide(together, scale, out=np.zeros_like(scale), where=scale > 0),
    )
