"""The contact sheet: clusters and judged pairs for the eye, as one small picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from relatent.dedup.findings import Found, PixelCopies

SCALE = 2
GAP = 4
LABEL = 14


def contact_sheet(rows: Sequence[tuple[str, np.ndarray]], columns: int) -> Image.Image:
    """Rows of images under their labels.

    Args:
        rows: (label, images), images uint8 (n, channel, height, width) with 1 or 3 channels, n at most `columns`.
        columns: images that fit in a row.
    """
    side = max((images.shape[2] for _, images in rows if len(images)), default=32) * SCALE
    height = side + GAP + LABEL
    sheet = Image.new("RGB", (GAP + columns * (side + GAP), max(len(rows), 1) * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for r, (label, images) in enumerate(rows):
        draw.text((GAP, r * height + GAP), label, fill="black", font=font)
        for c, image in enumerate(images):
            pixels = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
            picture = Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(picture, (GAP + c * (side + GAP), r * height + GAP + LABEL))
    return sheet


def save_small(sheet: Image.Image, path: Path, limit_bytes: int = 300_000) -> None:
    """Write the sheet as PNG, with 256 colours and then fewer rows if it would be larger than `limit_bytes`."""
    sheet.save(path, "PNG", optimize=True)
    while path.stat().st_size > limit_bytes:
        if sheet.mode != "P":
            sheet = sheet.quantize(256, dither=Image.Dither.NONE)
        else:
            sheet = sheet.crop((0, 0, sheet.width, sheet.height * 3 // 4))
        sheet.save(path, "PNG", optimize=True)


def findings_sheet(
    train: np.ndarray,
    test: np.ndarray,
    found: Found,
    copies: PixelCopies | None,
    columns: int = 12,
    clusters: int = 8,
    pairs: int = 18,
) -> Image.Image:
    """The largest clusters, removals the judge doubts and others, leaks, copies missed: look before believing.

    Args:
        train, test: uint8 (n, channel, height, width).
        found: clusters, removals and leaks.
        copies: what a scan by pixels finds.
        columns: images per row; a pair takes two.
        clusters: largest clusters shown, one row each.
        pairs: most pairs shown of each sort.
    """
    rows: list[tuple[str, np.ndarray]] = []
    sizes = np.bincount(found.lowest)
    for kept in np.argsort(-sizes, kind="stable")[:clusters]:
        if sizes[kept] > 1:
            members = np.flatnonzero(found.lowest == kept)
            rows.append((f"cluster of {sizes[kept]}, kept {kept}", train[members[:columns]]))
    removals, leaked = found.removals, found.leaked
    same = removals.verdicts.same
    for label, chosen in (("the judge doubts", ~same), ("the judge agrees", same)):
        some = np.flatnonzero(chosen)[:pairs]
        title = f"kept | removed, {label} ({int(chosen.sum())} of {len(same)} judged)"
        rows += _pair_rows(title, train[removals.a[some]], train[removals.b[some]], columns)
    some = np.lexsort((leaked.a, -leaked.verdicts.correlation))[:pairs]
    title = f"test | train, equal or near codes ({leaked.total}), likest first"
    rows += _pair_rows(title, test[leaked.a[some]], train[leaked.b[some]], columns)
    if copies is not None:
        missed = np.flatnonzero(copies.distance > found.radius)
        some = missed[np.lexsort((copies.a[missed], -copies.correlation[missed]))][:pairs]
        title = (
            f"test | train, alike by pixels, codes farther apart than {found.radius} ({len(missed)} of {len(copies.a)})"
        )
        rows += _pair_rows(title, test[copies.a[some]], train[copies.b[some]], columns)
    return contact_sheet(rows or [("no near-duplicates", train[:0])], columns)


def _pair_rows(title: str, a: np.ndarray, b: np.ndarray, columns: int) -> list[tuple[str, np.ndarray]]:
    """Rows of pairs side by side; none if there is no pair."""
    side_by_side = np.stack([a, b], axis=1).reshape(-1, *a.shape[1:])
    starts = range(0, len(side_by_side), columns - columns % 2)
    return [(title if start == 0 else "", side_by_side[start : start + columns - columns % 2]) for start in starts]
