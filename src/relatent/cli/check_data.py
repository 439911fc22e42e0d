"""Job: check a prepared dataset for what changes numbers (rule check_data, table `data_checks`).

Label counts and mean per split, exact and near duplicates within and across splits, and the name of the test
binarisation.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from relatent.cli.job import JobParser, run
from relatent.config.base import Settings
from relatent.data.binarisation import TEST_SEED, binarisation_id, test_binarisation
from relatent.data.checks import (
    ALIKE,
    NEAR,
    Thumbnails,
    comparable,
    duplicates,
    image_digests,
    inconsistent_labels,
    label_histogram,
    likeness_found,
    mean_grey,
    metric,
    thumbnails,
)
from relatent.data.store import open_array
from relatent.ledger.files import read_json, write_json

COMMAND = "relatent.cli.check_data"
SPLITS = ("train", "validation", "test", "extra")  # duplicates are told as those of a later one in an earlier


class CheckSettings(Settings):
    """What the checks of one dataset depend on."""

    dataset: str
    test_seed: int = Field(default=TEST_SEED, description="of the test binarisation")


def main(argv: Sequence[str] | None = None) -> int | None:
    """Check one dataset; writes checks.json."""
    parser = JobParser("check_data", COMMAND, CheckSettings, __doc__)
    parser.input("manifest", "manifest.json of the dataset")
    parser.input_list("arrays", "<split>_images.npy and <split>_labels.npy of every split")
    parser.output("checks", "checks.json, in the form of a metrics file")
    job = parser.parse(argv)
    manifest = read_json(job.inputs["manifest"])
    arrays = {path.stem: open_array(path) for path in job.input_lists["arrays"]}
    metrics: dict[str, dict[str, Any]] = {}
    digests = {}
    for split in (name for name in SPLITS if name in manifest["splits"]):
        entry = manifest["splits"][split]
        images, labels = arrays[f"{split}_images"], arrays.get(f"{split}_labels")
        digests[split] = image_digests(images)
        metrics[f"n_{split}"] = metric(len(images), "count")
        metrics[f"mean_{split}"] = metric(mean_grey(images), "fraction", n_images=len(images))
        metrics[f"sha256_{split}"] = metric(entry["sha256_images"], "sha256")
        if labels is not None:
            counts = label_histogram(labels, len(manifest["classes"]))
            metrics[f"labels_{split}"] = metric(counts, "count", classes=manifest["classes"])
            metrics[f"smallest_class_{split}"] = metric(min(counts), "count")
            metrics[f"largest_class_{split}"] = metric(max(counts), "count")
            metrics[f"inconsistent_labels_{split}"] = metric(inconsistent_labels(digests[split], labels), "count")
        if "unreadable" in entry:
            metrics[f"unreadable_{split}"] = metric(len(entry["unreadable"]), "count")
    for name, count in duplicates(digests).items():
        metrics[f"duplicates_{name}"] = metric(count, "count")
    metrics |= near_copies({split: arrays[f"{split}_images"] for split in digests})
    if manifest["shape"][0] == 1 and "test" in manifest["splits"]:
        binary = test_binarisation(arrays["test_images"], job.settings.test_seed)
        metrics["test_binarisation"] = metric(binarisation_id(binary), "sha256", seed=job.settings.test_seed)
    write_json(job.outputs["checks"], metrics)
    job.finish(seeds=[job.settings.test_seed])
    return None


def near_copies(images: Mapping[str, NDArray[np.uint8]]) -> dict[str, dict[str, Any]]:
    """Near duplicates within each split, and of the other splits in train; not of sets too large to compare."""
    small: dict[str, Thumbnails] = {}
    found: dict[str, dict[str, Any]] = {}
    for split, others in [*((name, name) for name in images), *((name, "train") for name in images if name != "train")]:
        if others not in images or not comparable(images[split], images[others]):
            continue
        for name in {split, others} - set(small):
            small[name] = thumbnails(images[name])
        likeness = likeness_found(small[split], None if split == others else small[others])
        name = split if split == others else f"{split}_in_{others}"
        found[f"near_duplicates_{name}"] = metric(int(np.sum(likeness >= NEAR)), "count", correlation=NEAR)
        found[f"alike_{name}"] = metric(int(np.sum(likeness >= ALIKE)), "count", correlation=ALIKE)
    return found


if __name__ == "__main__":
    sys.exit(run(main))
