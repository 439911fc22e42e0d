"""Fetch datasets of the registry: relatent fetch mnist cifar10, or relatent fetch --plan mnist to see what it would do.

A folder of your own images becomes a dataset with `relatent fetch folder:/path/to/faces --size 64`: it is entered in
data/registry.local.yaml and listed with checksums. Files come from RELATENT_MIRROR (a folder or URL that holds
<dataset>/<file name>) if that is set, then from the publishers; a broken transfer goes on where it stopped.
"""

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from relatent.cli import fetch_dataset
from relatent.cli.fetch_dataset import wanted_file
from relatent.cli.job import run
from relatent.config.raw_files import Terms
from relatent.config.registry import LOCAL, NAME, Registry, load_registry
from relatent.config.yaml_files import read_yaml
from relatent.data.consent import record_consent, recorded
from relatent.data.fetch import Fetcher, Wanted
from relatent.data.listing import SUFFIXES
from relatent.errors import ConfigError, MissingDataError
from relatent.ledger.files import write_text

# Of sets that users bring as folders, by what stands in the path. Others are the user's to know, and not passed on.
# In our words, after the agreements as flwrlabs/celeba and timm/imagenet-12k-wds on Hugging Face copy them in LICENSE;
# what binds is the publishers' own page, `source`.
OWN = Terms(licence="the user's own to know", source="the user", redistribution=False)
TERMS_OF_FOLDERS = {
    "celeb": Terms(
        licence="non-commercial research only",
        source="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        consent="CelebA is for non-commercial research only. No part of its images, or of data derived from them, may "
        "be put to commercial use; no part of it may be copied on, published or distributed, except copies for use "
        "inside one site of your organisation.",
        redistribution=False,
    ),
    "imagenet|ilsvrc": Terms(
        licence="non-commercial research and education only",
        source="https://image-net.org/download.php",
        consent="ImageNet is for non-commercial research and education only, at your own responsibility, also for its "
        "copyrighted images. Only research associates and colleagues may be given it, and only once they have agreed "
        "to its terms; an employer that is a company is bound by them too.",
        redistribution=False,
    ),
}


def main(argv: Sequence[str] | None = None) -> int | None:
    """Fetch what is named, or print the plan."""
    parser = argparse.ArgumentParser(
        prog="relatent fetch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="name in the registry, or folder:PATH")
    parser.add_argument("--plan", action="store_true", help="only list URL, bytes and what is already there")
    parser.add_argument("--accept-terms", action="store_true", help="agree to the publishers' terms")
    parser.add_argument("--size", type=_pixels, help="of folder: images, shorter side then centre crop; 64")
    parser.add_argument("--name", help="of a folder: dataset; default: the folder's name")
    arguments = parser.parse_args(argv)
    names = [dataset_name(name, arguments.name, arguments.size, arguments.plan) for name in arguments.datasets]
    registry = load_registry()
    sources = list(dict.fromkeys(registry.raw_of(name) for name in names))
    if arguments.plan:
        for line in plan(registry, sources):
            print(line)
        return 0
    for name in sources:
        settle_terms(registry, name, arguments.accept_terms)
    missing = []
    for name in sources:
        try:
            fetch_dataset.main(job_arguments(registry, name))
        except MissingDataError as error:  # go on with the others; tell all at the end
            missing.append(str(error))
    if missing:
        raise MissingDataError("\n".join(missing))
    return 0


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no side of an image; give 1 pixel or more")
    return int(text)


def job_arguments(registry: Registry, name: str) -> list[str]:
    """The arguments the rule gives the job, so that both make the same files."""
    folder = f"data/raw/{name}"
    settings = registry.fetch_settings(name).model_dump_json()
    return [
        *("--cell", name, "--settings", settings),
        *("--checksums", f"{folder}/checksums.json", "--receipt", f"{folder}/receipt.json"),
    ]


def settle_terms(registry: Registry, name: str, accept: bool) -> None:
    """Show terms that need consent once, and record the answer.

    Raises:
        ConfigError: the user did not agree.
    """
    terms = registry[name].terms
    if terms is None or terms.consent is None or recorded(name, terms.consent):
        return
    print(f"{name}: {terms.consent} ({terms.source})", file=sys.stderr)
    if not accept:
        if not sys.stdin.isatty():
            return  # the job says how to agree without a terminal
        if input("Do you agree? [y/N] ").strip().lower() not in ("y", "yes"):
            raise ConfigError(f"{name}: not fetched, since its terms were not agreed to")
    record_consent(name, terms.consent)


def plan(registry: Registry, names: Sequence[str]) -> Iterator[str]:
    """One line per file: what it is, how large, where it would come from, what is there already."""
    left, total, unknown = 0, 0, 0
    for name in names:
        entry, fetcher = registry[name], Fetcher()
        yield f"{name}: {entry.title}"
        if entry.terms is not None:
            agreed = entry.terms.consent is None or recorded(name, entry.terms.consent)
            yield f"  licence: {entry.terms.licence} ({entry.terms.source})"
            if not agreed:
                yield f"  needs your consent: {entry.terms.consent}"
        if entry.prepare.folder is not None:
            yield f"  {entry.prepare.folder}: your folder; listed, not copied"
        for raw in entry.files:
            wanted = wanted_file(name, raw)
            state, need = file_state(wanted, Path("data/raw", name, raw.name), fetcher)
            size = f"{raw.size_bytes:>15,} bytes" if raw.size_bytes else "   size not published"
            yield f"  {raw.name:<32} {size}  {state}"
            for url in [] if need == 0 else fetcher.urls(wanted):
                yield f"    {url}"
            unknown += need is None
            left, total = left + (need or 0), total + (raw.size_bytes or 0)
    more = f" and {unknown} of unknown size" if unknown else ""
    yield f"to download: {left:,} of {total:,} bytes{more}"


def file_state(wanted: Wanted, path: Path, fetcher: Fetcher) -> tuple[str, int | None]:
    """Where a file is or would come from, and how many bytes are still to come; None if its size is not published."""
    size = wanted.size_bytes
    kept = fetcher.kept(wanted)
    partial = kept.with_name(f"{kept.name}.part")
    if path.is_file() and (size is None or wanted.repackable or path.stat().st_size == size):
        return "there", 0
    if wanted.bundled is not None:
        return f"comes with {wanted.bundled.partition('.')[0]}", 0
    if kept.is_file():
        return f"downloaded, in {fetcher.store}", 0
    if fetcher.mirror is not None and Path(fetcher.mirror, wanted.mirror).is_file():
        return f"in the mirror {fetcher.mirror}", 0
    if partial.is_file():
        have = partial.stat().st_size
        return f"begun, {have:,} bytes there", None if size is None else max(0, size - have)
    return "there, but of another size: to download" if path.is_file() else "to download", size


def dataset_name(name: str, alias: str | None, size: int | None, dry: bool) -> str:
    """The registry name; of folder:PATH, after entering it in the local registry.

    Raises:
        MissingDataError: no such folder, or no image in it.
        ConfigError: a name that is taken, or that no dataset can have; another size than the one entered.
    """
    if not name.startswith("folder:"):
        return name
    folder = Path(name.removeprefix("folder:")).expanduser().resolve()
    if not folder.is_dir():
        raise MissingDataError(f"{folder}: no such folder; correct the path after folder:")
    alias = alias or re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_")
    if not NAME.match(alias):
        raise ConfigError(
            f"{folder}: {alias!r} cannot name a dataset (a letter, then a-z, 0-9, _); give one with --name"
        )
    known = load_registry().datasets
    if alias in known:
        entered = known[alias].prepare
        if entered.folder != str(folder):
            raise ConfigError(f"{alias}: the registry has another dataset of this name; give one with --name")
        if size not in (None, entered.shape[1]):
            raise ConfigError(
                f"{alias}: entered in {LOCAL} with images of {entered.shape[1]} pixels; edit it there, or give --name"
            )
        return alias
    if dry:
        raise ConfigError(f"{folder}: not in the registry yet; fetch it first, without --plan")
    if not holds_an_image(folder):
        raise MissingDataError(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))}); nothing was entered")
    enter(alias, folder_entry(folder, 64 if size is None else size))
    print(f"{folder}: entered in {LOCAL} as {alias}; edit its splits there", file=sys.stderr)
    return alias


def holds_an_image(folder: Path) -> bool:
    """Whether there is a file below it that can be one, by its name."""
    files = (name for _, _, names in os.walk(folder) for name in names)
    return any(Path(name).suffix.lower() in SUFFIXES for name in files)


def folder_entry(folder: Path, size: int) -> dict[str, Any]:
    """The registry entry of a folder of the user's; its classes are its sub-folders, if it has any."""
    by_class = any(entry.is_dir() for entry in folder.iterdir())
    shuffle = {"kind": "stream", "seed": 0}
    terms = next((terms for pattern, terms in TERMS_OF_FOLDERS.items() if re.search(pattern, str(folder), re.I)), OWN)
    return {
        "title": f"Images of {folder}",
        "citation": "the user's own",
        "terms": terms.model_dump(exclude_none=True),
        "prepare": {
            "shape": [3, size, size],
            **({"classes": "folders"} if by_class else {}),
            "notes": f"Shorter side to {size} by Pillow's bicubic filter, central square; 90 % train, 10 % test.",
            "parts": {"all": {"format": "folder", "folder": str(folder), "size": size, "shuffle": shuffle}},
            "splits": {"train": {"part": "all", "share": [0.0, 0.9]}, "test": {"part": "all", "share": [0.9, 1.0]}},
        },
    }


def enter(name: str, entry: Mapping[str, Any]) -> None:
    """Add an entry to the local registry, behind what the user has written there."""
    local = read_yaml(LOCAL) if LOCAL.is_file() else {"datasets": {}}
    local["datasets"][name] = entry
    before = LOCAL.read_text(encoding="utf-8").rstrip() if LOCAL.is_file() else "datasets:"
    added = textwrap.indent(yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True), "  ")
    text = f"{before}\n\n{added}"
    try:
        fits = yaml.safe_load(text) == local
    except yaml.YAMLError:  # the user's file is indented otherwise; then its comments are lost
        fits = False
    write_text(LOCAL, text if fits else yaml.safe_dump(local, sort_keys=False, allow_unicode=True))


if __name__ == "__main__":
    sys.exit(run(main))
