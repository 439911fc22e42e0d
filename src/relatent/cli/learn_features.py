"""Make one row's features with a model learned on the target's own images: DBN, M1, Exemplar CNN, K-means in layers."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relatent.cli.job import Job, JobParser, run
from relatent.config.rivals import DbnRow, ExemplarRow, KmeansLayersRow, LearnSettings, M1Row
from relatent.errors import ConfigError
from relatent.ledger.files import atomic_path, write_json

if TYPE_CHECKING:
    import numpy as np


def main(argv: Sequence[str] | None = None) -> None:
    """Read images, learn, write features."""
    parser = JobParser("learn_features", "relatent.cli.learn_features", LearnSettings, __doc__)
    parser.input("train_images", "uint8 (n, channel, height, width)")
    parser.input("validation_images", "absent if the dataset has no validation split", required=False)
    parser.input("test_images")
    parser.output("train", "float32 (train + validation images, feature)")
    parser.output("test", "float32 (image, feature)")
    parser.output("layout", "JSON: features, units")
    job = parser.parse(argv)

    from relatent.training.runtime import configure_torch

    settings = job.settings
    determinism = configure_torch(settings.threads)
    work = job.work("relatent.cli.learn_features", settings.threads)
    if not work.restore(job.outputs):
        _learn(job)
        work.keep(job.outputs)
    job.finish(seeds=[settings.row.seed], threads=settings.threads, determinism=determinism)


def _learn(job: Job[LearnSettings]) -> None:
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    names = [name for name in ("train_images", "validation_images") if name in job.inputs]
    development = np.concatenate([np.load(job.inputs[name], mmap_mode="r") for name in names])
    test = np.load(job.inputs["test_images"], mmap_mode="r")
    with threadpool_limits(job.settings.threads):
        if isinstance(job.settings.row, KmeansLayersRow):
            layout = _kmeans_layers(job, job.settings.row, development, test)
            write_json(job.outputs["layout"], layout)
            return
        features, layout = _features(job, development, test)
    for name, values in zip(("train", "test"), features, strict=True):
        with atomic_path(job.outputs[name]) as temporary:
            np.save(temporary, values)
    write_json(job.outputs["layout"], layout)


def _features(
    job: Job[LearnSettings], development: "np.ndarray", test: "np.ndarray"
) -> "tuple[list[np.ndarray], dict[str, Any]]":
    import numpy as np

    row = job.settings.row
    if isinstance(row, DbnRow):
        from relatent.probe.baselines.boltzmann import belief_features

        grey = [images.reshape(len(images), -1).astype(np.float32) / 255 for images in (development, test)]
        features = belief_features(
            grey[0], grey[1:], row.layers, row.epochs, row.learning_rate, row.batch_size, row.seed
        )
        return features, {"features": sum(row.layers), "units": max(row.layers), "layers": row.layers}
    if isinstance(row, M1Row):
        from relatent.probe.baselines.components import fit_components
        from relatent.probe.baselines.m1m2 import m1_codes, train_m1
        from relatent.probe.pixels import pixels

        seen = pixels(development)
        try:
            components = fit_components(seen, row.components)
        except ValueError as error:
            raise ConfigError(f"{job.cell}: {error}. Lower rows.<row>.components.") from None
        inputs = components.transform(seen)
        scale = np.float32(inputs.std(axis=0).mean())  # one scale for all: the components keep their proportions
        model = train_m1(
            inputs / scale, row.hidden, row.latents, row.epochs, row.learning_rate, row.batch_size, row.seed, row.k
        )
        codes = [m1_codes(model, values / scale) for values in (inputs, components.transform(pixels(test)))]
        return codes, {"features": row.latents, "units": row.latents}
    assert isinstance(row, ExemplarRow)
    from relatent.probe.baselines.exemplar import exemplar_features, train_exemplar

    net = train_exemplar(development, row.exemplars, row.width, row.steps, row.batch_size, row.learning_rate, row.seed)
    features = [exemplar_features(net, images) for images in (development, test)]
    layers = [4 * row.width, 8 * row.width, 16 * row.width]
    return features, {"features": sum(layers), "units": 4 * row.width, "layers": layers}


def _kmeans_layers(
    job: Job[LearnSettings], row: KmeansLayersRow, development: "np.ndarray", test: "np.ndarray"
) -> "dict[str, Any]":
    """Features of all layers, written image by image into the files: they may be larger than memory."""
    import numpy as np

    from relatent.data.streams import stream
    from relatent.probe.baselines.kmeans import learn_dictionary
    from relatent.probe.baselines.kmeans_layers import (
        LayerPlan,
        feature_counts,
        layered_features,
        learn_net,
        standardise_rows,
    )

    plans = [LayerPlan(**layer.model_dump(), whole_maps=row.members == "maps") for layer in row.layers]
    try:
        first = learn_dictionary(
            development, row.centroids, row.patch, row.patches, row.iterations, stream(row.seed, "K-means")
        )
        net = learn_net(
            development, first, plans, row.images, row.windows, row.iterations, row.seed, row.contrast, row.floor
        )
    except ValueError as error:
        raise ConfigError(f"{job.cell}: {error}. Change rows.<row>.") from None
    sizes = feature_counts(net, development[0], row.joined)
    with atomic_path(job.outputs["train"]) as train_path, atomic_path(job.outputs["test"]) as test_path:
        written = []
        for path, images in ((train_path, development), (test_path, test)):
            out = np.lib.format.open_memmap(path, "w+", np.float32, (len(images), sum(sizes)))
            layered_features(net, images, out, row.joined)
            written.append(out)
        standardise_rows(*written)
        for out in written:
            out.flush()
    units = max(row.centroids, *(layer.fields * layer.centroids for layer in row.layers))
    return {"features": sum(sizes), "units": units, "layers": sizes}


if __name__ == "__main__":
    sys.exit(run(main))
