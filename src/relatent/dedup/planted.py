"""Planted near-copies: what de-duplication should find, made on purpose so that its recall can be measured."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from relatent.data.streams import stream
from relatent.dedup.codes import distances


def near_copies(images: np.ndarray, kind: str, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Near-copies of images, uint8 (n, channel, height, width), of one kind.

    Args:
        images: uint8 (n, channel, height, width), 1 or 3 channels.
        kind: `jpeg` (strength: quality), `shift` (pixels, in a direction drawn by chance, border repeated),
            `brightness` (factor on every pixel) or `resize` (share of the side, there and back, bicubic).
        rng: draws the directions.

    Raises:
        ValueError: another kind.
    """
    if kind == "shift":
        return _shifted(images, int(strength), rng)
    if kind == "brightness":
        return np.clip(np.rint(images * np.float64(strength)), 0, 255).astype(np.uint8)
    if kind == "jpeg":
        return _each(images, lambda image: _through_jpeg(image, int(strength)))
    if kind == "resize":
        return _each(images, lambda image: _through_size(image, strength))
    raise ValueError(f"unknown kind of near-copy {kind!r}; there are jpeg, shift, brightness, resize")


def _shifted(images: np.ndarray, pixels: int, rng: np.random.Generator) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)), mode="edge")
    height, width = images.shape[2:]
    corners = np.array([(0, 1), (2, 1), (1, 0), (1, 2)]) * pixels  # down, up, right, left
    chosen = corners[rng.integers(0, len(corners), len(images))]
    moved = [padded[i, :, top : top + height, left : left + width] for i, (top, left) in enumerate(chosen)]
    return np.stack(moved) if moved else images.copy()


def _each(images: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    changed = np.empty_like(images)
    for i, image in enumerate(images):
        grey = image.shape[0] == 1
        picture = Image.fromarray(image[0] if grey else np.ascontiguousarray(image.transpose(1, 2, 0)))
        pixels = np.asarray(change(picture))
        changed[i] = pixels[None] if grey else pixels.transpose(2, 0, 1)
    return changed


def _through_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    file.seek(0)
    return Image.open(file)


def _through_size(image: Image.Image, share: float) -> Image.Image:
    size = max(round(image.width * share), 1), max(round(image.height * share), 1)
    return image.resize(size, Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class Planted:
    """Copies of one kind and strength: how far their codes are from those of what they were copied from, in bits."""

    kind: str
    strength: float
    distance: np.ndarray

    def found(self, radius: int) -> int:
        """Copies that a search with this radius finds."""
        return int((self.distance <= radius).sum())


def plant(
    images: np.ndarray,
    codes: np.ndarray,
    codes_of: Callable[[np.ndarray], np.ndarray],
    strengths: Mapping[str, Sequence[float]],
    copies: int,
    seed: int,
) -> list[Planted]:
    """Plant copies of images drawn by chance.

    The search reports every pair within the radius (`search.near_pairs`), so comparing each copy with its original
    is what planting it into the set would give.

    Args:
        images: uint8 (n, channel, height, width).
        codes: theirs, uint64 (n, 2).
        codes_of: codes of images.
        strengths: per kind.
        copies: images copied per kind and strength; all of them if there are fewer.
        seed: of the draws.
    """
    planted = []
    for kind, of_kind in strengths.items():
        for number, strength in enumerate(of_kind):
            rng = stream(seed, f"planted {kind}", number)
            chosen = np.sort(rng.permutation(len(images))[:copies])
            copied = codes_of(near_copies(images[chosen], kind, strength, rng))
            planted.append(Planted(kind, strength, distances(codes[chosen], copied)))
    return planted
