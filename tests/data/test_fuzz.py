"""Readers fed with noise and damaged files: a part, or one clear error; never another exception, never much memory."""

import io
import tracemalloc
from pathlib import Path

import made
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relatent.data.archives import Bounds, members
from relatent.data.formats.amat import read_amat
from relatent.data.formats.digits import read_digits
from relatent.data.formats.idx import read_idx_part
from relatent.data.formats.mat5 import MatPart
from relatent.data.formats.npz import read_npz
from relatent.data.images import UnreadableImage, small_image
from relatent.data.listing import Listing
from relatent.errors import RelatentError

MOST_BYTES = 60_000_000


def npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(192, dtype=np.uint8).reshape(3, 8, 8), b=np.arange(3))
    return file.getvalue()


def mat(packed: bool) -> bytes:
    from scipy.io import savemat

    file = io.BytesIO()
    images = np.arange(480, dtype=np.uint16).astype(np.uint8).reshape(4, 4, 3, 10)
    savemat(file, {"X": images, "y": np.arange(1, 11, dtype=np.uint8)[:, None]}, do_compression=packed)
    return file.getvalue()


def whole_mat(path: Path) -> None:
    for _ in MatPart(path, "X", "y", (3, 4, 4), "height width channel", 10).blocks():
        pass


def whole_listing(path: Path) -> None:
    listing = Listing(path)
    for index in range(len(listing)):
        listing[index]


def whole_image(path: Path) -> None:
    small_image(path.read_bytes(), 16)


SMALL = Bounds(members=50, member_bytes=1_000_000, total_bytes=2_000_000)
READERS = {
    "idx": (made.idx(np.zeros((3, 8, 8), np.uint8)), read_idx_part),
    "idx.gz": (made.gz(made.idx(np.zeros((3, 8, 8), np.uint8))), read_idx_part),
    "amat.gz": (made.gz(made.amat(np.eye(4, dtype=np.uint8))), lambda path: read_amat(path, 2, 2)),
    "amat": (made.amat(np.eye(4, dtype=np.uint8)), lambda path: read_amat(path, 2, 2)),
    "digits": (made.gz(b",".join([b"3"] * 65) + b"\n"), read_digits),
    "mat": (mat(False), whole_mat),
    "packed mat": (mat(True), whole_mat),
    "npz": (npz(), lambda path: read_npz(path, "a", "b")),
    "zip": (made.zipped({"a": b"x" * 99, "b/c": b"y"}), lambda path: list(members(path, bounds=SMALL))),
    "tar": (made.tarred({"a": b"x" * 99, "b/c": b"y"}, "w"), lambda path: list(members(path, bounds=SMALL))),
    "tar.gz": (made.tarred({"a": b"x" * 99, "b/c": b"y"}), lambda path: list(members(path, bounds=SMALL))),
    "listing": (b"a.jpg\t3\tff\nb/c.jpg\t3\tff\n", whole_listing),
    "jpeg": (made.encoded(made.photograph(40, 30)), whole_image),
    "png": (made.encoded(made.photograph(40, 30), "PNG"), whole_image),
    "webp": (made.encoded(made.photograph(40, 30), "WEBP"), whole_image),
}


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The file with some bytes changed, cut out, doubled, or cut off; or noise."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["change", "high", "cut", "double", "end"])):
            case "change":
                content[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
            case "high":
                content[at : at + 4] = b"\xff\xff\xff\x7f"
            case "cut":
                del content[at : at + draw(st.integers(1, 40))]
            case "double":
                content[at:at] = content[at : at + draw(st.integers(1, 400))]
            case "end":
                del content[at:]
    return bytes(content)


@pytest.mark.parametrize("kind", READERS)
@settings(
    max_examples=60,
    deadline=5000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, kind, data):
    """The deadline stands for "never hangs", the peak of traced memory for "never eats memory"."""
    content, reader = READERS[kind]
    path = tmp_path / "file.gz" if kind == "digits" else tmp_path / "file"
    path.write_bytes(data.draw(st.one_of(damaged(content), st.binary(max_size=300))))
    tracemalloc.start()
    try:
        reader(path)
    except (RelatentError, UnreadableImage):
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_BYTES


@pytest.mark.parametrize("kind", READERS)
def test_the_files_that_are_damaged_are_good_ones(tmp_path, kind):
    """Otherwise the test above would only see errors."""
    content, reader = READERS[kind]
    path = tmp_path / "file"
    path.write_bytes(content)
    reader(path)
