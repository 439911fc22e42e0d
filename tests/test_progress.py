"""What a log of long work says of it to one who looks in from outside."""

import os
import time

import pytest

from relatent import progress
from relatent.progress import Progress, under_way


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log that work wrote 250 of 1,000 images into, at a line for every advance, with other lines between."""
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    path = tmp_path / "train.log"
    with path.open("w") as file:
        monkeypatch.setattr("sys.stderr", file)
        with pytest.raises(KeyboardInterrupt), Progress("train digits/vae-L1-k1 seed 0", 1000, "images") as bar:
            for _ in range(10):
                bar.advance(25, {"bound": -98.5})
                print("a warning of some library: 3/4 of memory", file=file)
            raise KeyboardInterrupt
    return path


def test_the_last_line_is_read(log):
    """Share, seconds left, and the line as it was printed."""
    reading = under_way(log)
    assert reading is not None
    assert reading.share == 0.25
    assert 0 <= reading.left_s < 60
    assert reading.line.startswith("train digits/vae-L1-k1 seed 0: 250/1000 images, ")
    assert reading.line.endswith("bound -98.5")


def test_work_that_stopped_or_ended_is_not_under_way(log, tmp_path):
    """Long silence, all units done, a log without a line of progress, no log."""
    long_ago = time.time() - 2 * progress.STALE_AFTER_S
    os.utime(log, (long_ago, long_ago))
    assert under_way(log) is None
    log.write_text(log.read_text() + "train digits/vae-L1-k1 seed 0: 1000/1000 images, 3,456/s, 0 s left\n")
    assert under_way(log) is None
    log.write_text("Traceback: none\n")
    assert under_way(log) is None
    assert under_way(tmp_path / "none.log") is None


def test_slow_work_shows_a_rate(monkeypatch, tmp_path):
    """An image every ten seconds is not 0 images a second."""
    clock = iter((0.0, 10.0, 10.0, 10.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    log = tmp_path / "anneal.log"
    with log.open("w") as file:
        monkeypatch.setattr("sys.stderr", file)
        Progress("anneal mnist/vae-L1-k1", 3, "images").advance()
    reading = under_way(log)
    assert reading is not None
    assert reading.line == "anneal mnist/vae-L1-k1: 1/3 images, 0.10/s, 20 s left"
    assert reading.left_s == 20


def test_a_run_of_which_nothing_is_known_yet_is_not_under_way(tmp_path):
    """The first line may come before anything is done, with no end in sight."""
    log = tmp_path / "train.log"
    log.write_text("train digits/vae-L1-k1 seed 0: 0/1000 images, 0/s, inf s left\n")
    assert under_way(log) is None
