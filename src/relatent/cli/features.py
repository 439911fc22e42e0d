"""Make one row's features of a target dataset: training and validation images in `train`, in that order, and test."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relatent.cli.job import Job, JobParser, run
from relatent.config.features import AutoencoderRow, DiscriminatorRow, FeatureSettings, KmeansRow, PcaRow
from relatent.errors import ConfigError, DataIntegrityError
from relatent.ledger.files import atomic_path, write_json

if TYPE_CHECKING:
    import numpy as np

    from relatent.models.dcgan import Discriminator


def main(argv: Sequence[str] | None = None) -> None:
    """Read images and weights, make features, write them."""
    parser = JobParser("features", "relatent.cli.features", FeatureSettings, __doc__)
    parser.input("train_images", "uint8 (n, channel, height, width)")
    parser.input("validation_images", "absent if the dataset has no validation split", required=False)
    parser.input("test_images")
    parser.input("weights", "safetensors of the row's net, if it has one", required=False)
    parser.output("train", "float32 (train + validation images, feature)")
    parser.output("test", "float32 (image, feature)")
    parser.output("layout", "JSON: features, units, layers, filters as pictures")
    job = parser.parse(argv)

    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    row = job.settings.row
    seeds = [row.seed] if isinstance(row, KmeansRow | DiscriminatorRow) and row.draws else []
    determinism: dict[str, object] = {}
    work = job.work("relatent.cli.features", job.settings.threads)
    if isinstance(row, KmeansRow) and work.restore(job.outputs):
        job.finish(seeds=seeds, threads=job.settings.threads)
        return
    splits = [np.load(job.inputs[name], mmap_mode="r") for name in SPLITS if name in job.inputs]
    development = np.concatenate(splits[:-1])
    with threadpool_limits(job.settings.threads):
        if isinstance(row, DiscriminatorRow):
            layout, determinism = _discriminator(job, row, len(splits[0]), development, splits[-1])
        elif isinstance(row, AutoencoderRow):
            layout, determinism = _autoencoder(job, development, splits[-1])
        elif isinstance(row, KmeansRow):
            layout = _kmeans(job, row, development, splits[-1])
        else:
            layout = _pixels(job, row if isinstance(row, PcaRow) else None, development, splits[-1])
    write_json(job.outputs["layout"], layout)
    if isinstance(row, KmeansRow):
        work.keep(job.outputs)
    job.finish(seeds=seeds, threads=job.settings.threads, determinism=determinism)


SPLITS = ("train_images", "validation_images", "test_images")


def _pixels(
    job: Job[FeatureSettings], row: PcaRow | None, development: "np.ndarray", test: "np.ndarray"
) -> dict[str, object]:
    from relatent.probe.baselines.components import fit_components
    from relatent.probe.pixels import pixels

    layout: dict[str, object] = {}
    features = [pixels(development), pixels(test)]
    if row is not None:
        try:
            components = fit_components(features[0], row.components, row.whiten)
        except ValueError as error:
            raise ConfigError(f"{job.cell}: {error}. Lower rows.<row>.components.") from None
        features = [components.transform(values) for values in features]
        layout["explained_variance"] = components.explained
    for name, values in zip(("train", "test"), features, strict=True):
        _save(job.outputs[name], values)
    return {"features": features[0].shape[1], "units": features[0].shape[1], **layout}


def _kmeans(
    job: Job[FeatureSettings], row: KmeansRow, development: "np.ndarray", test: "np.ndarray"
) -> dict[str, object]:

    from relatent.data.streams import stream
    from relatent.probe.baselines.kmeans import learn_dictionary, standardise, triangle_features
    from relatent.probe.pixels import filter_pictures

    rng = stream(row.seed, "K-means")
    dictionary = learn_dictionary(development, row.centroids, row.patch, row.patches, row.iterations, rng)
    width = 4 * row.centroids
    with (
        _new_array(job.outputs["train"], (len(development), width)) as train,
        _new_array(job.outputs["test"], (len(test), width)) as held,
    ):
        triangle_features(dictionary, development, train)
        triangle_features(dictionary, test, held)
        standardise(train, held)
    centroids = dictionary.centroids.reshape(-1, development.shape[1], row.patch, row.patch)
    # Units as Table 1 counts them: 4,800, not 19,200.
    return {"features": width, "units": row.centroids, "filters": filter_pictures(centroids)}


def _discriminator(
    job: Job[FeatureSettings], row: DiscriminatorRow, n_train: int, development: "np.ndarray", test: "np.ndarray"
) -> tuple[dict[str, object], dict[str, object]]:

    from relatent.models.dcgan import build_discriminator
    from relatent.probe.features import discriminator_features, layer_sizes, reestimate_statistics
    from relatent.probe.pixels import filter_pictures
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(job.settings.threads)
    try:
        net = build_discriminator(row.net_name, development.shape[1], row.batch_norm_eps)
    except ValueError as error:
        raise ConfigError(f"{job.cell}: {error}") from None
    if net.net.side != development.shape[-1] or net.net.classes:
        raise ConfigError(
            f"{job.cell}: {row.net_name} takes unlabelled images of {net.net.side} pixels a side, the target's have "
            f"{development.shape[-1]}. Choose another net or another target."
        )
    _fill(net, job, row)
    net.eval()
    if row.statistics == "target":
        reestimate_statistics(net, development[:n_train], row.batch_size)
    for name, images in (("train", development), ("test", test)):
        with _new_array(job.outputs[name], (len(images), net.net.feature_units)) as out:
            discriminator_features(net, images, out, row.batch_size)
    units = max(maps * net.net.width for maps, _ in net.net.discriminator)
    layout = {"features": net.net.feature_units, "units": units, "layers": layer_sizes(net)}
    first = next(net.convs[0].parameters()).detach().numpy()
    return {**layout, "filters": filter_pictures(first)}, determinism


def _fill(net: "Discriminator", job: Job[FeatureSettings], row: DiscriminatorRow) -> None:
    """Trained weights from the cell's file; or random ones, the very weights that a training starts from."""
    import torch
    from safetensors.torch import load_file

    from relatent.data.streams import stream_key
    from relatent.models.dcgan import build_generator, initialise, load_part

    if row.weights == "random":
        rng = torch.Generator().manual_seed(stream_key(row.seed, "initial weights") % 2**63)
        initialise(build_generator(row.net_name, net.channels), rng)  # drawn first in a training, too
        initialise(net, rng)
        return
    try:
        load_part(net, load_file(job.inputs["weights"]), "discriminator.")
    except ValueError as error:
        raise DataIntegrityError(f"{job.inputs['weights']}: {error}") from None


def _autoencoder(
    job: Job[FeatureSettings], development: "np.ndarray", test: "np.ndarray"
) -> tuple[dict[str, object], dict[str, object]]:
    import numpy as np
    import torch
    from safetensors.torch import load_file

    from relatent.models.autoencoder import Autoencoder
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(job.settings.threads)
    tensors = load_file(job.inputs["weights"])
    units, inputs = tensors["encoder.weight"].shape
    if inputs != development[0].size:
        raise ConfigError(
            f"{job.cell}: {job.inputs['weights']} takes {inputs} pixels, the target's images have {development[0].size}"
        )
    model = Autoencoder(inputs, units)
    model.load_state_dict(tensors)
    with torch.no_grad():
        for name, images in (("train", development), ("test", test)):
            blocks = [
                model.code(model.pixels(torch.from_numpy(np.array(images[start : start + 1024]))))
                for start in range(0, len(images), 1024)
            ]
            _save(job.outputs[name], torch.cat(blocks).numpy())
    return {"features": units, "units": units}, determinism


def _save(path: Path, values: "np.ndarray") -> None:
    import numpy as np

    with atomic_path(path) as temporary:
        np.save(temporary, values.astype(np.float32, copy=False))


@contextmanager
def _new_array(path: Path, shape: tuple[int, int]) -> "Iterator[np.ndarray]":
    """A float32 array in a file, as a memory map to fill; renamed to `path` when the block ends well."""
    import numpy as np

    with atomic_path(path) as temporary:
        array = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        yield array
        array.flush()


if __name__ == "__main__":
    sys.exit(run(main))
