"""Job: decode one fetched dataset into memory-mapped uint8 arrays by split, with a manifest (rule prepare)."""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relatent.cli.job import JobParser, run
from relatent.config import recipes
from relatent.config.recipes import PrepareSettings, Recipe
from relatent.data.formats.amat import read_amat
from relatent.data.formats.cifar import read_cifar
from relatent.data.formats.crops import read_crops
from relatent.data.formats.digits import read_digits
from relatent.data.formats.folder import FolderPart
from relatent.data.formats.idx import read_idx_part
from relatent.data.formats.lmdb import LmdbPart, unzipped
from relatent.data.formats.mat5 import MatPart
from relatent.data.formats.npz import read_npz
from relatent.data.formats.omniglot import read_omniglot
from relatent.data.listing import Listing
from relatent.data.parts import Part, check_part
from relatent.data.splits import cut, shuffled
from relatent.data.store import SplitRows, place_file, write_splits
from relatent.errors import DataIntegrityError
from relatent.ledger.files import write_json

COMMAND = "relatent.cli.prepare_dataset"


def main(argv: Sequence[str] | None = None) -> int | None:
    """Prepare one dataset; the arrays are written beside the manifest."""
    workers, argv = _workers(argv)
    parser = JobParser("prepare", COMMAND, PrepareSettings, __doc__)
    parser.input_list("raw", "the dataset's raw files")
    parser.output("manifest", "manifest.json; the arrays are written beside it")
    job = parser.parse(argv)
    dataset, recipe, folder = job.settings.dataset, job.settings.recipe, job.outputs["manifest"].parent
    raw = {path.name: path for path in job.input_lists["raw"]}

    arrays = {name: folder / name for name in recipe.array_files}
    outputs = {**arrays, "manifest.json": job.outputs["manifest"]}
    work = job.work(COMMAND)
    with work.lock():
        if not work.restore(outputs):
            parts = open_parts(recipe, raw, work.folder, workers, dataset)
            rows = split_rows(recipe, parts, dataset)
            written = write_splits(parts, rows, recipe.shape, work.folder, dataset, recipe.classes is not None)
            check_pins(recipe, written, dataset)
            for name, path in arrays.items():
                place_file(work.folder / name, path)
            write_json(job.outputs["manifest"], manifest(job.settings, classes_of(recipe, parts), written))
            if recipe.is_collection:  # hours of decoding; the other formats take seconds
                work.keep(outputs)
        if not recipe.is_collection:
            shutil.rmtree(work.folder)
            job.long_work = None
    job.outputs = {**job.outputs, **arrays}
    job.finish()
    return None


def _workers(argv: Sequence[str] | None) -> tuple[int, list[str]]:
    """How many processes decode, which changes no bit and so is no setting; and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--workers", type=int, default=1)
    known, others = parser.parse_known_args(argv)
    return known.workers, others


def open_parts(recipe: Recipe, raw: Mapping[str, Path], scratch: Path, workers: int, dataset: str) -> dict[str, Part]:
    """The readers of all parts, checked against what the registry says of them.

    Raises:
        DataIntegrityError: bytes that are not the format's, or other numbers of images or labels than announced.
    """
    opened = {}
    for name, part in recipe.parts.items():
        opened[name] = open_part(part, raw, recipe, scratch, workers)
        classes = classes_of(recipe, opened)
        check_part(opened[name], f"{dataset}: {name}", part.n_images, None if classes is None else len(classes))
    return opened


def open_part(part: recipes.PartRecipe, raw: Mapping[str, Path], recipe: Recipe, scratch: Path, workers: int) -> Part:
    """The reader for a part's format."""
    _, height, width = recipe.shape
    match part:
        case recipes.DigitsPart():
            return read_digits(raw[part.file], part.size)
        case recipes.CropsPart():
            return read_crops([raw[file] for file in part.files], part.size, part.stride, part.columns)
        case recipes.IdxPart():
            return read_idx_part(raw[part.images], raw[part.labels] if part.labels else None)
        case recipes.AmatPart():
            return read_amat(raw[part.file], height, width)
        case recipes.CifarBinaryPart():
            return read_cifar(raw[part.archive], part.members)
        case recipes.MatPart():
            return MatPart(raw[part.file], part.images, part.labels, recipe.shape, part.axes, part.label_of_zero)
        case recipes.NpzPart():
            return read_npz(raw[part.file], part.images, part.labels)
        case recipes.OmniglotPart():
            return read_omniglot([raw[file] for file in part.archives], part.drawers, part.size)
        case recipes.LmdbPart():
            packed = raw[part.file]
            database = packed if part.member is None else unzipped(packed, part.member, scratch / f"{packed.stem}.mdb")
            return LmdbPart(database, part.size, workers)
        case recipes.FolderPart():
            listing = Listing(raw["listing.tsv"])
            return FolderPart(Path(part.folder), listing, part.size, recipe.classes == "folders", workers)


def split_rows(recipe: Recipe, parts: Mapping[str, Part], dataset: str) -> list[SplitRows]:
    """Which image of which part goes where."""
    rows = []
    for name, split in recipe.splits.items():
        shuffle = recipe.parts[split.part].shuffle
        order = shuffled(parts[split.part].n_images, shuffle.kind if shuffle else None, shuffle.seed if shuffle else 0)
        chosen = cut(order, split.start, split.stop, f"{dataset}: splits.{name}", split.share)
        rows.append(SplitRows(name, split.part, chosen))
    return rows


def classes_of(recipe: Recipe, parts: Mapping[str, Part]) -> list[str] | None:
    """Names of the labels: those of the registry, or the sub-folders of a folder."""
    if recipe.classes != "folders":
        return recipe.classes
    return next(part.classes for part in parts.values() if isinstance(part, FolderPart))


def check_pins(recipe: Recipe, written: Mapping[str, Mapping[str, Any]], dataset: str) -> None:
    """Compare the arrays with the hashes that the registry pins.

    Raises:
        DataIntegrityError: other bytes.
    """
    for name, pinned in recipe.pinned.items():
        for kind, expected in (("images", pinned.images), ("labels", pinned.labels)):
            found = written[name].get(f"sha256_{kind}")
            if expected is not None and found != expected:
                raise DataIntegrityError(
                    f"{dataset}: sha256 of the {name} {kind} is {found}, the registry pins {expected}. The raw bytes "
                    "are right, so decoding differs here: install the versions of constraints.txt (numpy, pillow)."
                )


def manifest(
    settings: PrepareSettings, classes: Sequence[str] | None, written: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What the arrays are, for who has only the folder."""
    recipe = settings.recipe
    return {
        "dataset": settings.dataset,
        "source": settings.source,
        "shape": list(recipe.shape),
        "classes": classes,
        "notes": recipe.notes,
        "recipe": recipe.model_dump(mode="json", include={"parts", "splits"}, exclude_none=True),
        "splits": written,
    }


if __name__ == "__main__":
    sys.exit(run(main))
