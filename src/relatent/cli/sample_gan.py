"""Sample from a trained DCGAN: images late and early, paths between z, and measures of their quality."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from relatent.cli.job import Job, JobParser, run
from relatent.config.sample import GanSampleSettings
from relatent.errors import DataIntegrityError
from relatent.ledger.files import atomic_path, write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

    Net = TypeVar("Net", bound=nn.Module)

MOST_TRAIN_IMAGES = 100_000  # that samples are compared with: LSUN's three million would need 150 GB


def main(argv: Sequence[str] | None = None) -> None:
    """Read the weights, make the images, judge them."""
    parser = JobParser("sample", "relatent.cli.sample_gan", GanSampleSettings, __doc__)
    parser.input("model", "model.safetensors of train_gan")
    parser.input("early_model", "early.safetensors of train_gan")
    parser.input("train_images", "images the net was trained on, or the split they are of")
    parser.input("kept", "indices of the images it was trained on; all if not given", required=False)
    parser.input("heldout_images", "images of another split; a dataset may have none", required=False)
    parser.output("samples", "samples.npy: uint8 (n, channel, height, width)")
    parser.output("early", "early.npy: the same z after the first of snapshot_epochs")
    parser.output("interpolation", "interpolation.npy: uint8 (path, step, ...), straight paths, then spherical ones")
    parser.output("metrics", "metrics.json")
    job = parser.parse(argv)

    import torch

    from relatent.data.streams import stream
    from relatent.evaluation.gan_samples import generated, judge, path_metrics, realness
    from relatent.models.dcgan import build_discriminator, build_generator
    from relatent.training.gan_data import draw_labels, draw_z, trained_on
    from relatent.training.runtime import configure_torch
    from relatent.visual.latent import jump_index, spherical_path, straight_path

    settings = job.settings
    determinism = configure_torch(settings.threads)
    train = np.load(job.inputs["train_images"], mmap_mode="r")
    kept = np.load(job.inputs["kept"]) if "kept" in job.inputs else None
    kept = trained_on(len(train), kept, settings.validation)
    if len(kept) > MOST_TRAIN_IMAGES:
        kept = np.sort(stream(settings.seed, "judged training images").permutation(kept)[:MOST_TRAIN_IMAGES])
    heldout = torch.from_numpy(np.load(job.inputs["heldout_images"])) if "heldout_images" in job.inputs else None
    shape = (settings.net, train.shape[1], settings.batch_norm_eps)
    generator = filled(build_generator(*shape), job.inputs["model"], "generator.")
    discriminator = filled(build_discriminator(*shape), job.inputs["model"], "discriminator.")
    early = filled(build_generator(*shape), job.inputs["early_model"], "")
    net = generator.net

    def z_of(purpose: str, count: int) -> torch.Tensor:
        return draw_z(settings.seed, purpose, count, net, settings.z_prior)

    labels = torch.arange(settings.n_samples) % net.classes if net.classes else None
    z = z_of("sample z", settings.n_samples)
    samples, early_samples = generated(generator, z, labels), generated(early, z, labels)

    start, end = z_of("path start", settings.paths), z_of("path end", settings.paths)
    path_labels = (torch.arange(settings.paths) % net.classes).repeat(settings.path_steps) if net.classes else None
    paths = {}
    for kind, walk in (("straight", straight_path), ("spherical", spherical_path)):
        steps = walk(start, end, settings.path_steps)
        images = generated(generator, steps.flatten(0, 1), path_labels)
        paths[kind] = images.view(settings.path_steps, settings.paths, *images.shape[1:]).transpose(0, 1)

    judged_labels = draw_labels(settings.seed, "judged z", settings.judged_samples, net)
    judged = generated(generator, z_of("judged z", settings.judged_samples), judged_labels)
    rng = torch.Generator().manual_seed(settings.seed)
    metrics = judge(judged, torch.from_numpy(train[kept]), heldout, rng)
    metrics |= path_metrics({kind: jump_index(images) for kind, images in paths.items()})
    scores = realness(discriminator, samples, labels)
    metrics["realness"] = {
        "value": sum(scores) / len(scores),
        "unit": "logit of its own discriminator",
        "per_image": [round(score, 4) for score in scores],
    }

    _write_array(job, "samples", samples)
    _write_array(job, "early", early_samples)
    _write_array(job, "interpolation", torch.cat([paths["straight"], paths["spherical"]]))
    write_json(job.outputs["metrics"], metrics)
    job.finish(seeds=[settings.seed], threads=settings.threads, determinism=determinism)


def filled(net: "Net", path: Path, part: str) -> "Net":
    """The net with weights from a file, in eval mode.

    Args:
        net: as built, a generator or a discriminator.
        path: of model.safetensors or early.safetensors.
        part: "generator." or "discriminator."; empty for the first early generator.

    Raises:
        DataIntegrityError: they are of another net.
    """
    from safetensors.torch import load_file

    from relatent.models.dcgan import load_part

    try:
        tensors = load_file(path)
        if not part:
            epochs = sorted({key.partition(".")[0] for key in tensors}, key=lambda key: int(key.removeprefix("epoch")))
            part = f"{epochs[0]}.generator."
        load_part(net, tensors, part)
    except (ValueError, IndexError) as error:
        raise DataIntegrityError(f"{path}: {error}. It was not made by train_gan with these settings.") from None
    return net.eval()


def _write_array(job: Job[GanSampleSettings], name: str, images: "Tensor") -> None:
    with atomic_path(job.outputs[name]) as temporary:
        np.save(temporary, images.contiguous().numpy())


if __name__ == "__main__":
    sys.exit(run(main))
