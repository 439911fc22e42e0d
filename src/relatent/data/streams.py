"""Counter-based random streams (DESIGN section 5, *Randomness*).

Every draw is keyed by what it is for, never by how many draws came before it, so the number of workers, the block
size and the point a run was resumed at leave no trace in the bits.
"""

import hashlib
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOW = (1 << 64) - 1
_ZEROS = np.zeros(4, dtype=np.uint64)
_START: dict[str, Any] = {"bit_generator": "Philox", "buffer": _ZEROS, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}


class _Own(threading.local):
    """One Philox per thread."""

    def __init__(self) -> None:
        self.generator = np.random.Philox(key=0)


_own = _Own()


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


def passing_stream(seed: int, purpose: str, *counters: int) -> np.random.Philox:
    """The raw words of `stream(...)`, cheaper, and good only until this thread asks for its next stream.

    A Philox is made once per thread and set to the key, which costs a twelfth of making one: a minibatch asks for a
    stream of its own.
    """
    key = stream_key(seed, purpose, *counters)
    state = {"counter": _ZEROS, "key": np.array([key & _LOW, key >> 64], dtype=np.uint64)}
    _own.generator.state = dict(_START, state=state)  # type: ignore[assignment]  # numpy types it narrowly
    return _own.generator


def random_words(count: int, seed: int, purpose: str, *counters: int) -> NDArray[np.uint64]:
    """(count,) 64-bit words from the start of the stream (seed, purpose, counters...).

    The words of `stream(...).bit_generator.random_raw(count)`.
    """
    return passing_stream(seed, purpose, *counters).random_raw(count)


def permutation(n: int, seed: int, purpose: str, *counters: int) -> NDArray[np.int64]:
    """(n,): a random order of 0 .. n-1 from the stream (seed, purpose, counters...).

    The order of n raw 64-bit words: numpy promises the bits of Philox to stay, those of `Generator.permutation` not.
    """
    return np.argsort(random_words(n, seed, purpose, *counters), kind="stable").astype(np.int64, copy=False)
