"""OMNIGLOT made anew from the drawings, against arrays that others made from them."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relatent.data.formats.omniglot import read_omniglot, small_drawing
from relatent.errors import DataIntegrityError


def drawing(row: int = 50) -> bytes:
    """105×105, one black stroke along a row."""
    image = Image.new("1", (105, 105), 1)
    image.paste(0, (20, row, 85, row + 3))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def archive(path: Path, names: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in names.items():
            packed.writestr(name, content)
    return path


def test_strokes_are_white_on_black():
    """The drawings are black on white; the models see ink as ones."""
    image = small_drawing(drawing(), 28, "here")
    assert image[0, 0] == 0
    assert image[13, 14] > 128


def test_drawers_decide_the_split_and_names_the_order(tmp_path):
    """Sorted over both archives: the same rows whatever the packing order."""
    names = {
        f"a/{alphabet}/character01/0001_{drawer:02}.png": drawing(drawer) for alphabet in "ZB" for drawer in (16, 2)
    }
    part = read_omniglot([archive(tmp_path / "a.zip", names)], (1, 15), 28)
    assert list(part.names) == ["a/B/character01/0001_02.png", "a/Z/character01/0001_02.png"]
    assert read_omniglot([archive(tmp_path / "a.zip", names)], (16, 20), 28).n_images == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a/B/character01/0001_02.png", b"", "not a drawing"),
        ("a/B/character01/0001_02.png", drawing()[:60], "not a drawing"),
        ("a/B/other.png", drawing(), "not named as"),
    ],
)
def test_what_is_no_drawing_is_refused_by_name(tmp_path, name, content, reason):
    with pytest.raises(DataIntegrityError, match=reason) as caught:
        read_omniglot([archive(tmp_path / "a.zip", {name: content})], (1, 20), 28)
    assert name in str(caught.value)


@pytest.mark.mirror
@pytest.mark.parametrize(("split", "drawers", "n"), [("train", (1, 15), 24345), ("test", (16, 20), 8115)])
def test_rebuilt_pictures_agree_with_the_reference_arrays(split, drawers, n):
    """To one grey level on 99.9 % of pixels. The reference names alphabets otherwise, so they are matched by pixels."""
    reference = Path(os.environ.get("OMNIGLOT_REFERENCE", "../shared/datasets/omniglot/omniglot28_reference.npz"))
    if not reference.is_file():
        pytest.skip(f"{reference}: no reference arrays; name them in OMNIGLOT_REFERENCE")
    folder = Path(os.environ["RELATENT_MIRROR"], "omniglot")
    part = read_omniglot([folder / "images_background.zip", folder / "images_evaluation.zip"], drawers, 28)
    assert part.n_images == n
    alphabets = np.array([name.split("/")[1] for name in part.names])
    ours = [part.images[alphabets == name, 0].astype(np.int16) for name in sorted(set(alphabets))]
    with np.load(reference) as arrays:
        images, of = arrays[f"{split}_x"].astype(np.int16), arrays[f"{split}_alphabet"]
    close = total = 0
    for index in np.unique(of):
        theirs = images[of == index]
        agreement = [int((np.abs(mine - theirs) <= 1).sum()) for mine in ours if mine.shape == theirs.shape]
        close, total = close + max(agreement), total + theirs.size
    assert close >= 0.999 * total
