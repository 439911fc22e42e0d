"""K-means in layers with learned receptive fields, approximate (Coates, Ng 2011, "Selecting Receptive Fields").

The first layer is the one-layer dictionary. Each later layer sees small windows of the average-pooled code below it,
split into receptive fields: a field is a response drawn by chance and those most similar to it, as squares correlate
once the pair itself is whitened. K-means on each field's windows gives that field's centroids, the triangle code their
responses, and all fields' responses side by side the next layer's maps. The paper's text leaves many choices open, and
no code of its authors is public: what is ours is said at each setting, and the row is printed as approximate.

Images go through one by one, so that an image's features do not depend on its company and memory does not grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from relatent.data.streams import stream
from relatent.probe.baselines.kmeans import Dictionary, _lloyd, _quadrants, contrast_normalised, patches_of
from relatent.progress import Progress

# Windows, or rows of features, whose moments are taken at once.
BLOCK_ROWS = 512


@dataclass(frozen=True)
class LayerPlan:
    """What a later layer is to be.

    Attributes:
        pool: side of the average pooling of the maps below.
        window: side of a window, in pooled positions.
        fields, size, centroids: receptive fields, members of each, centroids of each.
        whole_maps: a member is a map, at all positions of the window; otherwise a response at one of them.
    """

    pool: int
    window: int
    fields: int
    size: int
    centroids: int
    whole_maps: bool = False


@dataclass(frozen=True)
class Layer:
    """A learned later layer.

    Attributes:
        pool, window: as planned.
        members: (field, member): places in a window's responses, which stand in the order (row, column, map).
        contrast: (field, 1, 1): added to a window's variance.
        mean, whitening: (field, 1, member), (field, member, member).
        centroids: (field, centroid, member), in the whitened space.
    """

    pool: int
    window: int
    members: np.ndarray
    contrast: np.ndarray
    mean: np.ndarray
    whitening: np.ndarray
    centroids: np.ndarray

    @cached_property
    def distances(self) -> np.ndarray:
        """What (p, |p|^2, 1) is multiplied by to give squared distances to the centroids."""
        return distance_factor(self.centroids)


@dataclass(frozen=True)
class LayeredNet:
    """The dictionary of pixels and the layers above it."""

    first: Dictionary
    later: tuple[Layer, ...] = ()

    @cached_property
    def distances(self) -> np.ndarray:
        """As a layer's, of the dictionary."""
        return distance_factor(self.first.centroids)

    def maps(self, image: np.ndarray) -> list[np.ndarray]:
        """Every layer's code of one uint8 image (channel, height, width): (row, column, map), float32."""
        patches = patches_of(image[None], self.first.patch)[0]
        white = (contrast_normalised(patches) - self.first.mean) @ self.first.whitening
        code = triangle_code(white.reshape(-1, white.shape[-1]), self.distances)
        found = [code.reshape(*patches.shape[:2], -1)]
        for layer in self.later:
            found.append(layer_code(layer, average_pooled(found[-1], layer.pool)))
        return found


def distance_factor(centroids: np.ndarray) -> np.ndarray:
    """(..., pixel + 2, centroid), by which (p, |p|^2, 1) is |p - c|^2, of centroids (..., centroid, pixel)."""
    squares = (centroids**2).sum(axis=-1, keepdims=True)
    return np.ascontiguousarray(
        np.concatenate([-2 * centroids, np.ones_like(squares), squares], axis=-1).swapaxes(-1, -2)
    )


def triangle_code(points: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """max(0, mean distance to all centroids - distance to each), (..., point, centroid), of (..., point, pixel)."""
    left = np.ones((*points.shape[:-1], points.shape[-1] + 2), np.float32)
    left[..., :-2] = points
    left[..., -2] = np.einsum("...i,...i->...", points, points)
    distance = left @ factor
    clipped = torch.from_numpy(distance)  # the same memory: torch clips several times faster than numpy
    clipped.clamp_(min=0)
    np.sqrt(distance, out=distance)
    average = np.full(distance.shape[-1], 1 / distance.shape[-1], np.float32)
    np.subtract((distance @ average)[..., None], distance, out=distance)
    clipped.clamp_(min=0)
    return distance


def average_pooled(maps: np.ndarray, pool: int) -> np.ndarray:
    """Means over squares of `pool` positions a side, without overlap; what is left at the far edges is dropped."""
    if pool == 1:
        return maps
    rows, columns = maps.shape[0] // pool, maps.shape[1] // pool
    return maps[: rows * pool, : columns * pool].reshape(rows, pool, columns, pool, -1).mean(axis=(1, 3))


def windows_of(maps: np.ndarray, window: int) -> np.ndarray:
    """All windows at stride 1 of maps (row, column, map): (position, response), responses as (row, column, map)."""
    rows, columns = maps.shape[0] - window + 1, maps.shape[1] - window + 1
    parts = [maps[y : y + rows, x : x + columns] for y in range(window) for x in range(window)]
    return np.concatenate(parts, axis=-1).reshape(rows * columns, -1)


def layer_code(layer: Layer, pooled: np.ndarray) -> np.ndarray:
    """A later layer's triangle code, (row, column, field x centroid), of the pooled maps below it."""
    responses = windows_of(pooled, layer.window)
    fields, size = layer.members.shape
    groups = np.take(responses, layer.members.reshape(-1), axis=1).reshape(-1, fields, size).swapaxes(0, 1)
    code = triangle_code((_even(groups, layer.contrast) - layer.mean) @ layer.whitening, layer.distances)
    rows, columns = (side - layer.window + 1 for side in pooled.shape[:2])
    return code.swapaxes(0, 1).reshape(rows, columns, -1)


def _even(windows: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Each window, (..., member), less its mean, over sqrt(variance + contrast)."""
    centred = windows - windows.mean(axis=-1, keepdims=True)
    variance = np.einsum("...i,...i->...", centred, centred)[..., None] / np.float32(windows.shape[-1])
    centred /= np.sqrt(variance + contrast)
    return centred


def squared_similarity(responses: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """How far the sizes of two responses go together once the pair is whitened; (seed, response), in [-1, 1].

    Of the standardised pair with correlation a, zero-phase whitening makes u z_j + v z_k and v z_j + u z_k, where
    u, v = ((1 + a)^-1/2 +- (1 - a)^-1/2) / 2; the similarity is the correlation of their squares. It follows from the
    pair's moments up to the fourth, so that no whitened pair is ever made. A response that never varies gets -1, a
    copy, of which there is no whitened pair, 1.

    Args:
        responses: (window, response).
        seeds: (seed,), places of responses.
    """
    mean, spread = _mean_and_spread(responses)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0).astype(np.float32)
    fourth = np.zeros(responses.shape[1])
    m11, m22, m31, m13 = (np.zeros((len(seeds), responses.shape[1])) for _ in range(4))
    for start in range(0, len(responses), BLOCK_ROWS):
        z = (responses[start : start + BLOCK_ROWS] - mean.astype(np.float32)) * scale
        z2, s = z * z, z[:, seeds].T
        s2 = s * s
        m11 += s @ z
        m22 += s2 @ z2
        m31 += (s2 * s) @ z
        m13 += s @ (z2 * z)
        fourth += np.einsum("ij,ij->j", z2, z2)
    a, m22, m31, m13, fourth = (moment / len(responses) for moment in (m11, m22, m31, m13, fourth))
    copies = np.abs(a) > 1 - 1e-4
    copies[np.arange(len(seeds)), seeds] = True
    a = np.where(copies, 0, a)
    u, v = ((1 + a) ** -0.5 + (1 - a) ** -0.5) / 2, ((1 + a) ** -0.5 - (1 - a) ** -0.5) / 2
    ours, others = fourth[seeds][:, None], fourth[None]
    both = (u * v) ** 2 * (ours + others) + ((u * u + v * v) ** 2 + 2 * (u * v) ** 2) * m22
    both += 2 * u * v * (u * u + v * v) * (m31 + m13) - 1
    first = u**4 * ours + v**4 * others + 4 * u * v * (u * u * m31 + v * v * m13) + 6 * (u * v) ** 2 * m22 - 1
    second = v**4 * ours + u**4 * others + 4 * u * v * (v * v * m31 + u * u * m13) + 6 * (u * v) ** 2 * m22 - 1
    found = np.clip(both / np.sqrt(np.maximum(first, 1e-12) * np.maximum(second, 1e-12)), -1, 1)
    found[copies] = 1
    found[:, spread == 0] = -1
    return found


def receptive_fields(responses: np.ndarray, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """(field, member): `count` responses drawn by chance, each with the `size` - 1 most similar to it.

    Raises:
        ValueError: more are asked than there are responses that vary.
    """
    varying = np.flatnonzero(_mean_and_spread(responses)[1] > 0)
    if count > len(varying) or size > responses.shape[1]:
        raise ValueError(
            f"{count} receptive fields of {size} asked of {responses.shape[1]} responses, {len(varying)} of which vary"
        )
    seeds = rng.choice(varying, count, replace=False)
    similarity = squared_similarity(responses, seeds)
    similarity[np.arange(count), seeds] = np.inf
    return np.sort(np.argsort(-similarity, axis=1, kind="stable")[:, :size], axis=1)


def learn_net(
    images: np.ndarray,
    first: Dictionary,
    plans: Sequence[LayerPlan],
    n_images: int,
    n_windows: int,
    iterations: int,
    seed: int,
    contrast: float = 0.1,
    floor: float = 0.1,
) -> LayeredNet:
    """Learn the later layers one after another, each on windows of some images' code below it.

    Args:
        images: uint8 (image, channel, height, width).
        n_images, n_windows: images whose code is learned from, and windows cut from it at random places. In memory are
            all responses of these windows, 4 bytes each.
        iterations: passes of Lloyd's algorithm, as for the dictionary.
        contrast: added to a window's variance, as a share of the mean variance of the field's windows.
        floor: added to the eigenvalues before whitening, as for patches.

    Raises:
        ValueError: a layer's windows do not fit on the maps below it, or more is asked than there is.
    """
    net = LayeredNet(first)
    chosen = np.sort(stream(seed, "layer images").choice(len(images), min(n_images, len(images)), replace=False))
    for number, plan in enumerate(plans, start=2):
        responses = _some_windows(net, images[chosen], plan, n_windows, seed, number)
        maps = responses.shape[1] // plan.window**2
        rng = stream(seed, "receptive fields", number)
        if plan.whole_maps:
            places = np.arange(plan.window**2)[:, None] * maps
            at_one = receptive_fields(responses[:, :maps], plan.fields, plan.size, rng)
            members = (places + at_one[:, None]).reshape(plan.fields, -1)
        else:
            members = receptive_fields(responses, plan.fields, plan.size, rng)
        learned = []
        with Progress(f"layer {number}", plan.fields, "receptive fields") as progress:
            for index, field in enumerate(members):
                rng = stream(seed, "field centroids", number, index)
                learned.append(_learn_field(responses[:, field], plan.centroids, iterations, contrast, floor, rng))
                progress.advance()
        layer = Layer(plan.pool, plan.window, members, *(np.stack(parts) for parts in zip(*learned, strict=True)))
        net = LayeredNet(first, (*net.later, layer))
    return net


def _some_windows(
    net: LayeredNet, images: np.ndarray, plan: LayerPlan, count: int, seed: int, number: int
) -> np.ndarray:
    """(window, response): windows at random places of the code that the layer `number` will see."""
    rng = stream(seed, "layer windows", number)
    which = np.sort(rng.integers(len(images), size=count))
    found: np.ndarray | None = None
    with Progress(f"windows for layer {number}", len(images), "images") as progress:
        for index, image in enumerate(images):
            pooled = average_pooled(net.maps(image)[-1], plan.pool)
            if min(pooled.shape[:2]) < plan.window:
                raise ValueError(
                    f"layer {number} has windows of {plan.window} positions a side on maps of {min(pooled.shape[:2])}; "
                    "pool less"
                )
            windows = windows_of(pooled, plan.window)
            if found is None:
                found = np.empty((count, windows.shape[1]), np.float32)
                places = rng.integers(len(windows), size=count)
            rows = slice(*np.searchsorted(which, [index, index + 1]))
            found[rows] = windows[places[rows]]
            progress.advance()
    assert found is not None
    return found


def _learn_field(
    windows: np.ndarray, centroids: int, iterations: int, contrast: float, floor: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Contrast, mean, whitening and centroids of one field's windows, (window, member), as a layer holds them."""
    added = np.full((1, 1), max(contrast * windows.var(axis=1).mean(), np.finfo(np.float32).tiny), np.float32)
    even = _even(windows, added)
    mean = even.mean(axis=0, dtype=np.float64).astype(np.float32)
    even -= mean
    values, axes = np.linalg.eigh((even.T @ even / np.float32(len(even))).astype(np.float64))
    whitening = ((axes / np.sqrt(np.maximum(values, 0) + floor)) @ axes.T).astype(np.float32)
    return added, mean[None], whitening, _lloyd(even @ whitening, centroids, iterations, rng)


def layered_features(net: LayeredNet, images: np.ndarray, out: np.ndarray, joined: bool = True) -> None:
    """Write every image's code into `out`, (image, feature): each layer summed over quadrants, side by side.

    Args:
        joined: all layers; otherwise the last alone.
    """
    with Progress("layered K-means features", len(images), "images") as progress:
        for index, image in enumerate(images):
            maps = net.maps(image)
            out[index] = np.concatenate([quadrant_sums(code) for code in (maps if joined else maps[-1:])])
            progress.advance()


def feature_counts(net: LayeredNet, image: np.ndarray, joined: bool = True) -> list[int]:
    """Features of each layer in the order in which they stand in a row of features."""
    return [quadrant_sums(code).size for code in net.maps(image)[slice(None) if joined else slice(-1, None)]]


def quadrant_sums(maps: np.ndarray) -> np.ndarray:
    """Maps (row, column, map) summed over quadrants as the one-layer code is, flat; a single position is itself."""
    pooling = _quadrants(*maps.shape[:2])
    return (pooling[pooling.any(axis=1)] @ maps.reshape(-1, maps.shape[-1])).reshape(-1)


def standardise_rows(train: np.ndarray, test: np.ndarray) -> None:
    """In place, each feature less its mean over `train`, over sqrt(variance + 0.01), as for the one-layer code.

    Some rows at a time, because these features, in a file, may be larger than memory.
    """
    mean, spread = _mean_and_spread(train)
    spread = np.sqrt(spread**2 + 0.01)
    for values in (train, test):
        for start in range(0, len(values), BLOCK_ROWS):
            values[start : start + BLOCK_ROWS] = (values[start : start + BLOCK_ROWS] - mean) / spread


def _mean_and_spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, (column,), float64, some rows at a time."""
    blocks = range(0, len(values), BLOCK_ROWS)
    mean = sum(values[start : start + BLOCK_ROWS].sum(axis=0, dtype=np.float64) for start in blocks) / len(values)
    squares = sum(((values[start : start + BLOCK_ROWS] - mean) ** 2).sum(axis=0) for start in blocks)
    return mean, np.sqrt(squares / len(values))
