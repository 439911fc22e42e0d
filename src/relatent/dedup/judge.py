"""Are two images the same picture? An automatic judge by pixels, and what its count says about precision."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdicts:
    """Per judged pair (pairs,): pixel correlation, root mean square difference in [0, 1], same picture or not."""

    correlation: np.ndarray
    rms: np.ndarray
    same: np.ndarray


def judge(a: np.ndarray, b: np.ndarray, same_correlation: float, same_rms: float) -> Verdicts:
    """Compare images pair by pair.

    A pair is one picture if its pixels correlate, or differ by little. The second covers flat pictures, such as sky:
    what varies in them is noise, which does not correlate. Each channel is centred by itself, or any two pictures of
    one hue would correlate. A flat image has correlation 0 with anything.

    Args:
        a, b: uint8 (pairs, channel, height, width).
        same_correlation: Pearson correlation over pixels and channels from which a pair is one picture.
        same_rms: root mean square difference, white being 1, up to which it is.

    Raises:
        ValueError: a and b differ in shape.
    """
    if a.shape != b.shape:
        raise ValueError(f"a is {a.shape}, b is {b.shape}; a pair needs two images of one shape")
    x, y = (images.astype(np.float64) for images in (a, b))
    rms = np.sqrt(((x - y) ** 2).mean(axis=(1, 2, 3))) / 255
    area = a.shape[2] * a.shape[3]
    x, y = (pixels * area - pixels.sum(axis=(2, 3), keepdims=True) for pixels in (x, y))  # centred; exact integers
    spread = np.sqrt((x**2).sum(axis=(1, 2, 3)) * (y**2).sum(axis=(1, 2, 3)))
    correlation = np.divide((x * y).sum(axis=(1, 2, 3)), spread, out=np.zeros(len(x)), where=spread > 0)
    return Verdicts(correlation, rms, (correlation >= same_correlation) | (rms <= same_rms))


def share_interval(right: int, judged: int) -> tuple[float, float]:
    """95 % interval of a share from `right` of `judged`: Clopper-Pearson, or the rule of three where none is wrong.

    With none wrong the lower end is 0.05^(1/judged), about 1 - 3/judged, and the upper end 1; likewise where all are
    wrong. Exact binomial in both cases. Nothing judged tells nothing: (0, 1).
    """
    wrong = judged - right
    if judged == 0:
        return 0.0, 1.0
    tail = 1 - CONFIDENCE
    if wrong == 0:
        return float(tail ** (1 / judged)), 1.0
    if right == 0:
        return 0.0, float(1 - tail ** (1 / judged))
    return float(betaincinv(right, wrong + 1, tail / 2)), float(betaincinv(right + 1, wrong, 1 - tail / 2))
