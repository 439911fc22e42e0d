"""Whatever a server does, a fetch ends with the right file or a clear error, never a wrong file under its name."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import faulty_server as play
import pytest

from relatent.data import fetch as fetching
from relatent.data.archives import members_digest
from relatent.data.fetch import Fetcher, Wanted
from relatent.data.transfer import Patience
from relatent.errors import DataIntegrityError, MissingDataError, RelatentError

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
HASTY = Patience(attempts=3, wait_s=0.01, most_wait_s=0.05, timeout_s=0.3, slowest_bytes_per_s=1000)


def wanted(*urls: str, content: bytes = CONTENT, **changes) -> Wanted:
    given = {
        "name": "set.bin",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": hashlib.md5(content).hexdigest(),
        "urls": urls,
        "mirror": "toy/set.bin",
    }
    return Wanted(**{**given, **changes})


class Place:
    """A raw folder and a store of its own."""

    def __init__(self, folder: Path, mirror: str | None = None) -> None:
        self.path = folder / "raw" / "set.bin"
        self.store = folder / "store"
        self.said: list[str] = []
        self.counts: list[int] = []
        self.fetcher = Fetcher(mirror, self.store, HASTY, self.counts.append, self.said.append)

    def fetch(self, file: Wanted):
        return self.fetcher.fetch(file, self.path)

    def partial(self) -> Path:
        return next(self.store.glob("*.part"))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def assert_fetched(place: Place, content: bytes = CONTENT) -> None:
    """The whole file under its name, nothing else beside it, and a progress bar that ended at its size."""
    assert place.path.read_bytes() == content
    assert [path.name for path in place.path.parent.iterdir()] == ["set.bin"]
    assert not list(place.store.glob("*.part"))
    assert sum(place.counts) == len(content)


RECOVERED = {
    "all well": [],
    "closed before the first byte": [play.drops_after(0)],
    "closed again and again, some bytes further": [play.drops_after(30_000)] * 3,
    "503, then well": [play.answers(503)],
    "500 and 502": [play.answers(500), play.answers(502)],
    "429 with a wait": [play.answers(429, {"Retry-After": "1"})],
    "429 with a date": [play.answers(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})],
    "429 with nonsense": [play.answers(429, {"Retry-After": "soon"})],
    "no length given": [play.without_length],
    "a redirect": [play.elsewhere("/set.bin")],
    "too slow a stream": [play.drips(400, 0.005)],
    "no answer": [play.hangs(0.6)],
    "resumed by a server that knows no ranges": [play.drops_after(50_000), play.ignores_range],
    "resumed with a range that was not asked for": [play.drops_after(50_000), play.wrong_range],
    "dropped when resumed": [play.drops_after(50_000), play.drops_after(1), play.drops_after(0)],
}


@pytest.mark.parametrize("script", RECOVERED.values(), ids=RECOVERED)
def test_what_can_be_recovered_is(place, script):
    """Each of these a real server has done; the file is right in the end."""
    with play.serving({"/set.bin": CONTENT}, script) as server:
        found = place.fetch(wanted(server.url("/set.bin")))
    assert_fetched(place)
    assert found.proven_by == "sha256"


@pytest.mark.parametrize("count", [1, 2, 4095, 65_536, len(CONTENT) - 1])
def test_a_connection_dropped_at_any_byte_goes_on_behind_it(place, count):
    """And asks for the rest only: what was sent once is not sent again."""
    with play.serving({"/set.bin": CONTENT}, [play.drops_after(count)]) as server:
        place.fetch(wanted(server.url("/set.bin")))
        assert server.requests[1] == ("/set.bin", f"bytes={count}-")
    assert_fetched(place)


REFUSED = {
    "404": ([play.answers(404)] * 9, "HTTP 404"),
    "403": ([play.answers(403)] * 9, "HTTP 403"),
    "410": ([play.answers(410)] * 9, "HTTP 410"),
    "503 for ever": ([play.answers(503)] * 9, "HTTP 503"),
    "another length": ([play.sends(CONTENT[:-1])] * 9, "102,399 bytes there, not 102,400"),
    "an error page": ([play.sends(b"<html>log in first</html>")] * 9, "25 bytes there, not 102,400"),
    "other bytes of the same length": ([play.sends(CONTENT[::-1])] * 9, "sha256 is"),
    "a redirect loop": ([play.loops], "redirect loop"),
    "no answer, ever": ([play.hangs(0.6)] * 4, "3 times in a row"),
    "an empty file": ([play.sends(b"")] * 9, "0 bytes there"),
}


@pytest.mark.parametrize(("script", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_recovered_is_one_clear_error(place, script, reason):
    """It names the file, the URL, what was wrong, size, checksum and where to put the file by hand."""
    with play.serving({"/set.bin": CONTENT}, script) as server:
        file = wanted(server.url("/set.bin"))
        with pytest.raises(MissingDataError) as caught:
            place.fetch(file)
    message = str(caught.value)
    for part in (reason, str(place.path), file.urls[0], "102,400", file.sha256, "RELATENT_MIRROR", "toy/set.bin"):
        assert part in message
    assert caught.value.exit_code == 3
    assert not place.path.exists()


def test_a_stream_without_end_is_cut_off(place):
    """A server that announces nothing and sends for ever fills no disk."""
    with (
        play.serving({"/set.bin": CONTENT * 30}, [play.without_length] * 9) as server,
        pytest.raises(MissingDataError, match="sends more than 102,400 bytes"),
    ):
        place.fetch(wanted(server.url("/set.bin")))
    assert sum(path.stat().st_size for path in place.store.iterdir()) <= len(CONTENT)


def test_the_next_source_is_tried_and_goes_on_where_the_first_stopped(place):
    """Sources are asked in turn; bytes that one of them gave are not asked of another again."""
    good, bad = {"/set.bin": CONTENT}, [play.drops_after(60_000), *[play.answers(503)] * 3]
    with play.serving(good, bad) as first, play.serving(good) as second:
        place.fetch(wanted(first.url("/set.bin"), second.url("/set.bin")))
        assert second.requests == [("/set.bin", "bytes=60000-")]
    assert_fetched(place)


def test_wrong_bytes_of_one_source_do_not_spoil_the_next(place):
    """What the first source left behind does not verify, so the second is asked for all of it."""
    wrong = {"/set.bin": CONTENT[::-1]}
    bad = [play.drops_after(60_000), *[play.answers(503)] * 3]
    with play.serving(wrong, bad) as first, play.serving({"/set.bin": CONTENT}) as second:
        place.fetch(wanted(first.url("/set.bin"), second.url("/set.bin")))
        assert [asked for _, asked in second.requests] == ["bytes=60000-", None]
    assert_fetched(place)


def test_a_partial_file_longer_than_the_file_is_begun_anew(place):
    """For instance one that another version of the file left there."""
    file = wanted("http://127.0.0.1:1/")
    place.store.mkdir()
    (place.store / f"{file.sha256}.part").write_bytes(CONTENT + b"more")
    with play.serving({"/set.bin": CONTENT}) as server:
        place.fetch(wanted(server.url("/set.bin")))
    assert place.path.read_bytes() == CONTENT


def test_a_file_without_a_published_size_goes_on_too(place):
    """OMNIGLOT's chardata.mat has an md5 and no size."""
    with play.serving({"/set.bin": CONTENT}, [play.drops_after(10), play.drops_after(10)]) as server:
        found = place.fetch(wanted(server.url("/set.bin"), size_bytes=None, sha256=None))
    assert_fetched(place)
    assert found.proven_by == "md5"


def test_a_finished_download_is_not_downloaded_again(place):
    """Snakemake and DVC delete outputs before a job; the store gives them back without a request."""
    with play.serving({"/set.bin": CONTENT}) as server:
        file = wanted(server.url("/set.bin"))
        place.fetch(file)
        place.path.unlink()
        place.fetch(file)
        assert len(server.requests) == 1


def test_a_damaged_store_is_not_believed(place):
    """Its files are proven again each time; a damaged one is downloaded anew."""
    with play.serving({"/set.bin": CONTENT}) as server:
        file = wanted(server.url("/set.bin"))
        place.fetch(file)
        place.path.unlink()
        (place.store / file.sha256).write_bytes(CONTENT[::-1])
        place.fetch(file)
    assert place.path.read_bytes() == CONTENT


def test_a_file_put_in_place_by_hand_is_proven_not_fetched(place):
    """And one that is not the published file is replaced."""
    place.path.parent.mkdir()
    place.path.write_bytes(CONTENT)
    place.fetch(wanted("http://127.0.0.1:1/"))
    place.path.write_bytes(b"something else")
    with play.serving({"/set.bin": CONTENT}) as server:
        place.fetch(wanted(server.url("/set.bin")))
    assert place.path.read_bytes() == CONTENT


def test_a_mirror_folder_comes_first(tmp_path):
    """No URL is asked when the mirror has the file."""
    (tmp_path / "mirror/toy").mkdir(parents=True)
    (tmp_path / "mirror/toy/set.bin").write_bytes(CONTENT)
    place = Place(tmp_path, str(tmp_path / "mirror"))
    place.fetch(wanted("http://127.0.0.1:1/"))
    assert_fetched(place)


def test_a_damaged_mirror_is_passed_over(tmp_path):
    (tmp_path / "mirror/toy").mkdir(parents=True)
    (tmp_path / "mirror/toy/set.bin").write_bytes(CONTENT[::-1])
    place = Place(tmp_path, str(tmp_path / "mirror"))
    with play.serving({"/set.bin": CONTENT}) as server:
        place.fetch(wanted(server.url("/set.bin")))
    assert_fetched(place)


def test_a_mirror_can_be_a_url(tmp_path):
    """It is asked first, under <dataset>/<file name>."""
    with play.serving({"/m/toy/set.bin": CONTENT}) as server:
        place = Place(tmp_path, server.url("/m/"))
        place.fetch(wanted(server.url("/official")))
        assert server.requests == [("/m/toy/set.bin", None)]
    assert_fetched(place)


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("by", ["each", "all together"])
def test_a_repacked_archive_is_accepted_when_its_members_verify(tmp_path, kind, by):
    """Mirrors pack anew: other bytes, the same data."""
    files = {"a/one.bin": CONTENT, "a/two.bin": b"two"}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    proof = {"members": sums} if by == "each" else {"members_sha256": members_digest(sums)}
    (tmp_path / "mirror/toy").mkdir(parents=True)
    (tmp_path / "mirror/toy/set.bin").write_bytes(packed(kind, files))
    place = Place(tmp_path, str(tmp_path / "mirror"))
    found = place.fetch(wanted("http://127.0.0.1:1/", **proof))
    assert found.proven_by == "members"
    assert found.sha256 == hashlib.sha256(place.path.read_bytes()).hexdigest()


@pytest.mark.parametrize("change", ["one byte", "a member less", "no archive"])
def test_a_repacked_archive_with_other_members_is_refused(tmp_path, change):
    files = {"a/one.bin": CONTENT, "a/two.bin": b"two"}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    wrong = {"one byte": {**files, "a/two.bin": b"tvo"}, "a member less": {"a/one.bin": CONTENT}}.get(change)
    (tmp_path / "mirror/toy").mkdir(parents=True)
    (tmp_path / "mirror/toy/set.bin").write_bytes(packed("zip", wrong) if wrong else b"hello")
    place = Place(tmp_path, str(tmp_path / "mirror"))
    with pytest.raises(MissingDataError, match=r"member|archive"):
        place.fetch(wanted("http://127.0.0.1:1/", members=sums))
    assert not place.path.exists()


def test_a_bundled_file_of_another_version_is_refused(place):
    """scikit-learn could change its digits; then the demo must not print other numbers."""
    with pytest.raises(DataIntegrityError, match=r"digits.csv.gz: .*constraints.txt"):
        place.fetch(wanted(bundled="sklearn.datasets.data:digits.csv.gz"))
    with pytest.raises(MissingDataError, match="not installed"):
        place.fetch(wanted(bundled="sklearn.datasets.data:nothing.gz"))
    assert not place.path.exists()


def test_a_disk_without_room_is_told_before_the_first_byte(place, monkeypatch):
    """With what is missing and what to do."""
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with play.serving({"/set.bin": CONTENT}) as server:
        with pytest.raises(RelatentError, match=r"needs 102,400 more bytes.* has 1,000 free"):
            place.fetch(wanted(server.url("/set.bin")))
        assert not server.requests


FETCH_ONE = """
import hashlib, resource, sys
from pathlib import Path
from relatent.data.fetch import Fetcher, Wanted
from relatent.data.transfer import Patience
url, sha256, size, folder, limit = sys.argv[1:]
if int(limit):
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
fetcher = Fetcher(None, Path(folder, "store"), Patience(wait_s=0.01, timeout_s=5))
try:
    fetcher.fetch(Wanted("set.bin", int(size), sha256, None, [url], "toy/set.bin"), Path(folder, "raw", "set.bin"))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def fetch_process(url: str, folder: Path, limit: int = 0) -> subprocess.Popen:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    command = [sys.executable, "-c", FETCH_ONE, url, sha256, str(len(CONTENT)), str(folder), str(limit)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_a_disk_that_fills_up_on_the_way_is_one_clear_error(tmp_path):
    """A file-size limit stands for the full disk; what came is kept, and the next run goes on behind it."""
    with play.serving({"/set.bin": CONTENT}) as server:
        full = fetch_process(server.url("/set.bin"), tmp_path, limit=50_000)
        message = full.communicate(timeout=20)[1]
        assert full.returncode == 1
        assert "the disk is full" in message
        assert "Traceback" not in message
        assert not (tmp_path / "raw/set.bin").exists()
        again = fetch_process(server.url("/set.bin"), tmp_path)
        again.communicate(timeout=20)
        assert server.requests[-1] == ("/set.bin", "bytes=50000-")
    assert (tmp_path / "raw/set.bin").read_bytes() == CONTENT


def test_two_processes_that_fetch_the_same_file_download_it_once(tmp_path):
    """The second waits for the first and takes its file."""
    with play.serving({"/set.bin": CONTENT}, [play.drips(100, 0.005)]) as server:
        both = [fetch_process(server.url("/set.bin"), tmp_path) for _ in range(2)]
        messages = [process.communicate(timeout=30)[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], messages
        assert len([asked for _, asked in server.requests if asked is None]) == 1
    assert (tmp_path / "raw/set.bin").read_bytes() == CONTENT


def test_a_killed_process_leaves_bytes_that_the_next_one_goes_on_with(tmp_path):
    """SIGKILL while bytes arrive: no file under its name, and no byte asked for twice."""
    with play.serving({"/set.bin": CONTENT}, [play.drips(10_000, 0.002)]) as server:
        killed = fetch_process(server.url("/set.bin"), tmp_path)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not any(
            path.stat().st_size > 100 for path in tmp_path.glob("store/*.part")
        ):
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        assert not (tmp_path / "raw/set.bin").exists()
        have = next(tmp_path.glob("store/*.part")).stat().st_size
        assert have > 0
        fetch_process(server.url("/set.bin"), tmp_path).communicate(timeout=20)
        assert server.requests[-1] == ("/set.bin", f"bytes={have}-")
    assert (tmp_path / "raw/set.bin").read_bytes() == CONTENT
