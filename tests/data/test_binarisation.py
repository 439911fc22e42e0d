import numpy as np
import pytest

from relatent.data.binarisation import binarisation_id, dynamic, static
from relatent.data.binarisation import test_binarisation as binarise_test
from relatent.data.streams import stream


def grey_ramp(n: int = 400, pixels: int = 256) -> np.ndarray:
    return np.tile(np.arange(pixels, dtype=np.uint8), (n, 1))


def test_black_is_never_on_and_white_always_is():
    """u is in [0, 1): never below 0/255, always below 255/255. Bytes as uniforms would give 255/256."""
    binary = np.concatenate([dynamic(grey_ramp(), seed=0, step=step) for step in range(50)])
    assert not binary[:, 0].any()
    assert binary[:, 255].all()


def test_the_share_of_pixels_on_is_the_grey_level():
    """On with probability grey/255, to 5 standard errors at each of the 256 levels and in their sum of squares."""
    binary = np.concatenate([dynamic(grey_ramp(), seed=1, step=step) for step in range(50)])
    p = np.arange(1, 255) / 255
    z = (binary.mean(axis=0)[1:255] - p) / np.sqrt(p * (1 - p) / len(binary))
    assert np.abs(z).max() <= 5
    assert abs((z**2).sum() - 254) <= 5 * np.sqrt(2 * 254)  # chi-square of 254 degrees of freedom


@pytest.mark.parametrize("shape", [(400, 256), (3, 5, 17)])
def test_a_pixel_is_on_when_u_is_below_its_mean(shape):
    """u < grey/255 in exact integers, u being a pixel's byte and, in a tie, 24 bits more; else these change nothing."""
    grey = np.arange(np.prod(shape), dtype=np.uint64).astype(np.uint8).reshape(shape)
    words = stream(2, "dynamic binarisation", 7).bit_generator
    digits = np.frombuffer(words.random_raw(-(-grey.size // 8)).astype("<u8").tobytes(), np.uint8)[: grey.size]
    digits = digits.astype(np.int64).reshape(shape)
    ties = digits == grey
    rest = np.frombuffer(words.random_raw(-(-ties.sum() // 2)).astype("<u8").tobytes(), "<u4")[: ties.sum()] >> 8
    least, most = np.zeros(shape, np.int64), np.full(shape, 2**24 - 1)
    least[ties] = most[ties] = rest
    for tail in (least, most):
        expected = 255 * (digits * 2**24 + tail) < grey.astype(np.int64) * 2**32
        np.testing.assert_array_equal(dynamic(grey, 2, 7), expected)


def test_the_layout_of_a_batch_in_memory_changes_no_bit():
    """A transposed or strided view is read pixel by pixel, in the order of its axes."""
    grey = np.random.default_rng(0).integers(0, 256, (16, 30), dtype=np.uint8)
    for view in (grey.T, grey[::2], np.asfortranarray(grey)):
        np.testing.assert_array_equal(dynamic(view, 0, 0), dynamic(view.copy(order="C"), 0, 0))
        np.testing.assert_array_equal(dynamic(view[:0], 0, 0), view[:0])


def test_each_visit_is_a_fresh_draw():
    """Two epochs of training must not see the same binarisation (yburda/iwae draws at each visit)."""
    grey = grey_ramp(20)
    assert (dynamic(grey, 0, 0) != dynamic(grey, 0, 1)).any()
    assert (dynamic(grey, 0, 0) != dynamic(grey, 1, 0)).any()
    assert len(np.unique(dynamic(grey, 0, 0), axis=0)) == len(grey)  # equal images in a batch have draws of their own


def test_a_step_is_the_same_whatever_came_before_it():
    """Streams are keyed by the step, so a resumed run sees the bits of an unbroken one."""
    grey = grey_ramp(20)
    late = dynamic(grey, 3, 1000)
    for step in range(5):
        dynamic(grey, 3, step)
    np.testing.assert_array_equal(dynamic(grey, 3, 1000), late)


@pytest.mark.parametrize("draw", [static, binarise_test])
def test_cutting_a_set_into_blocks_changes_no_bit(draw):
    """Static and test draws are keyed by the image, so the evaluation's block size leaves no trace."""
    grey = grey_ramp(37)
    blocks = [draw(grey[start : start + 8], 5, first_image=start) for start in range(0, 37, 8)]
    np.testing.assert_array_equal(np.concatenate(blocks), draw(grey, 5))


def test_a_binary_set_comes_out_as_it_is():
    """Pixels 0 and 255 are certain, so the fixed split of Larochelle is the same under any seed."""
    fixed = np.random.default_rng(0).integers(0, 2, (30, 784)).astype(np.uint8)
    np.testing.assert_array_equal(binarise_test(fixed * np.uint8(255)), fixed)
    np.testing.assert_array_equal(dynamic(fixed * np.uint8(255), 9, 9), fixed)


def test_train_and_test_draws_are_different_streams():
    grey = grey_ramp(20)
    assert (static(grey, 0) != binarise_test(grey, 0)).any()


def test_the_id_changes_with_one_pixel_and_with_the_shape():
    binary = binarise_test(grey_ramp(10))
    other = binary.copy()
    other[3, 100] ^= 1
    assert binarisation_id(binary) != binarisation_id(other)
    assert binarisation_id(binary) == binarisation_id(binary.reshape(10, 1, 16, 16))
    assert binarisation_id(binary) != binarisation_id(binary.reshape(20, 128))


def test_the_published_test_binarisation_has_not_moved():
    """Numbers reported elsewhere stand on these bits: a change of stream, bits or byte order must be noticed."""
    assert (
        binarisation_id(binarise_test(grey_ramp(64)))
        == "566272ddc142f51c28f3a85f52f3ac902701007c0fc63c2bf77b8de9f40626af"
    )


def test_grey_in_zero_to_one_is_refused():
    """Values already in [0, 1] (chardata.mat) would otherwise come out all black."""
    with pytest.raises(ValueError, match="uint8"):
        dynamic(np.full((2, 4), 0.5), 0, 0)  # type: ignore[arg-type]
