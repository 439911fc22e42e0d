"""OMNIGLOT at 28×28, made from the drawings: the pictures of the IWAE paper's chardata.mat where it cannot be had.

Drawings of 105×105, black strokes on white, are inverted, taken as float and made small by an antialiased bicubic
filter, then clipped to [0, 1]. Checked by others on 151 images shown in public: median RMS 0.26 grey levels.
"""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relatent.data.archives import Bounds, members
from relatent.data.parts import ArrayPart
from relatent.errors import DataIntegrityError

# images_background/Alphabet_of_the_Magi/character01/0709_01.png: alphabet, character, drawer
DRAWING = re.compile(r"^[^/]+/([^/]+)/character(\d+)/\d+_(\d\d)\.png$")
SIDE = 105
BOUNDS = Bounds(members=50_000, member_bytes=100_000, total_bytes=200_000_000)


def read_omniglot(paths: Sequence[Path], drawers: tuple[int, int], size: int) -> ArrayPart:
    """The drawings of some drawers, sorted by alphabet, character, drawer over all archives.

    Args:
        paths: images_background.zip and images_evaluation.zip, in any packing.
        drawers: first and last; every character was drawn by twenty, in the same order.
        size: of the images made, in pixels.

    Raises:
        MissingDataError: an archive is not there.
        DataIntegrityError: a member is not such a drawing.
    """

    def wanted(name: str) -> bool:
        match = DRAWING.match(name)
        return name.endswith(".png") and (match is None or drawers[0] <= int(match[3]) <= drawers[1])

    drawn: dict[tuple[str, int, int], tuple[str, NDArray[np.uint8]]] = {}
    for path in paths:
        for name, content in members(path, wanted, BOUNDS):
            match = DRAWING.match(name)
            if match is None:
                raise DataIntegrityError(f"{path}: {name}: not named as <alphabet>/character<n>/<n>_<drawer>.png")
            key = match[1], int(match[2]), int(match[3])
            drawn[key] = name, small_drawing(content, size, f"{path}: {name}")
    if not drawn:
        raise DataIntegrityError(
            f"{paths[0]}: holds no drawing of drawers {drawers[0]} to {drawers[1]}; fetch it again"
        )
    keys = sorted(drawn)
    return ArrayPart(np.stack([drawn[key][1] for key in keys])[:, None], names=[drawn[key][0] for key in keys])


def small_drawing(content: bytes, size: int, where: str) -> NDArray[np.uint8]:
    """(size, size) grey levels: strokes white on black."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.size != (SIDE, SIDE) or image.mode not in ("1", "L"):
                raise ValueError(f"{image.width}×{image.height} pixels of mode {image.mode}, not {SIDE}×{SIDE} in grey")
            strokes = 1 - np.asarray(image.convert("L"), np.float32) / 255
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataIntegrityError(f"{where}: not a drawing of OMNIGLOT ({error}). Fetch the archive again.") from None
    small = Image.fromarray(strokes).resize((size, size), Image.Resampling.BICUBIC)
    return np.round(np.clip(np.asarray(small), 0, 1) * 255).astype(np.uint8)
