"""The prepared store: the right image at the right row, in bounded memory, whatever interrupts it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import made
import numpy as np
import pytest

from relatent.data import store
from relatent.data.parts import BLOCK, ArrayPart, Block
from relatent.data.splits import cut, shuffled
from relatent.data.store import SplitRows, open_array, write_splits
from relatent.errors import DataIntegrityError, MissingDataError

SHAPE = (1, 2, 2)


class CountedPart:
    """Images that hold their own index; some cannot be read; reading may break off."""

    labels = None
    names = None

    def __init__(self, n: int, unreadable: tuple[int, ...] = (), break_at: int | None = None) -> None:
        self.n_images, self.unreadable, self.break_at = n, unreadable, break_at
        self.asked: list[int] = []

    def blocks(self, start: int = 0) -> Iterator[Block]:
        for first in range(start, self.n_images, BLOCK):
            self.asked.append(first)
            if first == self.break_at:
                raise KeyboardInterrupt
            index = np.arange(first, min(first + BLOCK, self.n_images))
            images = (index[:, None] >> np.array([0, 8, 16, 24])).astype(np.uint8).reshape(-1, *SHAPE)
            yield Block(first, images, {i: "broken" for i in self.unreadable if i in index})


def indices(path: Path) -> np.ndarray:
    """Which image each row holds."""
    return (np.load(path).reshape(-1, 4).astype(np.int64) << np.array([0, 8, 16, 24])).sum(axis=1)


def rows_of(n: int, cut_at: int) -> list[SplitRows]:
    order = shuffled(n, "stream", 7)
    return [
        SplitRows("train", "all", cut(order, 0, cut_at, "")),
        SplitRows("test", "all", cut(order, cut_at, None, "")),
    ]


def write(part, splits, scratch, with_labels=False):
    return write_splits({"all": part}, splits, SHAPE, scratch, "toy", with_labels)


def test_shuffled_splits_get_their_images_in_their_order(tmp_path):
    """A split is rows of a permutation; blocks arrive in file order and are scattered."""
    n, splits = 2 * BLOCK + 100, rows_of(2 * BLOCK + 100, 5000)
    written = write(CountedPart(n), splits, tmp_path)
    for split in splits:
        np.testing.assert_array_equal(indices(tmp_path / f"{split.name}_images.npy"), split.rows)
        assert written[split.name]["n"] == len(split.rows)


def test_labels_and_names_stay_with_their_images(tmp_path):
    images = np.arange(40, dtype=np.uint8).reshape(10, *SHAPE)
    part = ArrayPart(images, np.arange(10), [f"{index}.png" for index in range(10)])
    write(part, rows_of(10, 6), tmp_path, with_labels=True)
    labels = np.load(tmp_path / "train_labels.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "train_images.npy"), images[labels])
    assert (tmp_path / "train_names.txt").read_text().split() == [f"{label}.png" for label in labels]


def test_hashes_are_of_the_values_not_of_the_file(tmp_path):
    """Another numpy may write another .npy header."""
    written = write(CountedPart(10), rows_of(10, 6), tmp_path)
    values = np.load(tmp_path / "train_images.npy").tobytes()
    assert written["train"]["sha256_images"] == hashlib.sha256(values).hexdigest()


def test_unreadable_images_are_left_out_counted_and_named(tmp_path):
    """The others close ranks, in order; the manifest says which are missing and why."""
    n, bad = 2 * BLOCK, (3, 5000, 8000)
    splits = rows_of(n, 5000)
    written = write(CountedPart(n, bad), splits, tmp_path)
    for split in splits:
        kept = [row for row in split.rows.tolist() if row not in bad]
        assert indices(tmp_path / f"{split.name}_images.npy").tolist() == kept
        assert written[split.name]["n"] == len(kept)
    assert {index for entry in written.values() for index in entry.get("unreadable", {})} == {"3", "5000", "8000"}


def test_too_many_unreadable_images_are_an_error(tmp_path):
    """More than one in a hundred is a wrong recipe or a wrong disk, not bad luck."""
    with pytest.raises(DataIntegrityError, match="toy/all: 20 of 1000 images cannot be read, first number 0: broken"):
        write(CountedPart(1000, tuple(range(20))), rows_of(1000, 500), tmp_path)


@pytest.mark.parametrize("break_at", [0, BLOCK, 2 * BLOCK])
def test_an_interrupted_run_goes_on_with_its_next_block(tmp_path, break_at):
    """And ends with the bytes of an undisturbed one, unreadable images of the first run included."""
    n, bad = 3 * BLOCK, (1, BLOCK + 1)
    splits = rows_of(n, 7000)
    with pytest.raises(KeyboardInterrupt):
        write(CountedPart(n, bad, break_at), splits, tmp_path / "broken")
    again = CountedPart(n, bad)
    resumed = write(again, splits, tmp_path / "broken")
    assert again.asked == list(range(break_at, n, BLOCK))
    assert resumed == write(CountedPart(n, bad), splits, tmp_path / "whole")


@pytest.mark.parametrize("lost", ["train_images.npy", "test_images.npy"])
def test_arrays_lost_after_they_were_finished_are_made_anew(tmp_path, lost):
    """A run killed while it moves its arrays to their place has noted all blocks as done, yet lacks some arrays."""
    splits = rows_of(100, 60)
    first = write(CountedPart(100), splits, tmp_path)
    (tmp_path / lost).unlink()
    assert write(CountedPart(100), splits, tmp_path) == first


def test_an_image_of_another_shape_is_refused(tmp_path):
    part = ArrayPart(np.zeros((10, 1, 3, 3), np.uint8))
    with pytest.raises(DataIntegrityError, match=r"images are uint8 \(1, 3, 3\), the registry's shape is \(1, 2, 2\)"):
        write(part, rows_of(10, 5), tmp_path)


def test_a_split_longer_than_its_part_is_refused():
    with pytest.raises(DataIntegrityError, match="rows 0 to 59600 of a part of 100 images"):
        cut(np.arange(100), 0, 59_600, "mnist: splits.train")


def test_shares_cut_without_overlap_or_loss():
    parts = [cut(np.arange(101), 0, None, "", share) for share in ((0.0, 0.9), (0.9, 1.0))]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(101))


def test_omniglot_is_shuffled_by_the_generator_of_the_authors_code():
    """numpy's RandomState(123), whose bits are frozen: yburda/iwae, OMNIGLOT. Its first draws, once and for all."""
    order = shuffled(24345, "RandomState", 123)
    np.testing.assert_array_equal(order, np.random.RandomState(123).permutation(24345))
    assert sorted(order) == list(range(24345))


def test_a_truncated_array_is_refused(tmp_path):
    write(CountedPart(10), rows_of(10, 6), tmp_path)
    path = tmp_path / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataIntegrityError, match=r"not a whole array .*run `snakemake"):
        open_array(path)
    with pytest.raises(MissingDataError, match="no such file"):
        open_array(tmp_path / "other.npy")


PREPARE = """
import sys, numpy as np
from pathlib import Path
from relatent.data.formats.folder import FolderPart
from relatent.data.listing import Listing
from relatent.data.splits import shuffled
from relatent.data.store import SplitRows, write_splits
from relatent.data import parts, decode, store
parts.BLOCK = decode.BLOCK = 64  # many blocks from few images
folder, scratch = map(Path, sys.argv[1:])
part = FolderPart(folder / "photos", Listing(folder / "listing.tsv"), 32, False, 1)
order = shuffled(part.n_images, "stream", 0)
splits = [SplitRows("train", "all", order[:900]), SplitRows("test", "all", order[900:])]
write_splits({"all": part}, splits, (3, 32, 32), scratch, "photos", False)
"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A thousand small JPEGs, listed."""
    from relatent.data.listing import write_listing

    folder = tmp_path_factory.mktemp("set")
    (folder / "photos").mkdir()
    for index in range(1000):
        content = made.encoded(made.photograph(96, 64, seed=index % 50), quality=50 + index // 25)
        (folder / "photos" / f"{index:05}.jpg").write_bytes(content if index != 77 else b"broken")
    with (folder / "listing.tsv").open("wb") as file:
        write_listing(folder / "photos", file)
    return folder


@pytest.mark.slow
def test_a_run_killed_at_any_point_ends_in_the_same_bytes(photographs, tmp_path):
    """SIGKILL several times, at other points each time; the last run makes what an undisturbed one makes."""
    command = [sys.executable, "-c", PREPARE, str(photographs)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    states = []
    for fraction in (0.2, 0.5, 0.8):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
        state = tmp_path / "killed" / f"all.{store.STATE}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if state.is_file() and json.loads(state.read_text())["done"] >= fraction * 1000:
                break
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        states.append(json.loads(state.read_text())["done"])
    assert states == sorted(states)
    assert 0 < states[0] < 1000
    subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True)
    for name in ("train_images.npy", "test_images.npy", "train_names.txt", "test_names.txt"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


STREAM = (
    """
import sys
from pathlib import Path
import numpy as np
from relatent.data.parts import BLOCK, Block
from relatent.data.splits import shuffled
from relatent.data.store import SplitRows, write_splits

class Stream:
    n_images, labels, names = int(sys.argv[2]), None, None
    def blocks(self, start=0):
        for first in range(start, self.n_images, BLOCK):
            yield Block(first, np.full((min(BLOCK, self.n_images - first), 3, 64, 64), first % 251, np.uint8))

order = shuffled(Stream.n_images, "stream", 0)
write_splits({"all": Stream()}, [SplitRows("train", "all", order)], (3, 64, 64), Path(sys.argv[1]), "x", False)
"""
    + made.PRINT_PEAK
)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(tmp_path):
    """Six times the images, 300 MB of them, take no more memory than the index into them (16 bytes an image)."""
    peaks = []
    for n in (BLOCK, 6 * BLOCK):
        done = subprocess.run(
            [sys.executable, "-c", STREAM, str(tmp_path / str(n)), str(n)], check=True, capture_output=True, text=True
        )
        peaks.append(int(done.stdout))
        for path in (tmp_path / str(n)).iterdir():
            path.unlink()
    assert peaks[1] - peaks[0] < 50_000  # kB


DECODE = (
    """
import sys
from pathlib import Path
from relatent.data import decode, parts
parts.BLOCK = decode.BLOCK = 64  # blocks of few images
from relatent.data.formats.folder import FolderPart
from relatent.data.formats.lmdb import LmdbPart
from relatent.data.listing import Listing
from relatent.data.splits import shuffled
from relatent.data.store import SplitRows, write_splits

source, scratch = map(Path, sys.argv[1:])
folder = source.with_suffix(".photos")
part = LmdbPart(source, 64, 1) if source.suffix == ".mdb" else FolderPart(folder, Listing(source), 64, False, 1)
order = shuffled(part.n_images, "stream", 0)
write_splits({"all": part}, [SplitRows("train", "all", order)], (3, 64, 64), scratch, "x", False)
"""
    + made.PRINT_PEAK
)


def noisy_jpegs(n: int) -> Iterator[tuple[str, bytes]]:
    """JPEGs of some 50 KiB, what a photograph of 400×500 has: noise packs badly."""
    rng = np.random.default_rng(0)
    contents = [made.encoded(made.Image.fromarray(rng.integers(0, 256, (200, 200, 3), np.uint8)), quality=90)] * 2
    for index in range(n):
        yield f"{index:06}.jpg", contents[index % 2]


@pytest.mark.parametrize("kind", ["lmdb", "folder"])
def test_memory_does_not_grow_with_the_images_decoded(tmp_path, kind):
    """60 MB of JPEGs more, read from a database or a folder and made 64×64, and no more memory.

    What is read through the database's map would stay in memory if the map were kept: 46 GB of LSUN's bedrooms.
    """
    peaks = []
    for n in (256, 1536):
        if kind == "lmdb":
            lmdb = pytest.importorskip("lmdb")
            source = tmp_path / f"{n}.mdb"
            opened = lmdb.open(str(source), subdir=False, map_size=1 << 29)
            with opened as environment, environment.begin(write=True) as writer:
                for name, content in noisy_jpegs(n):
                    writer.put(name.encode(), content)
        else:
            from relatent.data.listing import write_listing

            source = tmp_path / f"{n}.tsv"
            source.with_suffix(".photos").mkdir()
            for name, content in noisy_jpegs(n):
                (source.with_suffix(".photos") / name).write_bytes(content)
            with source.open("wb") as file:
                write_listing(source.with_suffix(".photos"), file)
        command = [sys.executable, "-c", DECODE, str(source), str(tmp_path / f"{n}")]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert peaks[1] - peaks[0] < 25_000  # kB
