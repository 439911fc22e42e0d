"""What a discriminator's features look at (Radford et al. 2016, fig. 5): gradients at the images that excite them most.

Guided gradients, the plain ones beside them, and both of the same net before its training.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.visual import GuidedCell
from relatent.errors import ConfigError
from relatent.ledger.files import atomic_path, write_json

if TYPE_CHECKING:
    from relatent.models.dcgan import Discriminator

FEATURES_SHOWN = range(6)  # the first six, as in the paper


def main(argv: Sequence[str] | None = None) -> None:
    """Read the weights, find each feature's images, take the gradients, measure them."""
    parser = JobParser("guided_features", "relatent.cli.guided_features", GuidedCell, __doc__)
    parser.input("model", "model.safetensors of train_gan")
    parser.input("train_images", "images the net was trained on, or the split they are of")
    parser.input("kept", "indices of the images it was trained on; all if not given", required=False)
    parser.output(
        "pictures", "npz: per net (trained, random) index_, images_, guided_ and plain_, (feature, image, ...)"
    )
    parser.output("metrics", "metrics.json")
    job = parser.parse(argv)
    settings = job.settings

    import torch

    from relatent.cli.sample_gan import filled
    from relatent.data.streams import stream
    from relatent.models.dcgan import build_discriminator, scaled
    from relatent.probe.features import reestimate_statistics
    from relatent.training.gan_data import trained_on
    from relatent.training.runtime import configure_torch
    from relatent.visual.guided import feature_metrics, shown_features, strongest_images

    determinism = configure_torch(settings.threads)
    split = read_images(job.inputs["train_images"])
    kept = np.load(job.inputs["kept"]) if "kept" in job.inputs else None
    kept = trained_on(len(split), kept, settings.validation)
    if len(kept) < settings.strongest:
        raise ConfigError(f"{job.cell}: {len(kept)} images are fewer than strongest, {settings.strongest}; lower it")
    places = np.sort(stream(settings.seed, "guided images").permutation(kept)[: settings.images])
    images = np.ascontiguousarray(split[places])
    trained = build_discriminator(settings.net, images.shape[1], settings.batch_norm_eps)
    nets = {
        "trained": filled(trained, job.inputs["model"], "discriminator."),
        "random": never_trained(settings, images),
    }
    for net in nets.values():  # as the probe: by real images alone, the same for both nets
        reestimate_statistics(net, images, settings.batch_size)
    grey = torch.from_numpy(images)
    x = scaled(grey, trained.net.output)
    strongest = {name: strongest_images(net, x, -1, settings.strongest) for name, net in nets.items()}
    features = min(settings.features, *map(len, strongest.values()))
    metrics = feature_metrics(nets, x, strongest, features)
    write_json(job.outputs["metrics"], metrics)

    shown = shown_features(nets, x, strongest, FEATURES_SHOWN)
    for name, places_of in strongest.items():
        chosen = places_of[FEATURES_SHOWN.start : FEATURES_SHOWN.stop]
        shown |= {f"images_{name}": grey[chosen], f"index_{name}": torch.from_numpy(places)[chosen]}
    with atomic_path(job.outputs["pictures"]) as path:
        arrays: dict[str, Any] = {name: values.numpy() for name, values in shown.items()}
        np.savez_compressed(path, **arrays)
    job.finish(seeds=[settings.seed], threads=settings.threads, determinism=determinism)


def never_trained(settings: GuidedCell, images: "np.ndarray") -> "Discriminator":
    """The discriminator that a training with this seed starts from, as in row `random` of the probe."""
    import torch

    from relatent.data.streams import stream_key
    from relatent.models.dcgan import build_discriminator, build_generator, initialise

    rng = torch.Generator().manual_seed(stream_key(settings.seed, "initial weights") % 2**63)
    initialise(build_generator(settings.net, images.shape[1]), rng)  # drawn first in a training, too
    net = build_discriminator(settings.net, images.shape[1], settings.batch_norm_eps)
    initialise(net, rng)
    return net


if __name__ == "__main__":
    sys.exit(run(main))
