"""Decoding a stream of images with worker processes; the order and the bits do not depend on how many.

What can be read where it is decoded should be: a process that reads, hashes and sends JPEGs spends a ninth to a sixth
of the time that the workers need to decode them, one that sends their paths a twentieth or less.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from relatent.data.images import UnreadableImage, small_image
from relatent.data.parts import BLOCK, Block
from relatent.errors import RelatentError

BATCH = 64  # images per message to a worker: large enough to hide the message, small enough to bound memory
AHEAD = 4  # messages per worker under way

Item = TypeVar("Item")


class Encoded(NamedTuple):
    """One encoded image; or none, and why."""

    content: bytes
    problem: str | None = None


class Decoded(NamedTuple):
    """The images of one message; `problems` by place in it."""

    images: NDArray[np.uint8]
    problems: dict[int, str]


def as_it_is(image: Encoded) -> Encoded:
    """Reads nothing: for images that had to be read in this process."""
    return image


def decoded_blocks(
    items: Iterable[Item], read: Callable[[Item], Encoded], start: int, size: int, workers: int
) -> Iterator[Block]:
    """Blocks of images made small, in the order of `items`.

    Args:
        items: what stands for the images from index `start` of the part on, such as a path.
        read: gives an item's image; called in the process that decodes it, so both must be picklable.
        start: a multiple of BLOCK.
        size: of the images made.
        workers: processes; 1 decodes in this one.

    Raises:
        RelatentError: what `read` raises; or a worker has died.
    """
    first, images, unreadable = start, [], {}
    filled = 0
    for batch in _decoded(iter(items), read, size, workers):
        unreadable.update({first + filled + place: why for place, why in batch.problems.items()})
        images.append(batch.images)
        filled += len(batch.images)
        if filled == BLOCK:  # BLOCK is a multiple of BATCH
            yield Block(first, np.concatenate(images), unreadable)
            first, images, unreadable, filled = first + filled, [], {}, 0
    if images:
        yield Block(first, np.concatenate(images), unreadable)


def _decoded(items: Iterator[Item], read: Callable[[Item], Encoded], size: int, workers: int) -> Iterator[Decoded]:
    batches = iter(lambda: list(islice(items, BATCH)), [])
    if workers <= 1:
        for batch in batches:
            yield decode_batch(batch, read, size)
        return
    try:
        # Spawned, not forked: a fork of a process with threads may hang.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            waiting: deque[Future[Decoded]] = deque()
            for batch in batches:
                waiting.append(pool.submit(decode_batch, batch, read, size))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    except BrokenProcessPool:
        raise RelatentError(
            "a process that decodes images died: out of memory, or killed. What was done is kept; run it again, with "
            "--workers 1 if it happens again."
        ) from None


def decode_batch(batch: Sequence[Item], read: Callable[[Item], Encoded], size: int) -> Decoded:
    """Read and decode one message."""
    images, problems = np.zeros((len(batch), 3, size, size), np.uint8), {}
    for place, (content, problem) in enumerate(map(read, batch)):
        if problem is not None:
            problems[place] = problem
            continue
        try:
            images[place] = small_image(content, size)
        except UnreadableImage as why:
            problems[place] = str(why)
    return Decoded(images, problems)
