"""Job: fetch the files of one dataset, each proven by its published checksum (rule fetch)."""

import sys
from collections.abc import Sequence

from relatent.cli.job import JobParser, run
from relatent.config.registry import FetchSettings, RawFile
from relatent.data.fetch import Sums, Wanted, fetch_bundled
from relatent.ledger.files import write_json

COMMAND = "relatent.cli.fetch_dataset"


def main(argv: Sequence[str] | None = None) -> int | None:
    """Fetch one dataset; its files are written beside `checksums.json`."""
    parser = JobParser("fetch", COMMAND, FetchSettings, __doc__)
    parser.output("checksums", "checksums.json; the files are written beside it")
    job = parser.parse(argv)
    folder = job.outputs["checksums"].parent
    sums: dict[str, Sums] = {}
    for file in job.settings.files:
        sums[file.name] = fetch_bundled(wanted_file(job.settings.dataset, file), folder / file.name)
    write_json(job.outputs["checksums"], {name: found.__dict__ for name, found in sums.items()})
    job.outputs = {**job.outputs, **{file.name: folder / file.name for file in job.settings.files}}
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


if __name__ == "__main__":
    sys.exit(run(main))
