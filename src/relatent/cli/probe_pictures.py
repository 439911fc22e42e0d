"""What a row sees, for figures: each shown test image's nearest training images in the row's features."""

import sys
from collections.abc import Sequence

from relatent.cli.job import JobParser, run
from relatent.config.protocol import PictureSettings
from relatent.ledger.files import atomic_path


def main(argv: Sequence[str] | None = None) -> None:
    """Read features and images, find neighbours, write the pictures and their places."""
    parser = JobParser("probe_pictures", "relatent.cli.probe_pictures", PictureSettings, __doc__)
    parser.input("train", "features of training and validation images, in that order")
    parser.input("test")
    parser.input("train_images")
    parser.input("validation_images", required=False)
    parser.input("test_images")
    parser.input("train_labels")
    parser.input("validation_labels", required=False)
    parser.input("test_labels")
    parser.output(
        "pictures", "npz: shown (n,), neighbours (n, k), images uint8 (n, 1 + k, c, h, w), labels (n, 1 + k), distances"
    )
    job = parser.parse(argv)
    settings = job.settings

    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from relatent.data.streams import stream
    from relatent.probe.diagnostics import nearest_rows

    def joined(name: str) -> np.ndarray:
        parts = [f"{split}_{name}" for split in ("train", "validation") if f"{split}_{name}" in job.inputs]
        return np.concatenate([np.load(job.inputs[part], mmap_mode="r") for part in parts])

    test = np.load(job.inputs["test"], mmap_mode="r")
    shown = np.sort(stream(settings.seed, "shown images").choice(len(test), min(settings.shown, len(test)), False))
    with threadpool_limits(settings.threads):
        neighbours, distances = nearest_rows(
            np.load(job.inputs["train"], mmap_mode="r"), test[shown], settings.neighbours
        )
    arrays = {"shown": shown, "neighbours": neighbours, "distances": distances}
    for name in ("images", "labels"):
        own = np.load(job.inputs[f"test_{name}"], mmap_mode="r")[shown]
        arrays[name] = np.concatenate([own[:, None], joined(name)[neighbours]], axis=1)
    with atomic_path(job.outputs["pictures"]) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
    job.finish(seeds=[settings.seed], threads=settings.threads)


if __name__ == "__main__":
    sys.exit(run(main))
