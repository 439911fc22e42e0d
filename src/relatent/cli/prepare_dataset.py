"""Job: decode one fetched dataset into memory-mapped uint8 arrays by split, with a manifest (rule prepare)."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relatent.cli.job import JobParser, run
from relatent.config.registry import CropsPart, DigitsPart, PartRecipe, PrepareSettings, Recipe
from relatent.data.formats.crops import read_crops
from relatent.data.formats.digits import read_digits
from relatent.data.parts import Part, check_part
from relatent.data.splits import cut, shuffled
from relatent.data.store import SplitRows, place_file, write_splits
from relatent.errors import DataIntegrityError
from relatent.ledger.files import write_json

COMMAND = "relatent.cli.prepare_dataset"


def main(argv: Sequence[str] | None = None) -> int | None:
    """Prepare one dataset; the arrays are written beside the manifest."""
    parser = JobParser("prepare", COMMAND, PrepareSettings, __doc__)
    parser.input_list("raw", "the dataset's raw files")
    parser.output("manifest", "manifest.json; the arrays are written beside it")
    job = parser.parse(argv)
    recipe, folder = job.settings.recipe, job.outputs["manifest"].parent
    raw = {path.name: path for path in job.input_lists["raw"]}

    work = job.work(COMMAND)
    with work.lock():
        dataset = job.settings.dataset
        parts = {name: open_part(part, raw, recipe, f"{dataset}/{name}") for name, part in recipe.parts.items()}
        splits = split_rows(recipe, parts, dataset)
        written = write_splits(parts, splits, recipe.shape, work.folder, dataset)
        check_pins(recipe, written, dataset)
        outputs = {path.stem: folder / path.name for path in sorted(work.folder.glob("*_*.[nt][px][yt]"))}
        for path in outputs.values():
            place_file(work.folder / path.name, path)
        write_json(job.outputs["manifest"], manifest(job.settings, written))
    shutil.rmtree(work.folder)
    job.outputs = {**job.outputs, **outputs}
    job.finish()
    return None


def open_part(part: PartRecipe, raw: dict[str, Path], recipe: Recipe, where: str) -> Part:
    """The reader of one part, checked against what the registry says of it.

    Raises:
        DataIntegrityError: other numbers of images or labels than announced, or bytes that are not the format's.
    """
    opened = read_part(part, raw)
    check_part(opened, where, part.n_images, len(recipe.classes) if recipe.classes else None)
    return opened


def read_part(part: PartRecipe, raw: dict[str, Path]) -> Part:
    """The reader for a part's format."""
    match part:
        case DigitsPart():
            return read_digits(raw[part.file], part.size)
        case CropsPart():
            return read_crops([raw[file] for file in part.files], part.size, part.stride, part.columns)


def split_rows(recipe: Recipe, parts: dict[str, Part], dataset: str) -> list[SplitRows]:
    """Which image of which part goes where."""
    rows = []
    for name, split in recipe.splits.items():
        shuffle = recipe.parts[split.part].shuffle
        order = shuffled(parts[split.part].n_images, shuffle.kind if shuffle else None, shuffle.seed if shuffle else 0)
        rows.append(SplitRows(name, split.part, cut(order, split.start, split.stop, f"{dataset}: splits.{name}")))
    return rows


def check_pins(recipe: Recipe, written: dict[str, dict[str, Any]], dataset: str) -> None:
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


def manifest(settings: PrepareSettings, written: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the arrays are, for who has only the folder."""
    recipe = settings.recipe
    return {
        "dataset": settings.dataset,
        "source": settings.source,
        "shape": list(recipe.shape),
        "classes": recipe.classes,
        "notes": recipe.notes,
        "recipe": recipe.model_dump(mode="json", include={"parts", "splits"}),
        "splits": written,
    }


if __name__ == "__main__":
    sys.exit(run(main))
