"""Decoding JPEGs to small squares: images per second and mean error of our recipe, of peers, and of what limits them.

`python benchmarks/decode.py` takes a minute or two. One-process figures are processor time, all sides interleaved in
one run, the best of many rounds, so that the ratios hold on a loaded machine; the gain of a second worker process is
wall time, and needs two free cores: for files, which the workers read and hash themselves, and for bytes, which are
sent to them. Pictures are pieces of scikit-learn's two photographs, 256×256 and 375×500, encoded to about the sizes of
LSUN's and ImageNet's files. The error is the mean absolute difference, in grey levels, to decoding whole and Pillow's
bicubic filter.
"""

import argparse
import hashlib
import io
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.resources import files
from itertools import cycle
from pathlib import Path
from threading import Barrier

import numpy as np
from PIL import Image

from relatent.data.decode import Encoded, Item, as_it_is, decoded_blocks
from relatent.data.formats.folder import read_listed
from relatent.data.images import small_image
from relatent.data.listing import Listed
from relatent.data.parts import BLOCK

SETS = {"256×256": ((256, 256), 88), "375×500": ((375, 500), 84)}


def pictures(size: tuple[int, int], quality: int, count: int) -> list[bytes]:
    """JPEGs cut from the photographs; `size` is height and width."""
    rng = np.random.default_rng(0)
    encoded = []
    for index in range(count):
        name = ("china.jpg", "flower.jpg")[index % 2]
        with Image.open(files("sklearn.datasets.images").joinpath(name).open("rb")) as photograph:
            top, left = (int(rng.integers(0, limit)) for limit in (427 - size[0] + 1, 640 - size[1] + 1))
            file = io.BytesIO()
            photograph.crop((left, top, left + size[1], top + size[0])).save(file, "JPEG", quality=quality)
            encoded.append(file.getvalue())
    return encoded


def square_box(image: Image.Image) -> tuple[float, float, float, float]:
    """The central square."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return left, top, left + side, top + side


def draft_to_size(content: bytes, size: int) -> np.ndarray:
    """`draft` to the size itself, not to twice the size: the usual shortcut."""
    with Image.open(io.BytesIO(content)) as image:
        scale = size / min(image.size)
        image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
        rgb = image.convert("RGB")
    return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC, box=square_box(rgb))).transpose(2, 0, 1)


def whole_and_box(content: bytes, size: int) -> np.ndarray:
    """Decode whole, box filter."""
    with Image.open(io.BytesIO(content)) as image:
        rgb = image.convert("RGB")
    return np.asarray(rgb.resize((size, size), Image.Resampling.BOX, box=square_box(rgb))).transpose(2, 0, 1)


def scaled_decode_alone(content: bytes, size: int) -> np.ndarray:
    """The limit: libjpeg's scaled decode of our recipe, nothing after it."""
    with Image.open(io.BytesIO(content)) as image:
        scale = 2 * size / min(image.size)
        image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
        image.load()
    return np.zeros((3, size, size), np.uint8)


SIDES: dict[str, Callable[[bytes, int], np.ndarray]] = {
    "Pillow, decoded whole, bicubic": lambda content, size: small_image(content, size, draft=False),
    "ours: draft to twice the size": small_image,
    "draft to the size": draft_to_size,
    "decoded whole, box filter": whole_and_box,
    "limit: scaled decode alone": scaled_decode_alone,
}


def one_process(encoded: list[bytes], size: int, rounds: int) -> None:
    """Rates and errors of every side."""
    best = dict.fromkeys(SIDES, float("inf"))
    for _ in range(rounds):
        for name, side in SIDES.items():
            begun = time.process_time()
            for content in encoded:
                side(content, size)
            best[name] = min(best[name], (time.process_time() - begun) / len(encoded))
    whole = [small_image(content, size, draft=False).astype(int) for content in encoded]
    slowest = best["Pillow, decoded whole, bicubic"]
    for name, side in SIDES.items():
        error = np.mean([np.abs(side(x, size) - y).mean() for x, y in zip(encoded, whole, strict=True)])
        shown = f"{error:>7.2f}" if "limit" not in name else "      -"
        print(f"  {name:<32} {1 / best[name]:>9,.0f} images/s {slowest / best[name]:>6.2f}x   error {shown}")


def stream_rate(items: Sequence[Item], read: Callable[[Item], Encoded], size: int, count: int, workers: int) -> float:
    """Images per second of wall time of `decoded_blocks` in the midst of an endless stream, whole blocks of it."""
    blocks = decoded_blocks(cycle(items), read, 0, size, workers)
    next(blocks)  # the first block pays for starting the processes
    begun = time.perf_counter()
    done = sum(len(next(blocks).images) for _ in range(count // BLOCK))
    seconds = time.perf_counter() - begun
    blocks.close()
    return done / seconds


def decode_alone(encoded: list[bytes], size: int, count: int, start: Barrier) -> float:
    """Images per second of a process that shares nothing: our recipe over and over."""
    small_image(encoded[0], size)
    start.wait()
    begun = time.perf_counter()
    for index in range(count):
        small_image(encoded[index % len(encoded)], size)
    return count / (time.perf_counter() - begun)


def independent_rate(encoded: list[bytes], size: int, count: int, processes: int) -> float:
    """Images per second of so many processes with nothing between them: what this machine has to give."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(processes, mp_context=context) as pool:
        start = manager.Barrier(processes)
        shares = [pool.submit(decode_alone, encoded, size, count // processes, start) for _ in range(processes)]
        return sum(share.result() for share in shares)


def second_worker(encoded: list[bytes], size: int, count: int, rounds: int) -> None:
    """What a second worker process gains, beside what a second process gains that shares nothing; in turn, best of."""
    with tempfile.TemporaryDirectory() as folder:
        listed = []
        for index, content in enumerate(encoded):
            Path(folder, f"{index}.jpg").write_bytes(content)
            listed.append(Listed(f"{index}.jpg", len(content), hashlib.sha256(content).hexdigest()))
        sides: dict[str, Callable[[int], float]] = {
            "files, as of a folder": partial(stream_rate, listed, partial(read_listed, Path(folder)), size, count),
            "bytes, as of a database": partial(stream_rate, [Encoded(one) for one in encoded], as_it_is, size, count),
            "limit: processes that share nothing": partial(independent_rate, encoded, size, count),
        }
        best: dict[tuple[str, int], float] = {}
        for _ in range(rounds):
            for side, rate in sides.items():
                for workers in (1, 2):
                    best[side, workers] = max(best.get((side, workers), 0), rate(workers))
    print("  a second worker, images/s of wall time:")
    for side in sides:
        one, two = best[side, 1], best[side, 2]
        print(f"    {side:<36} {one:>7,.0f} to {two:>7,.0f} {two / one:>6.2f}x")


def main() -> None:
    """Print a table per kind of picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=32, help="of the squares made")
    parser.add_argument("--stream", type=int, default=8192, help="images of each side to compare workers on; 0: none")
    parser.add_argument("--stream-rounds", type=int, default=2, help="of the comparison of workers")
    arguments = parser.parse_args()
    for name, (size, quality) in SETS.items():
        encoded = pictures(size, quality, 24)
        kib = np.mean([len(content) for content in encoded]) / 1024
        print(f"{name}, {kib:.0f} KiB, to {arguments.size}×{arguments.size}")
        one_process(encoded, arguments.size, arguments.rounds)
        if arguments.stream:
            second_worker(encoded, arguments.size, arguments.stream, arguments.stream_rounds)


if __name__ == "__main__":
    main()
