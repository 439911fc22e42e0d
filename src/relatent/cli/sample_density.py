"""Draw images from a trained density model: samples, paths through its latent space, its weights next to the pixels."""

import sys
from collections.abc import Sequence

from relatent.cli.density_files import read_models
from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.evaluation import DensitySampleCell
from relatent.errors import DataIntegrityError
from relatent.ledger.files import atomic_path, write_json


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, sample, write."""
    parser = JobParser("sample_density", "relatent.cli.sample_density", DensitySampleCell, __doc__)
    parser.input("model", "safetensors, tensors named seed<seed>.<parameter>")
    parser.input("test_images", "uint8 (n, channel, height, width); tells the images' shape")
    parser.output("samples", "npy, uint8 (n, channel, height, width): Bernoulli means")
    parser.output("interpolation", "npy, uint8 (paths, steps, channel, height, width)")
    parser.output("filters", "npz: encoder and decoder, float32 (units, channel, height, width)")
    parser.output("metrics")
    job = parser.parse(argv)
    settings = job.settings

    import numpy as np

    from relatent.evaluation.latent_space import first_layer_weights, last_layer_weights, path_images, sample_images
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(settings.threads)
    shape = read_images(job.inputs["test_images"]).shape[1:]
    model = read_models(job.inputs["model"], [settings.model_seed])[settings.model_seed]
    if model.pixels != int(np.prod(shape)):
        raise DataIntegrityError(
            f"{job.inputs['model']}: made for {model.pixels} pixels, {job.inputs['test_images']} has {shape}; "
            "the checkpoint belongs to another dataset"
        )
    samples = sample_images(model, settings.n_samples, settings.seed, shape)
    paths = path_images(model, settings.paths, settings.path_steps, settings.seed, shape)
    for name, array in (("samples", samples), ("interpolation", paths)):
        with atomic_path(job.outputs[name]) as path:
            np.save(path, array)
    with atomic_path(job.outputs["filters"]) as path:
        np.savez(path, encoder=first_layer_weights(model, shape), decoder=last_layer_weights(model, shape))
    metrics = {
        "mean_grey": {
            "value": float(samples.mean(dtype=np.float64) / 255),
            "unit": "fraction",
            "n_images": len(samples),
            "model_seed": settings.model_seed,
        }
    }
    write_json(job.outputs["metrics"], metrics)
    job.finish(seeds=[settings.seed], threads=settings.threads, determinism=determinism)
    return None


if __name__ == "__main__":
    sys.exit(run(main))
