"""Job: fetch the files of one dataset, each proven by its published checksum (rule fetch)."""

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from relatent.cli.job import JobParser, run
from relatent.config.raw_files import FetchSettings, RawFile
from relatent.data.consent import check_consent
from relatent.data.fetch import Fetcher, Sums, Wanted
from relatent.data.listing import write_listing
from relatent.errors import MissingDataError
from relatent.ledger.files import atomic_path, write_json
from relatent.progress import Progress

COMMAND = "relatent.cli.fetch_dataset"
AT_ONCE = 4  # transfers


def main(argv: Sequence[str] | None = None) -> int | None:
    """Fetch one dataset; its files are written beside `checksums.json`."""
    parser = JobParser("fetch", COMMAND, FetchSettings, __doc__)
    parser.output("checksums", "checksums.json; the files are written beside it")
    job = parser.parse(argv)
    settings, folder = job.settings, job.outputs["checksums"].parent
    if settings.consent is not None:
        check_consent(settings.dataset, settings.consent)
    if settings.folder is not None:
        files = {"listing.tsv": folder / "listing.tsv"}
        with atomic_path(files["listing.tsv"]) as temporary, temporary.open("wb") as file:
            write_listing(Path(settings.folder), file)
    else:
        files = {raw.name: folder / raw.name for raw in settings.files}
    wanted = [wanted_file(settings.dataset, raw) for raw in settings.files]
    sums = fetch_all(settings.dataset, wanted, folder)
    write_json(job.outputs["checksums"], {name: found.__dict__ for name, found in sums.items()})
    job.outputs = {**job.outputs, **files}
    job.finish()
    return None


def wanted_file(dataset: str, file: RawFile) -> Wanted:
    """A registry file as the fetcher takes it."""
    return Wanted(
        name=file.name,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        md5=file.md5,
        urls=file.urls,
        mirror=file.mirror or f"{dataset}/{file.name}",
        bundled=file.bundled,
        members=file.members,
        members_sha256=file.members_sha256,
    )


class _Stopped(Exception):
    """The user interrupted; a transfer ends at its next bytes and keeps those it has."""


def fetch_all(dataset: str, wanted: Sequence[Wanted], folder: Path) -> dict[str, Sums]:
    """Fetch several files side by side.

    Raises:
        MissingDataError: some files have no source that works; one message tells them all.
    """
    total = sum(file.size_bytes or 0 for file in wanted)
    guard, stop = threading.Lock(), threading.Event()
    with Progress(f"fetch {dataset}", total, "bytes") as progress:

        def arrived(count: int) -> None:
            if stop.is_set():
                raise _Stopped
            with guard:
                progress.advance(count)

        fetcher = Fetcher(arrived=arrived)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:  # around all that follows the first transfer: leaving the pool waits for those begun
                futures = {file.name: pool.submit(fetcher.fetch, file, folder / file.name) for file in wanted}
                wait(futures.values())
            except KeyboardInterrupt:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    problems = [error for future in futures.values() if (error := future.exception()) is not None]
    for error in problems:
        if not isinstance(error, MissingDataError):
            raise error
    if problems:
        raise MissingDataError("\n".join(str(error) for error in problems))
    return {name: future.result() for name, future in futures.items()}


if __name__ == "__main__":
    sys.exit(run(main))
