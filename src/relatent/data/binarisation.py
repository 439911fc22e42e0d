"""From grey levels to the {0, 1} images that a Bernoulli decoder scores (specs/iwae.md, section 2.2).

A grey level g is the mean g/255 of its pixel: the pixel is on when a uniform number u of 24 bits or more is below
g/255. So grey 0 is never on and grey 255 always (8 bits would give g/256). Images of a set published in binary, whose
pixels are 0 and 255, come out as they are, whatever the seed.

Three ways to draw, each from streams of its own (DESIGN section 5, *Randomness*):

- `dynamic`: a fresh draw at every visit of a minibatch, keyed by (seed, step): the papers' training sets.
- `static`: one draw per image for a whole run, keyed by (seed, image).
- `test_binarisation`: the same for the test set. The numbers reported depend on it, so `binarisation_id` names it.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from relatent.data.streams import passing_stream, random_words

BITS = 24  # of a uniform number; 255 times it still fits 32 bits, so the comparison is exact in integers

# The one seed behind every published test binarisation, whatever the seeds of the runs: the released code's seed.
TEST_SEED = 123  # yburda/iwae, iwae_eval.py


def dynamic(grey: NDArray[np.uint8], seed: int, step: int) -> NDArray[np.uint8]:
    """A fresh binarisation of one minibatch, as it is visited at training step `step`.

    Burda et al. 2016, sec. 5.1. The draw depends on the seed, the step and the batch, and on nothing before it, so a
    resumed run sees the same bits. About 2 microseconds per image of 784 pixels.

    u has 32 bits, of which most pixels need 8. To base 256, g/255 is 0.ggg..., so a first digit of u other than g
    decides. One that equals g (a tie, one pixel in 256) leaves the rest of u to be compared with 0.gg..., which is
    g/255 again: that is drawn for the ties alone, 24 bits each, further on in the same stream.

    Args:
        grey: (batch, ...) grey levels, 0..255.
        seed: the run's seed.
        step: number of the minibatch since the start of training, from 0.

    Returns:
        uint8 of the same shape, 0 or 1.
    """
    _refuse_all_but_bytes(grey)
    words = passing_stream(seed, "dynamic binarisation", step)
    levels = grey.reshape(-1)
    digits = _little_endian(words.random_raw((levels.size + 7) // 8)).view(np.uint8)[: levels.size]
    binary = (digits < levels).view(np.uint8)
    ties = (digits == levels).nonzero()[0]
    rest = _little_endian(words.random_raw((ties.size + 1) // 2)).view("<u4")[: ties.size]
    binary[ties] = _below_mean(levels[ties], rest)
    return binary.reshape(grey.shape)


def static(grey: NDArray[np.uint8], seed: int, first_image: int = 0) -> NDArray[np.uint8]:
    """One binarisation of a training set, to be kept for a whole run.

    Args:
        grey: (images, ...) grey levels, 0..255.
        seed: the run's seed.
        first_image: index in its split of the first image given; any cut into blocks gives the same bits.

    Returns:
        uint8 of the same shape, 0 or 1.
    """
    return _per_image(grey, seed, "static binarisation", first_image)


def test_binarisation(grey: NDArray[np.uint8], seed: int = TEST_SEED, first_image: int = 0) -> NDArray[np.uint8]:
    """The binarisation of a test split that numbers are reported on.

    Keyed by (seed, image): neither the evaluation's block size nor its order changes it. The released code draws it on
    the fly, inside evaluation (specs/iwae.md, section 0, item 7); ours is drawn once and named by `binarisation_id`.

    Args:
        grey: (images, ...) grey levels, 0..255.
        seed: TEST_SEED for every published number.
        first_image: index in the split of the first image given.

    Returns:
        uint8 of the same shape, 0 or 1.
    """
    return _per_image(grey, seed, "test binarisation", first_image)


test_binarisation.__test__ = False  # type: ignore[attr-defined]  # pytest: a test set, not a test


def binarisation_id(binary: NDArray[np.uint8]) -> str:
    """Name of a binarisation: hex sha256 over the number of images and the pixels, eight to a byte, image by image."""
    images = binary.reshape(len(binary), -1)
    return hashlib.sha256(f"{images.shape} ".encode() + np.packbits(images, axis=1).tobytes()).hexdigest()


def _per_image(grey: NDArray[np.uint8], seed: int, purpose: str, first_image: int) -> NDArray[np.uint8]:
    _refuse_all_but_bytes(grey)
    binary = np.empty(grey.shape, np.uint8)
    for offset, image in enumerate(grey):
        binary[offset] = _below_mean(image, _uniform_words(image.size, seed, purpose, first_image + offset))
    return binary


def _uniform_words(count: int, seed: int, purpose: str, counter: int) -> NDArray[np.uint32]:
    """`count` uniform 32-bit words; read from 64-bit words as little-endian pairs, on any machine."""
    return _little_endian(random_words((count + 1) // 2, seed, purpose, counter)).view("<u4")[:count]


def _little_endian(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The same words, laid out so that a view of their parts is the same on any machine."""
    return words.astype("<u8", copy=False)


def _below_mean(grey: NDArray[np.uint8], words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """1 where u < grey/255, with u the top 24 bits of a word; exact, in integers that fit 32 bits. Uses `words` up.

    With U = 2**24 u, U / 2**24 < grey / 255 says 255 U < 2**24 grey, and that floor(255 U / 2**24) < grey.
    """
    _refuse_all_but_bytes(grey)
    words >>= np.uint32(32 - BITS)
    words *= np.uint32(255)
    words >>= np.uint32(BITS)
    return (words.astype(np.uint8).reshape(grey.shape) < grey).view(np.uint8)


def _refuse_all_but_bytes(grey: NDArray[np.uint8]) -> None:
    if grey.dtype != np.uint8:
        raise ValueError(f"grey levels must be uint8 in 0..255, not {grey.dtype}; values in [0, 1] belong times 255")
