"""Readers give what the official formats say."""

import os
from pathlib import Path

import made
import numpy as np
import pytest
from scipy.io import loadmat

from relatent.data.decode import decode_batch
from relatent.data.formats.amat import read_amat
from relatent.data.formats.cifar import read_cifar
from relatent.data.formats.crops import read_crops
from relatent.data.formats.digits import read_digits
from relatent.data.formats.folder import FolderPart
from relatent.data.formats.idx import read_idx_part
from relatent.data.formats.lmdb import LmdbPart, unzipped
from relatent.data.formats.mat5 import MatPart
from relatent.data.formats.npz import read_npz
from relatent.data.images import small_image
from relatent.data.listing import Listing, write_listing
from relatent.data.parts import BLOCK
from relatent.errors import DataIntegrityError

RNG = np.random.default_rng(0)


def all_images(part, start: int = 0) -> np.ndarray:
    return np.concatenate([block.images for block in part.blocks(start)])


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_idx_keeps_pixels_labels_and_order(tmp_path, packed):
    images, labels = RNG.integers(0, 256, (7, 28, 28), np.uint8), np.arange(7, dtype=np.uint8)
    pack = made.gz if packed else bytes
    paths = [written(tmp_path / name, pack(made.idx(array))) for name, array in (("x", images), ("y", labels))]
    part = read_idx_part(*paths)
    np.testing.assert_array_equal(part.images[:, 0], images)
    np.testing.assert_array_equal(part.labels, labels)


def test_amat_is_zero_and_white(tmp_path):
    """0 and 255, so that binarising the set later changes nothing."""
    images = RNG.integers(0, 2, (5, 12), np.uint8)
    part = read_amat(written(tmp_path / "x.amat", made.amat(images)), 3, 4)
    np.testing.assert_array_equal(part.images.reshape(5, 12), images * 255)


def test_cifar_has_red_first_and_the_order_asked_for(tmp_path):
    """A record is a label and three planes; members are taken in the order of the registry, not of the archive."""
    records = RNG.integers(0, 10, (6, 3073), np.uint8)
    content = made.tarred({"b/two.bin": records[3:].tobytes(), "b/one.bin": records[:3].tobytes(), "b/readme": b"x"})
    part = read_cifar(written(tmp_path / "x.tar.gz", content), ["b/one.bin", "b/two.bin"])
    np.testing.assert_array_equal(part.labels, records[:, 0])
    np.testing.assert_array_equal(part.images[:, 0].reshape(6, -1), records[:, 1:1025])


@pytest.mark.parametrize("packed", [True, False])
def test_svhn_is_upright_colour_last_in_the_file_and_its_ten_is_zero(tmp_path, packed):
    """X is (row, column, channel, image); y calls the digit 0 "10". scipy reads the same."""
    images = RNG.integers(0, 256, (32, 32, 3, 11), np.uint8)
    labels = np.array([[10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]], np.uint8).T
    path = made.mat({"X": images, "y": labels}, tmp_path / "x.mat", packed)
    part = MatPart(path, "X", "y", (3, 32, 32), "height width channel", 10)
    np.testing.assert_array_equal(part.labels, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
    np.testing.assert_array_equal(all_images(part), loadmat(path)["X"].transpose(3, 2, 0, 1))


@pytest.mark.parametrize("packed", [True, False])
def test_chardata_is_read_in_fortran_order_and_not_divided_by_255(tmp_path, packed):
    """A column is an image, column after column; values are in [0, 1] already (specs/iwae.md, section 2.2)."""
    upright = RNG.integers(0, 256, (9, 28, 28), np.uint8)
    data = np.stack([image.ravel(order="F") for image in upright], 1) / 255
    path = made.mat({"other": np.ones((2, 2)), "data": data}, tmp_path / "chardata.mat", packed)
    part = MatPart(path, "data", None, (1, 28, 28), "pixel", None)
    np.testing.assert_array_equal(all_images(part)[:, 0], upright)


def test_doubles_that_matlab_stores_as_bytes_are_shares_of_white(tmp_path):
    """MATLAB packs whole numbers: a binary image of doubles lies in the file as bytes 0 and 1."""
    path = made.mat({"data": np.array([[0.0, 1.0], [1.0, 0.0]])}, tmp_path / "x.mat", packed=False)
    content = bytearray(path.read_bytes())
    values = content.rindex(np.array([0.0, 1.0, 1.0, 0.0]).tobytes())
    content[values - 8 : values] = np.array([2, 4], "<u4").tobytes()  # miUINT8, four bytes
    content[values:] = bytes([0, 1, 1, 0, 0, 0, 0, 0])
    content[132:136] = np.array([len(content) - 136], "<u4").tobytes()
    path.write_bytes(content)
    assert sorted(loadmat(path)["data"].ravel()) == [0, 0, 1, 1]
    part = MatPart(path, "data", None, (1, 1, 2), "pixel", None)
    assert sorted(all_images(part).ravel()) == [0, 0, 255, 255]


def test_a_mat_is_streamed_from_any_block(tmp_path):
    """A resumed run starts at a block; what it reads there is what a whole run reads there."""
    images = RNG.integers(0, 256, (4, 4, 3, BLOCK + 5), np.uint8)
    path = made.mat({"X": images}, tmp_path / "x.mat")
    part = MatPart(path, "X", None, (3, 4, 4), "height width channel", None)
    np.testing.assert_array_equal(all_images(part, BLOCK), all_images(part)[BLOCK:])


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 3), (5, 3, 8, 8), (5, 1, 8, 8)])
def test_npz_takes_the_usual_layouts(tmp_path, shape):
    images = RNG.integers(0, 256, shape, np.uint8)
    np.savez(tmp_path / "x.npz", a=images, b=np.arange(5))
    part = read_npz(tmp_path / "x.npz", "a", "b")
    channel_first = {
        3: lambda x: x[:, None],
        4: lambda x: x if x.shape[2] == 8 and x.shape[1] != 8 else x.transpose(0, 3, 1, 2),
    }
    np.testing.assert_array_equal(part.images, channel_first[len(shape)](images))
    np.testing.assert_array_equal(part.labels, np.arange(5))


def test_the_digits_are_scikit_learn_s():
    """Grey levels 0..16 times 255/16, rounded: white is white."""
    sklearn = pytest.importorskip("sklearn.datasets")
    folder = Path(sklearn.__file__).parent
    part = read_digits(folder / "data" / "digits.csv.gz")
    digits = sklearn.load_digits()
    np.testing.assert_array_equal(part.images[:, 0], np.round(digits.images * 255 / 16).astype(np.uint8))
    np.testing.assert_array_equal(part.labels, digits.target)


def test_crops_of_different_bands_share_no_pixel(tmp_path):
    """A photograph whose red plane numbers its columns tells where each crop was cut."""
    pixels = np.zeros((64, 256, 3), np.uint8)
    pixels[:, :, 0] = np.arange(256)
    path = written(tmp_path / "x.png", made.encoded(made.Image.fromarray(pixels), "PNG"))
    left, right = (read_crops([path], 32, 8, band) for band in ((0, 128), (128, 256)))
    assert left.images[:, 0].max() < 128 <= right.images[:, 0].min()
    assert left.n_images == 5 * 13
    np.testing.assert_array_equal(left.images[1, 0, 0], np.arange(8, 40))


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> tuple[Path, Listing]:
    folder = tmp_path / "photos"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with (tmp_path / "listing.tsv").open("wb") as file:
        write_listing(folder, file)
    return folder, Listing(tmp_path / "listing.tsv")


def test_a_folder_has_its_sub_folders_as_classes(tmp_path):
    jpeg = made.encoded(made.photograph())
    folder, listing = folder_of(
        tmp_path, {"dog/a.jpg": jpeg, "cat/b.JPEG": jpeg, "cat/deep/a.png": jpeg, "dog/note.txt": b""}
    )
    part = FolderPart(folder, listing, 32, by_folder=True, workers=1)
    assert part.classes == ["cat", "dog"]
    assert [part.names[i] for i in range(3)] == ["cat/b.JPEG", "cat/deep/a.png", "dog/a.jpg"]
    assert part.labels.tolist() == [0, 0, 1]


@pytest.mark.slow
def test_workers_change_neither_bits_nor_order(tmp_path):
    """Two processes decode what one does, unreadable files included."""
    files = {f"{index:03}.jpg": made.encoded(made.photograph(seed=index)) for index in range(150)}
    files["070.jpg"] = b"no image"
    folder, listing = folder_of(tmp_path, files)
    blocks = [list(FolderPart(folder, listing, 32, False, workers).blocks()) for workers in (1, 2)]
    assert blocks[0][0].unreadable == blocks[1][0].unreadable
    assert list(blocks[0][0].unreadable) == [70]
    np.testing.assert_array_equal(blocks[0][0].images, blocks[1][0].images)


def lmdb_of(path: Path, images: list[bytes]) -> Path:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(path), subdir=False, map_size=1 << 26) as environment, environment.begin(write=True) as writer:
        for index, content in enumerate(images):
            writer.put(f"{index:08x}".encode(), content)
    return path


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_lsun_is_read_in_the_order_of_its_keys_from_any_block(tmp_path, kind):
    """As published: values are encoded images, in an LMDB, in a zip."""
    images = [made.encoded(made.photograph(seed=index), kind) for index in range(3)]
    database = lmdb_of(tmp_path / "data.mdb", images)
    archive = written(tmp_path / "x.zip", made.zipped({"bedroom/data.mdb": database.read_bytes()}))
    part = LmdbPart(unzipped(archive, "bedroom/data.mdb", tmp_path / "work" / "x.mdb"), 32, workers=1)
    assert part.n_images == 3
    assert [part.names[index] for index in range(3)] == ["00000000", "00000001", "00000002"]
    np.testing.assert_array_equal(all_images(part), np.stack([small_image(content, 32) for content in images]))


@pytest.mark.parametrize("start", [0, 64, 128, 192])
def test_a_database_read_from_any_block_has_all_its_names(tmp_path, monkeypatch, start):
    """A run that goes on after a kill reads the later blocks only, and names every image."""
    from relatent.data import decode
    from relatent.data.formats import lmdb

    monkeypatch.setattr(decode, "BLOCK", 64)
    monkeypatch.setattr(lmdb, "BLOCK", 64)
    images = [made.encoded(made.photograph(40, 40, seed=index % 7)) for index in range(150)]
    part = LmdbPart(lmdb_of(tmp_path / "data.mdb", images), 16, workers=1)
    found = [block.images for block in part.blocks(start)]
    expected = [small_image(content, 16) for content in images[start:]]
    assert sum(map(len, found)) == max(0, 150 - start)
    if expected:
        np.testing.assert_array_equal(np.concatenate(found), np.stack(expected))
    assert [part.names[index] for index in (149, 0, 70)] == ["00000095", "00000000", "00000046"]


def test_a_database_whose_keys_are_no_names_is_refused(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    path = tmp_path / "data.mdb"
    with lmdb.open(str(path), subdir=False, map_size=1 << 22) as environment, environment.begin(write=True) as writer:
        writer.put("bär".encode(), made.encoded(made.photograph()))
    with pytest.raises(DataIntegrityError, match=r"data.mdb: key .* is no image name"):
        list(LmdbPart(path, 32, workers=1).blocks())


@pytest.mark.parametrize("size", [(256, 256), (500, 375), (375, 500), (65, 64), (70, 700)])
def test_draft_decoding_is_within_one_grey_level_of_decoding_whole(size):
    """On pictures like photographs; the mean over the image, as the recipe promises."""
    content = made.encoded(made.photograph(*size), quality=90)
    for target in (32, 64):
        difference = np.abs(small_image(content, target).astype(int) - small_image(content, target, draft=False))
        assert difference.mean() <= 1


def test_the_central_square_is_kept():
    """Left and right of a wide picture are cut off alike."""
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[:, 64:128] = 255
    image = small_image(made.encoded(made.Image.fromarray(pixels), "PNG"), 32)
    assert image[:, :, 1:-1].min() == 255
    np.testing.assert_array_equal(image, image[:, :, ::-1])


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette_images_become_three_channels(mode):
    image = small_image(made.encoded(made.photograph(mode=mode), "PNG"), 32)
    assert image.shape == (3, 32, 32)


def test_an_unreadable_file_among_many_is_counted_not_fatal():
    """One broken file must not end the decoding of a million."""
    from relatent.data.decode import Encoded, as_it_is

    good = Encoded(made.encoded(made.photograph()))
    decoded = decode_batch([good, Encoded(b"broken"), good, Encoded(b"", "gone")], as_it_is, 32)
    assert sorted(decoded.problems) == [1, 3]
    np.testing.assert_array_equal(decoded.images[0], decoded.images[2])


@pytest.mark.mirror
def test_mnist_is_mnist():
    """Label counts of the official files (datasets of the mirror)."""
    folder = Path(os.environ["RELATENT_MIRROR"], "mnist")
    part = read_idx_part(folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte.gz")
    assert np.bincount(part.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@pytest.mark.mirror
def test_an_independent_pixel_model_scores_205_952_nats_on_fixed_mnist():
    """The published sanity number (specs/iwae.md, section 14): means of train, clipped; 97 pixels are never on."""
    folder = Path(os.environ["RELATENT_MIRROR"], "binarized_mnist")
    train, valid, test = (
        read_amat(folder / f"binarized_mnist_{split}.amat", 28, 28).images.reshape(-1, 784) // 255
        for split in ("train", "valid", "test")
    )
    assert [round(float(x.mean()), 6) for x in (train, valid, test)] == [0.130562, 0.131127, 0.132512]
    p = np.clip(train.mean(axis=0), 0.001, 0.999)
    nll_nats = -(test * np.log(p) + (1 - test) * np.log(1 - p)).sum(axis=1).mean()
    assert round(float(nll_nats), 3) == 205.952
    assert int((train.sum(axis=0) == 0).sum()) == 97
