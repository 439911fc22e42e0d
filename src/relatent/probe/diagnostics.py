"""What an accuracy is made of: classes, confusions, and the two kinds of error around it."""

import math

import numpy as np
from scipy.special import ndtri, stdtrit


def per_class(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy among the images of each class, by its label."""
    return {str(name): float((predictions[labels == name] == name).mean()) for name in np.unique(labels)}


def confusion(predictions: np.ndarray, labels: np.ndarray) -> dict[str, list]:
    """Counts by true class (row) and predicted class (column): {"classes": labels, "counts": rows}."""
    names = np.union1d(labels, predictions)
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (np.searchsorted(names, labels), np.searchsorted(names, predictions)), 1)
    return {"classes": names.tolist(), "counts": counts.tolist()}


def wilson(value: float, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share seen among `count` independent images: the error of test sampling."""
    z = float(ndtri((1 + level) / 2))
    centre = (value + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(value * (1 - value) / count + z * z / (4 * count * count))
    return centre - half, centre + half


def draw_interval(per_draw: np.ndarray, level: float = 0.95) -> tuple[float | None, float | None]:
    """Student's interval of the mean over draws of labels, on this one test set; None with a single draw."""
    count = len(per_draw)
    if count < 2:
        return None, None
    half = float(stdtrit(count - 1, (1 + level) / 2)) * float(per_draw.std(ddof=1)) / math.sqrt(count)
    return float(per_draw.mean()) - half, float(per_draw.mean()) + half


def nearest_rows(known: np.ndarray, unknown: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest known rows of each unknown one, nearest first, and their Euclidean distances: (row, count) each.

    In blocks of known rows, so that `known` may be a memory map larger than memory.
    """
    best = np.full((len(unknown), count), np.inf)
    places = np.zeros((len(unknown), count), int)
    wide = unknown.astype(np.float64)
    squares = (wide**2).sum(axis=1)[:, None]
    for start in range(0, len(known), 1024):
        block = known[start : start + 1024].astype(np.float64)
        found = np.hstack([best, np.maximum(squares - 2 * wide @ block.T + (block**2).sum(axis=1), 0)])
        where = np.hstack([places, np.broadcast_to(np.arange(start, start + len(block)), (len(unknown), len(block)))])
        order = np.argsort(found, axis=1, kind="stable")[:, :count]
        best, places = np.take_along_axis(found, order, axis=1), np.take_along_axis(where, order, axis=1)
    return places, np.sqrt(best)
