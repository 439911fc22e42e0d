"""Checks of prepared arrays: what is counted is what is there, and large sets are passed through, not loaded."""

import subprocess
import sys

import made
import numpy as np
import pytest

from relatent.data import checks
from relatent.data.checks import (
    ALIKE,
    NEAR,
    correlations,
    duplicates,
    image_digests,
    inconsistent_labels,
    likeness_found,
    mean_grey,
    thumbnails,
)
from relatent.data.parts import BLOCK
from relatent.data.store import in_blocks

RNG = np.random.default_rng(0)


def smooth(n: int, channels: int = 3, size: int = 16) -> np.ndarray:
    """Images whose thumbnails tell them apart, as photographs' do."""
    coarse = RNG.integers(30, 220, (n, channels, 4, 4))
    fine = coarse.repeat(size // 4, axis=2).repeat(size // 4, axis=3) + RNG.integers(-20, 20, (n, channels, size, size))
    return fine.astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 128, 128)])
def test_correlations_are_pearson_s(shape):
    """Of the largest images the sums of products exceed 32 bits."""
    images = RNG.integers(0, 256, (6, *shape), dtype=np.uint8)
    small = thumbnails(images)
    rows, columns = np.arange(5), np.arange(1, 6)
    expected = [np.corrcoef(images[a].ravel(), images[b].ravel())[0, 1] for a, b in zip(rows, columns, strict=True)]
    np.testing.assert_allclose(correlations(small, rows, small, columns), expected, atol=1e-12)


def test_an_image_of_one_colour_is_like_none():
    images = np.full((3, 1, 8, 8), 7, np.uint8)
    assert likeness_found(thumbnails(images)).tolist() == [0, 0, 0]


def test_near_copies_are_found_across_the_seams_of_the_search(monkeypatch):
    """Planted copies, brighter or noisy, wherever their blocks lie; and no others."""
    monkeypatch.setattr(checks, "SEARCH_BLOCK", 7)
    monkeypatch.setattr(checks, "COLUMN_BLOCK", 11)
    monkeypatch.setattr(checks, "PAIRS", 5)
    train, test = smooth(60), smooth(20)
    test[3] = train[59] // 2 + 20
    test[19] = train[0] + RNG.integers(0, 8, train[0].shape, dtype=np.uint8)
    train[25] = train[24]
    found = likeness_found(thumbnails(test), thumbnails(train))
    assert np.flatnonzero(found >= NEAR).tolist() == [3, 19]
    assert np.flatnonzero(likeness_found(thumbnails(train)) >= NEAR).tolist() == [25]


def test_the_search_finds_what_comparing_every_pair_finds(monkeypatch):
    """At both levels, on images that are alike by degrees."""
    monkeypatch.setattr(checks, "SEARCH_BLOCK", 16)
    train = smooth(40)
    noise = RNG.normal(0, 1, train.shape) * np.linspace(0, 60, 40)[:, None, None, None]
    test = np.clip(train + noise, 0, 255).astype(np.uint8)
    every = np.corrcoef(np.concatenate([test, train]).reshape(80, -1))[:40, 40:].max(axis=1)
    found = likeness_found(thumbnails(test), thumbnails(train))
    for level in (NEAR, ALIKE):
        assert np.flatnonzero(found >= level).tolist() == np.flatnonzero(every >= level).tolist()
    assert 0 < np.sum(every >= NEAR) < np.sum(every >= ALIKE) < 40


def test_exact_copies_are_counted_within_and_across_splits():
    train, test = smooth(30), smooth(10)
    train[[4, 5]], test[0], test[1] = train[3], train[7], train[8] + 1
    assert duplicates({"train": image_digests(train), "test": image_digests(test)}) == {
        "train": 2,
        "test": 0,
        "test_in_train": 1,
    }


def test_equal_images_with_other_labels_are_counted_once_each():
    digests = np.array([b"a", b"b", b"a", b"c", b"b", b"b", b"d"], dtype="S32")
    assert inconsistent_labels(digests, np.array([0, 1, 0, 2, 1, 1, 0])) == 0
    assert inconsistent_labels(digests, np.array([0, 1, 9, 2, 1, 3, 0])) == 2


def test_blocks_of_a_mapped_array_are_its_rows(tmp_path):
    """Also after its pages were given back."""
    images = RNG.integers(0, 256, (2 * BLOCK + 5, 1, 2, 2), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(np.concatenate(list(in_blocks(mapped))), images)
    np.testing.assert_array_equal(mapped, images)
    assert mean_grey(mapped) == pytest.approx(images.mean() / 255)


CHECK = (
    """
import sys
from pathlib import Path
from relatent.data.checks import image_digests, mean_grey
from relatent.data.store import open_array
images = open_array(Path(sys.argv[1]))
mean_grey(images), image_digests(images)
"""
    + made.PRINT_PEAK
)


def test_memory_does_not_grow_with_the_array(tmp_path):
    """400 MB of images, a file with a hole, take what 100 MB take: pages that were read are given back."""
    peaks = []
    for n in (2 * BLOCK, 8 * BLOCK):
        np.lib.format.open_memmap(tmp_path / f"{n}.npy", "w+", np.uint8, (n, 3, 64, 64)).flush()
        command = [sys.executable, "-c", CHECK, str(tmp_path / f"{n}.npy")]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert peaks[1] - peaks[0] < 50_000  # kB
