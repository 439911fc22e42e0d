"""De-duplicate a dataset: autoencoder, codes, clusters, the kept index, and how far to trust them.

Radford et al. 2016, sec. 3.1. Only the train split is thinned; the test split is compared with it, to count leakage.
"""

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatent.cli.image_files import read_images
from relatent.cli.job import Job, JobParser, run
from relatent.config.dedup import DedupSettings
from relatent.errors import DataIntegrityError
from relatent.ledger.files import atomic_path, write_bytes, write_json, write_text

if TYPE_CHECKING:
    import numpy as np

    from relatent.dedup.findings import JudgedPairs
    from relatent.dedup.planted import Planted
    from relatent.models.autoencoder import Autoencoder

OUTPUTS = (
    "autoencoder",
    "codes",
    "clusters",
    "kept",
    "metrics",
    "recall",
    "radius",
    "pairs",
    "leakage",
    "contact_sheet",
)


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, fit, search, judge, write."""
    parser = JobParser("dedup", "relatent.cli.dedup", DedupSettings, __doc__)
    parser.input("train_images", "uint8 (n, channel, height, width)")
    parser.input("test_images", "compared with the train split; left out where a dataset has none", required=False)
    parser.input("verdicts", "CSV of human verdicts: a,b,same with same 0 or 1", source=True, required=False)
    for name in OUTPUTS:
        parser.output(name)
    job = parser.parse(argv)

    import numpy as np

    from relatent.data.streams import stream
    from relatent.dedup.codes import code_statistics, pack_bits
    from relatent.dedup.findings import find, judged_collisions, pixel_copies
    from relatent.dedup.metrics import by_radius, collapse_warnings, dedup_metrics, human_precision
    from relatent.dedup.planted import plant
    from relatent.dedup.search import first_equal
    from relatent.dedup.sheet import findings_sheet, save_small
    from relatent.training.autoencoder import encoded_bits
    from relatent.training.runtime import configure_torch

    s = job.settings
    determinism = configure_torch(s.threads)
    train = read_train_images(job.inputs["train_images"])
    test = read_test_images(job.inputs.get("test_images"), train)
    model = fitted(job, train)

    def codes_of(images: "np.ndarray") -> "np.ndarray":
        return pack_bits(encoded_bits(model, images, s.threshold))

    codes, test_codes = codes_of(train), codes_of(test)
    judge_by: dict[str, Any] = {"same_correlation": s.same_correlation, "same_rms": s.same_rms}
    by = {
        radius: find(train, test, codes, test_codes, radius, most=s.judged_pairs, seed=s.seed, **judge_by)
        for radius in sorted({s.radius, *s.ablation_radii})
    }
    found, first = by[s.radius], first_equal(codes)
    planted = plant(train, codes, codes_of, s.planted.strengths(), s.planted.copies, s.seed)
    copies = pixel_copies(train, test, codes, test_codes, s.same_correlation)
    collisions = judged_collisions(train, first, most=s.judged_pairs, seed=s.seed, **judge_by)
    statistics = code_statistics(codes, s.code_units, first, stream(s.seed, "random pairs"))
    metrics = dedup_metrics(found, statistics, planted, collisions, copies, len(test), s.false_share)
    if "verdicts" in job.inputs:
        metrics |= human_precision(read_verdicts(job.inputs["verdicts"]))
    for warning in collapse_warnings(metrics, s.code_units):
        print(f"warning: dedup {job.cell}: {warning}", file=sys.stderr)

    for name, array in (("codes", codes), ("kept", found.kept.astype(np.int64))):
        with atomic_path(job.outputs[name]) as path:
            np.save(path, array)
    several = np.flatnonzero(np.bincount(found.lowest, minlength=len(train))[found.lowest] > 1)  # the others are kept
    rows = ((i, low, int(i == low)) for i, low in zip(several.tolist(), found.lowest[several].tolist(), strict=True))
    write_csv(job.outputs["clusters"], ("index", "cluster", "kept"), rows)
    write_recall(job.outputs["recall"], planted, s.radius)
    ablation = [by_radius(one, planted, copies) for one in by.values()]
    write_csv(job.outputs["radius"], ablation[0], ([decimals(v) for v in row.values()] for row in ablation))
    write_pairs(job.outputs["pairs"], found.removals)
    write_pairs(job.outputs["leakage"], found.leaked)
    write_json(job.outputs["metrics"], metrics)
    with atomic_path(job.outputs["contact_sheet"]) as path:
        save_small(findings_sheet(train, test, found, copies), path)
    job.finish(seeds=[s.seed], threads=s.threads, determinism=determinism)
    return None


def read_train_images(path: Path) -> "np.ndarray":
    """The split to thin, memory-mapped.

    Raises:
        DataIntegrityError: not uint8 images of 1 or 3 channels, or none at all.
    """
    images = read_images(path)
    if images.shape[1] not in (1, 3):
        raise DataIntegrityError(
            f"{path}: images of {images.shape[1]} channels; de-duplication reads 1 (grey) or 3 (colour). "
            "Prepare the dataset so."
        )
    return images


def read_test_images(path: Path | None, train: "np.ndarray") -> "np.ndarray":
    """The split to compare with `train`; empty if there is none.

    Raises:
        DataIntegrityError: as `read_images`, or fewer than two train images, or images of another shape.
    """
    if len(train) < 2:
        raise DataIntegrityError(
            f"{len(train)} image; two are needed to have a duplicate. Prepare a larger train split"
        )
    if path is None:
        return train[:0]
    test = read_images(path)
    if test.shape[1:] != train.shape[1:]:
        raise DataIntegrityError(
            f"{path}: images of {test.shape[1:]}, the train split has {train.shape[1:]}; prepare the dataset again"
        )
    return test


def fitted(job: Job[DedupSettings], images: "np.ndarray") -> "Autoencoder":
    """The fitted autoencoder: taken from the scratch store, or fitted, resuming where an interrupted fit stood."""
    import math

    from safetensors.torch import load_file, save

    from relatent.models.autoencoder import Autoencoder
    from relatent.training.autoencoder import fit_autoencoder

    s = job.settings
    output = {"autoencoder": job.outputs["autoencoder"]}
    work = job.work("relatent.training.autoencoder", threads=s.threads)
    with work.lock():
        if not work.restore(output):
            checkpoint = work.checkpoint("state.safetensors")

            def keep(state: dict[str, Any]) -> None:
                write_bytes(checkpoint, save(state))

            model = fit_autoencoder(
                images,
                code_units=s.code_units,
                masking_noise=s.masking_noise,
                dropout=s.dropout,
                learning_rate=s.learning_rate,
                batch_size=s.batch_size,
                epochs=s.epochs,
                seed=s.seed,
                state=load_file(checkpoint) if checkpoint.exists() else None,
                keep=keep,
                label=f"dedup {job.cell}",
            )
            write_bytes(output["autoencoder"], save(model.state_dict()))
            work.keep(output)
    model = Autoencoder(math.prod(images.shape[1:]), s.code_units)
    model.load_state_dict(load_file(output["autoencoder"]))
    return model


def read_verdicts(path: Path) -> list[bool]:
    """Whether each pair of a verdict file (columns a, b, same) shows one picture.

    Raises:
        DataIntegrityError: another header, or a verdict that is neither 0 nor 1.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for line, row in enumerate(rows, start=2):
        if row.get("same") not in ("0", "1"):
            raise DataIntegrityError(f"{path}: line {line}: `same` is {row.get('same')!r}; a verdict is 0 or 1")
    return [row["same"] == "1" for row in rows]


def write_recall(path: Path, planted: "Sequence[Planted]", radius: int) -> None:
    """CSV of planted copies by kind and strength: how many are found, and how far their codes are."""
    import numpy as np

    rows = []
    for p in planted:
        quantiles = [decimals(float(np.quantile(p.distance, q))) for q in (0.5, 0.9)]
        share = decimals(p.found(radius) / len(p.distance))
        rows.append((p.kind, p.strength, len(p.distance), p.found(radius), share, p.found(0), *quantiles))
    columns = ("kind", "strength", "planted", "found", "recall", "found_exactly", "distance_median", "distance_p90")
    write_csv(path, columns, rows)


def write_pairs(path: Path, pairs: "JudgedPairs") -> None:
    """CSV of judged pairs: a,b,distance,correlation,rms,same."""
    v = pairs.verdicts
    rows = zip(pairs.a, pairs.b, pairs.distance, v.correlation, v.rms, v.same.astype(int), strict=True)
    formatted = ((a, b, d, decimals(c), decimals(r), same) for a, b, d, c, r, same in rows)
    write_csv(path, ("a", "b", "distance", "correlation", "rms", "same"), formatted)


def decimals(value: Any) -> Any:
    """A float to six decimals, anything else as it is."""
    return f"{value:.6f}" if isinstance(value, float) else value


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV with a header, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    sys.exit(run(main))
