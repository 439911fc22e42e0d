"""Weight, slant and greyness of drawings whose answers are known."""

import pytest
import torch

from relatent.visual.strokes import greyness, slant, weight


def drawing(*lines):
    """`#` is white, `+` is half as bright (128), anything else black."""
    levels = {"#": 255, "+": 128}
    return torch.tensor([[levels.get(mark, 0) for mark in line] for line in lines], dtype=torch.uint8)[None, None]


UPRIGHT = drawing("..#..", "..#..", "..#..", "..#..")
RIGHT = drawing("...#", "..#.", ".#..", "#...")
FLAT = drawing("....", ".##.", "....")
BLANK = drawing("....", "....")


def test_slant_is_the_shear_of_an_upright_stroke():
    """One pixel to the right per pixel upwards is 1, to the left -1; two per pixel 2."""
    steep = drawing("....#", "..#..", "#....")
    found = [slant(image).item() for image in (UPRIGHT, RIGHT, RIGHT.flip(-1), steep)]
    assert found == pytest.approx([0, 1, -1, 2])


@pytest.mark.parametrize("image", [FLAT, BLANK])
def test_ink_without_height_leans_nowhere(image):
    """Its slant is 0 / 0; no number must come of that but 0."""
    assert slant(image).item() == 0


def test_slant_does_not_depend_on_place_or_brightness():
    moved = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    moved[0, 0, 4:8, 5:9] = RIGHT[0, 0] // 3
    torch.testing.assert_close(slant(moved), slant(RIGHT))


def test_weight_is_the_share_of_ink():
    assert weight(UPRIGHT).item() == pytest.approx(4 / 20)
    assert weight(torch.full((1, 1, 3, 3), 255, dtype=torch.uint8)).item() == 1


def test_greyness_is_none_in_black_and_white_and_more_the_darker_the_ink():
    """1 - p for ink of one grey level p."""
    half = drawing("++", "..")
    assert greyness(torch.cat([UPRIGHT])).item() == pytest.approx(0, abs=1e-12)
    assert greyness(half).item() == pytest.approx(1 - 128 / 255)
    assert greyness(BLANK).item() == 0


@pytest.mark.parametrize("measure", [weight, slant, greyness])
def test_colour_is_refused(measure):
    with pytest.raises(ValueError, match=r"\(n, 1, height, width\) grey images, not \(2, 3, 8, 8\)"):
        measure(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
