"""Counter-based random streams (DESIGN section 5, *Randomness*).

Every draw is keyed by what it is for, never by how many draws came before it, so the number of workers, the block
size and the point a run was resumed at leave no trace in the bits.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray


def stream_key(seed: int, purpose: str, *counters: int) -> int:
    """128-bit key of the stream (seed, purpose, counters...); distinct arguments give independent streams."""
    text = "/".join([str(seed), purpose, *(str(counter) for counter in counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A generator that stands at the start of the stream (seed, purpose, counters...).

    Args:
        seed: the run's seed.
        purpose: what the numbers are for, e.g. "binarise", "posterior noise".
        counters: step, or image index, or (epoch,).
    """
    return np.random.Generator(np.random.Philox(key=stream_key(seed, purpose, *counters)))


def permutation(n: int, seed: int, purpose: str, *counters: int) -> NDArray[np.int64]:
    """(n,): a random order of 0 .. n-1 from the stream (seed, purpose, counters...).

    The order of n raw 64-bit words: numpy promises the bits of Philox to stay, those of `Generator.permutation` not.
    """
    words = stream(seed, purpose, *counters).bit_generator.random_raw(n)
    return np.argsort(words, kind="stable").astype(np.int64, copy=False)
