"""Malformed inputs: each gives one clear error that names file and remedy, or is counted where skipping is right."""

import io
import lzma
import struct
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import made
import numpy as np
import pytest

from relatent.data.archives import Bounds, members
from relatent.data.formats.amat import read_amat
from relatent.data.formats.cifar import read_cifar
from relatent.data.formats.crops import read_crops
from relatent.data.formats.digits import read_digits
from relatent.data.formats.folder import FolderPart
from relatent.data.formats.idx import read_idx_part
from relatent.data.formats.lmdb import LmdbPart, unzipped
from relatent.data.formats.mat5 import MatPart
from relatent.data.formats.npz import read_npz
from relatent.data.images import UnreadableImage, small_image
from relatent.data.listing import Listing, write_listing
from relatent.data.parts import ArrayPart, check_part
from relatent.errors import DataIntegrityError, MissingDataError, RelatentError

IMAGES = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28)
GOOD_IDX = made.idx(IMAGES)
RECORDS = bytes(3073 * 2)
SMALL = Bounds(members=10, member_bytes=10_000, total_bytes=20_000)


def read_members(path: Path) -> None:
    list(members(path, bounds=SMALL))


def read_x(path: Path) -> None:
    part = MatPart(path, "X", "y", (3, 4, 4), "height width channel", 10)
    for _ in part.blocks():
        pass


def read_data(path: Path) -> None:
    for _ in MatPart(path, "data", None, (1, 2, 2), "pixel", None).blocks():
        pass


def cifar(path: Path) -> None:
    read_cifar(path, ["b/one.bin"])


def mat(**variables) -> bytes:
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, variables)
    return file.getvalue()


X, Y = np.zeros((4, 4, 3, 2), np.uint8), np.array([[1], [2]], np.uint8)


def unpacked_mat(**variables) -> bytearray:
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, variables, do_compression=False)
    return bytearray(file.getvalue())


def with_bytes(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def bomb_tar() -> bytes:
    """A gzip of a tar whose member is 10 MB of zeros: 10 kB packed."""
    return made.tarred({"zeros": bytes(10_000_000)})


def lying_zip() -> bytes:
    """A zip whose directory announces 100 bytes for a member of 5,000."""
    content = bytearray(made.zipped({"a": bytes(5000)}))
    where = content.rindex(b"PK\x01\x02")
    content[where + 24 : where + 28] = struct.pack("<I", 100)
    return bytes(content)


def encrypted_zip() -> bytes:
    content = bytearray(made.zipped({"a": b"secret"}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        where = content.index(mark)
        content[where + at] |= 1
    return bytes(content)


# name: (file name, content, reader, part of the message)
MALFORMED = {
    "idx: bad magic": ("x.idx", with_bytes(GOOD_IDX, 2, b"\x0d"), read_idx_part, "magic number is 00000d03"),
    "idx: labels where images should be": ("x.idx", made.idx(np.zeros(9, np.uint8)), read_idx_part, "magic number"),
    "idx: short": ("x.idx", GOOD_IDX[:-1], read_idx_part, "only 1,567"),
    "idx: too long": ("x.idx", GOOD_IDX + b"\0", read_idx_part, "has more"),
    "idx: ends within its header": ("x.idx", GOOD_IDX[:9], read_idx_part, "within its header"),
    "idx: empty": ("x.idx", b"", read_idx_part, "within its header"),
    "idx: huge declared size": (
        "x.idx",
        with_bytes(GOOD_IDX, 4, b"\xff" * 12),
        read_idx_part,
        "more than 1,073,741,824",
    ),
    "idx: large declared size, little there": (
        "x.idx",
        with_bytes(GOOD_IDX, 4, struct.pack(">III", 1000, 1000, 1000)),
        read_idx_part,
        "only 1,568",
    ),
    "idx: truncated gzip": ("x.gz", made.gz(GOOD_IDX)[:-12], read_idx_part, "not a whole idx file"),
    "idx: gzip with a wrong checksum": (
        "x.gz",
        with_bytes(made.gz(GOOD_IDX), len(made.gz(GOOD_IDX)) - 8, b"\0\0\0\0"),
        read_idx_part,
        "not a whole idx file",
    ),
    "amat: a short line": ("x.amat", b"0 1 0 1\n0 1 0\n", lambda path: read_amat(path, 2, 2), "not whole lines"),
    "amat: a 2": ("x.amat", b"0 1 2 1\n", lambda path: read_amat(path, 2, 2), "neither 0 nor 1"),
    "amat: tabs": ("x.amat", b"0\t1\t0\t1\n", lambda path: read_amat(path, 2, 2), "one space between"),
    "amat: empty": ("x.amat", b"", lambda path: read_amat(path, 2, 2), "not whole lines"),
    "cifar: half a record": ("x.tar.gz", made.tarred({"b/one.bin": RECORDS[:-1]}), cifar, "not whole records of 3073"),
    "cifar: no such member": ("x.tar.gz", made.tarred({"b/two.bin": RECORDS}), cifar, "has no member b/one.bin"),
    "cifar: no archive": ("x.tar.gz", b"hello", cifar, "not a whole archive"),
    "tar: a member with ..": (
        "x.tar",
        made.tarred({"../../etc/x": b"x"}),
        read_members,
        "outside the archive",
    ),
    "tar: an absolute member": ("x.tar", made.tarred({"/etc/x": b"x"}), read_members, "outside the archive"),
    "tar: a symbolic link": (
        "x.tar",
        made.tarred({}, others=[made.link("a", "/etc/passwd")]),
        read_members,
        "a is a link or a device",
    ),
    "tar: a hard link": (
        "x.tar",
        made.tarred({}, others=[made.link("a", "b", tarfile.LNKTYPE)]),
        read_members,
        "a is a link or a device",
    ),
    "tar: a device": (
        "x.tar",
        made.tarred({}, others=[made.link("a", "", tarfile.CHRTYPE)]),
        read_members,
        "a is a link or a device",
    ),
    "tar: a bomb": ("x.tar.gz", bomb_tar(), read_members, "unpacks to more than 20,000 bytes"),
    "tar: a bomb in many members": (
        "x.tar.gz",
        made.tarred({f"{index}": bytes(9000) for index in range(5)}),
        read_members,
        "unpacks to more than 20,000 bytes",
    ),
    "tar: too many members": (
        "x.tar.gz",
        made.tarred({f"{index}": b"" for index in range(12)}),
        read_members,
        "more than 10 members",
    ),
    "tar: cut off": ("x.tar.gz", made.tarred({"a": b"x" * 999})[:-40], read_members, "not a whole archive"),
    "xz: damaged": ("x.tar.xz", lzma.compress(bytes(9000))[:-9] + b"123456789", read_members, "not a whole archive"),
    "zip: slip": ("x.zip", made.zipped({"../../x": b"x"}), read_members, "outside the archive"),
    "zip: slip with backslashes": (
        "x.zip",
        made.zipped({"..\\..\\x": b"x"}),
        read_members,
        "outside the archive",
    ),
    "zip: a drive letter": ("x.zip", made.zipped({"C:\\x": b"x"}), read_members, "outside the archive"),
    "zip: a symbolic link": ("x.zip", made.zipped({}, {"a": "/etc/passwd"}), read_members, "a is a link"),
    "zip: a bomb": ("x.zip", made.zipped({"a": bytes(5_000_000)}), read_members, "announces 5,000,000 bytes"),
    "zip: larger than it says": ("x.zip", lying_zip(), read_members, "x.zip"),
    "zip: encrypted": ("x.zip", encrypted_zip(), read_members, "of a kind not read here"),
    "zip: a damaged member": (
        "x.zip",
        with_bytes(made.zipped({"a": bytes(range(256)) * 9}), 60, b"\xff\xff\xff"),
        read_members,
        "not a whole archive",
    ),
    "mat: no MATLAB file": ("x.mat", b"PK\x03\x04" * 99, read_x, "no MATLAB 5 header"),
    "mat: version 7.3": (
        "x.mat",
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n",
        read_x,
        "save it with -v7",
    ),
    "mat: another variable": ("x.mat", mat(Z=X), read_x, "no variable 'X'; it has Z"),
    "mat: another shape": ("x.mat", mat(X=X[:3], y=Y), read_x, "its leading axes should be"),
    "mat: cut off": ("x.mat", mat(X=X, y=Y)[:-30], read_x, "not readable as MATLAB 5"),
    "mat: NaN": ("x.mat", mat(data=np.array([[0.5, np.nan]] * 4)), read_data, "NaN"),
    "mat: values to 255": ("x.mat", mat(data=np.array([[0.0, 255.0]] * 4)), read_data, r"from 0.0 to 255.0, outside"),
    "mat: negative values": ("x.mat", mat(data=np.array([[0.0, -0.1]] * 4)), read_data, "outside"),
    "mat: 16-bit values": (
        "x.mat",
        mat(data=np.zeros((4, 2), np.uint16)),
        read_data,
        "neither bytes nor floating",
    ),
    "mat: complex": ("x.mat", mat(data=np.zeros((4, 2), complex)), read_data, "not an array of real numbers"),
    "mat: text": ("x.mat", mat(data="hello"), read_data, "not an array of real numbers"),
    "mat: fractional labels": ("x.mat", mat(X=X, y=np.array([[1.5], [2]])), read_x, "no whole numbers"),
    "mat: label 0 beside label 10": ("x.mat", mat(X=X, y=np.array([[0], [10]], np.uint8)), read_x, "holds label 0"),
    "mat: huge declared size": (
        "x.mat",
        bytes(unpacked_mat(X=X)).replace(struct.pack("<4i", 4, 4, 3, 2), struct.pack("<4i", 4, 4, 3, 2**30)),
        read_x,
        "announces",
    ),
    "npz: pickled objects": ("x.npz", b"", lambda path: read_npz(path, "a", None), "not a .npz"),
    "digits: another table": ("x.gz", made.gz(b"1,2,3\n4,5,6\n"), read_digits, "64 grey levels and a label"),
    "digits: words": ("x.gz", made.gz(b"a,b\nc,d\n"), read_digits, "not scikit-learn's digits"),
    "digits: level 17": ("x.gz", made.gz(b",".join([b"17"] * 65) + b"\n"), read_digits, "from 0 to 16"),
    "photograph: cut off": (
        "x.jpg",
        made.encoded(made.photograph())[:900],
        lambda path: read_crops([path], 32, 8, (0, 96)),
        "not readable as a photograph",
    ),
    "photograph: too small": (
        "x.jpg",
        made.encoded(made.photograph(20, 20)),
        lambda path: read_crops([path], 32, 8, (0, 96)),
        "hold no 32×32 crop",
    ),
    "lmdb: no database": ("x.mdb", bytes(20_000), lambda path: LmdbPart(path, 32, 1), "not an LMDB database"),
    "lmdb: too short": ("x.mdb", b"hello", lambda path: LmdbPart(path, 32, 1), "too short"),
    "lmdb: not in its zip": (
        "x.zip",
        made.zipped({"other": b"x"}),
        lambda path: unzipped(path, "data.mdb", path.with_suffix(".mdb")),
        "has no member data.mdb",
    ),
    "lmdb: in a damaged zip": (
        "x.zip",
        made.zipped({"data.mdb": b"x"})[:-30],
        lambda path: unzipped(path, "data.mdb", path.with_suffix(".mdb")),
        "damaged",
    ),
    "listing: a line without columns": ("x.tsv", b"one\n", lambda path: Listing(path)[0], "line 1 is not path"),
    "listing: cut off": ("x.tsv", b"a.jpg\t3\tff\nb.jpg", Listing, "its last line is cut off"),
    "listing: empty": ("x.tsv", b"", Listing, "lists no image"),
}


@pytest.mark.parametrize(("name", "content", "reader", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_one_clear_error(tmp_path, name, content, reader, reason):
    """In one line, with the file's name, and without much memory, whatever the file announces."""
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(RelatentError, match=reason) as caught:
            reader(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(caught.value, (DataIntegrityError, MissingDataError))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert peak < 50_000_000


def test_pickles_are_never_opened(tmp_path):
    """An array of objects in a .npz would run code when loaded."""
    np.savez(tmp_path / "x.npz", a=np.array([object()], dtype=object))
    with pytest.raises(DataIntegrityError, match="holds objects, which are not unpickled"):
        read_npz(tmp_path / "x.npz", "a", None)


def test_an_archive_in_an_archive_is_bytes_like_any_other(tmp_path):
    """Nothing is unpacked twice, so a nested bomb stays packed."""
    inner = made.zipped({"zeros": bytes(1_000_000)})
    (tmp_path / "x.zip").write_bytes(made.zipped({"inner.zip": inner}))
    assert list(members(tmp_path / "x.zip", bounds=SMALL)) == [("inner.zip", inner)]


def animated() -> bytes:
    frames = [made.photograph(seed=seed) for seed in range(2)]
    return made.encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])


def bomb_png() -> bytes:
    """A PNG header that announces 60,000×60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def png16() -> bytes:
    return made.encoded(made.Image.fromarray(np.full((64, 64), 40_000, np.uint16)), "PNG")


UNREADABLE = {
    "an empty file": (b"", "an empty file"),
    "a text": (b"not an image at all", "neither JPEG, PNG nor WEBP"),
    "a JPEG cut off": (made.encoded(made.photograph())[:500], "[Tt]runcated"),
    "CMYK": (made.encoded(made.photograph(mode="CMYK")), "CMYK colours; convert it"),
    "16 bits": (png16(), "convert it to 8-bit RGB"),
    "transparency": (made.encoded(made.photograph(mode="RGBA"), "PNG"), "transparent; convert it"),
    "an animated WebP": (animated(), "animated; keep one frame"),
    "a GIF": (made.encoded(made.photograph(mode="P"), "GIF"), "neither JPEG, PNG nor WEBP"),
    "a PNG of 3.6 gigapixels": (bomb_png(), "pixels"),
}


@pytest.mark.parametrize(("content", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_image_that_would_need_a_guess_is_left_out_with_its_reason(content, reason):
    """Guessing a colour profile or a range would change pixels silently; such images are counted and reported."""
    with pytest.raises(UnreadableImage, match=reason):
        small_image(content, 32)


def folder_with(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "photos"


def test_folders_that_cannot_be_a_dataset_say_why(tmp_path):
    listing = io.BytesIO()
    with pytest.raises(MissingDataError, match="no such folder"):
        write_listing(tmp_path / "nothing", listing)
    with pytest.raises(MissingDataError, match="holds no image"):
        write_listing(folder_with(tmp_path, "note.txt"), listing)
    (folder_with(tmp_path, "cat/a.jpg") / "dog").mkdir()
    with pytest.raises(DataIntegrityError, match="dog holds no image; an empty class"):
        write_listing(tmp_path / "photos", listing)


@pytest.mark.parametrize("name", ["a\tb.jpg", "a\nb.jpg"])
def test_file_names_that_break_a_listing_are_refused(tmp_path, name):
    with pytest.raises(DataIntegrityError, match="tab or a line break"):
        write_listing(folder_with(tmp_path, name), io.BytesIO())


def test_links_in_a_folder_are_not_followed(tmp_path):
    """A link could lead anywhere, and its target is not the folder's to list."""
    folder = folder_with(tmp_path, "a.jpg")
    (folder / "b.jpg").symlink_to("/etc/passwd")
    listing = io.BytesIO()
    assert write_listing(folder, listing) == 1


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_image_changed_since_its_listing_is_refused(tmp_path, workers):
    """The listing pins a folder's bytes; other bytes would be another dataset under the same receipts."""
    folder = folder_with(tmp_path, "a.jpg")
    with (tmp_path / "listing.tsv").open("wb") as file:
        write_listing(folder, file)
    (folder / "a.jpg").write_bytes(b"y")
    with pytest.raises(DataIntegrityError, match="has changed since the folder was listed"):
        list(FolderPart(folder, Listing(tmp_path / "listing.tsv"), 32, False, workers).blocks())


def test_an_image_outside_the_classes_is_refused(tmp_path):
    folder = folder_with(tmp_path, "a.jpg", "cat/b.jpg")
    with (tmp_path / "listing.tsv").open("wb") as file:
        write_listing(folder, file)
    with pytest.raises(DataIntegrityError, match=r"a.jpg lies in no sub-folder"):
        FolderPart(folder, Listing(tmp_path / "listing.tsv"), 32, True, 1)


PIXELS = np.zeros((3, 1, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("labels", "n", "classes", "reason"),
    [
        ([0, 1, 11], None, 10, r"label 11 at image 2 is outside 0\.\.9"),
        ([0, -1, 1], None, 10, "label -1 at image 1"),
        ([0, 1], None, 10, "3 images but 2 labels"),
        (None, None, 10, "has no labels"),
        ([0, 1, 2], 60_000, 10, "holds 3 images, not 60000"),
    ],
)
def test_labels_and_counts_must_be_what_the_registry_says(labels, n, classes, reason):
    part = ArrayPart(PIXELS, None if labels is None else np.array(labels))
    with pytest.raises(DataIntegrityError, match=reason):
        check_part(part, "toy: train", n, classes)
