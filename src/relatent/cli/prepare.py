"""Prepare datasets: relatent prepare mnist decodes them into data/prepared/mnist/, fetching them first if need be.

The same jobs as `snakemake phase_prepare`: arrays by split, a manifest with hashes, and the checks that change numbers.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from relatent.cli import check_data, fetch, fetch_dataset, prepare_dataset
from relatent.cli.job import run
from relatent.config.registry import Registry, load_registry
from relatent.errors import MissingDataError
from relatent.ledger.files import read_json


def main(argv: Sequence[str] | None = None) -> int | None:
    """Prepare what is named."""
    parser = argparse.ArgumentParser(
        prog="relatent prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="name in the registry, or folder:PATH")
    parser.add_argument("--accept-terms", action="store_true", help="agree to the publishers' terms")
    parser.add_argument("--size", type=int, help="of folder: images, shorter side then centre crop; 64")
    parser.add_argument("--name", help="of a folder: dataset; default: the folder's name")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that decode images")
    arguments = parser.parse_args(argv)
    names = [fetch.dataset_name(name, arguments.name, arguments.size, dry=False) for name in arguments.datasets]
    registry = load_registry()
    for name in names:
        source = registry.raw_of(name)
        if not Path("data/raw", source, "receipt.json").is_file():
            fetch.settle_terms(registry, source, arguments.accept_terms)
            fetch_dataset.main(fetch.job_arguments(registry, source))
        prepare_dataset.main(prepare_arguments(registry, name, arguments.workers))
        check_data.main(check_arguments(registry, name))
        print(summary(name))
    return 0


def prepare_arguments(registry: Registry, name: str, workers: int) -> list[str]:
    """The arguments the rule gives the job."""
    folder = f"data/prepared/{name}"
    raw = [str(path) for path in registry.raw_files(name)]
    missing = [path for path in raw if not Path(path).is_file()]
    if missing:
        raise MissingDataError(f"{missing[0]}: no such file; run `relatent fetch {registry.raw_of(name)}`")
    return [
        *("--cell", name, "--settings", registry.prepare_settings(name).model_dump_json()),
        *("--raw", *raw, "--receipts", f"data/raw/{registry.raw_of(name)}/receipt.json"),
        *("--manifest", f"{folder}/manifest.json", "--receipt", f"{folder}/receipt.json"),
        *("--workers", str(workers)),
    ]


def check_arguments(registry: Registry, name: str) -> list[str]:
    """The arguments the rule gives the job."""
    folder = f"data/prepared/{name}"
    arrays = [str(path) for path in registry.prepared_files(name) if path.suffix == ".npy"]
    return [
        *("--cell", name, "--settings", json.dumps({"dataset": name})),
        *("--manifest", f"{folder}/manifest.json", "--arrays", *arrays, "--receipts", f"{folder}/receipt.json"),
        *("--checks", f"{folder}/checks.json", "--receipt", f"{folder}/checks.receipt.json"),
    ]


def summary(name: str) -> str:
    """One line on what was made."""
    manifest = read_json(Path("data/prepared", name, "manifest.json"))
    splits = manifest["splits"]
    sizes = ", ".join(f"{split} {splits[split]['n']:,}" for split in check_data.SPLITS if split in splits)
    left_out = sum(len(entry.get("unreadable", ())) for entry in splits.values())
    skipped = f"; {left_out} unreadable images left out, see the manifest" if left_out else ""
    return f"data/prepared/{name}: {'×'.join(map(str, manifest['shape']))} uint8, {sizes}{skipped}"


if __name__ == "__main__":
    sys.exit(run(main))
