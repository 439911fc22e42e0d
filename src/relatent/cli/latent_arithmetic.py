"""Arithmetic on z, measured (Radford et al. 2016, sec. 6.3.2, fig. 7): heavy right less light right plus light left."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relatent.cli.image_files import read_images
from relatent.cli.job import Job, JobParser, run
from relatent.config.visual import ArithmeticCell
from relatent.errors import ConfigError
from relatent.ledger.files import atomic_path, write_json

if TYPE_CHECKING:
    from relatent.models.dcgan import Generator
    from relatent.visual.arithmetic import Material, Nearest, Tried


def main(argv: Sequence[str] | None = None) -> None:
    """Read the weights, find exemplars, do the sums, judge them."""
    parser = JobParser("latent_arithmetic", "relatent.cli.latent_arithmetic", ArithmeticCell, __doc__)
    parser.input("model", "model.safetensors of train_gan")
    parser.input("train_images", "real images, among which the nearest to each result is looked for")
    parser.input("train_labels", "of a conditional net: is a result still of its class?", required=False)
    parser.output("pictures", "npz: label, exemplars, means, results, pixels, succeeded; of each class's first triple")
    parser.output("metrics", "metrics.json")
    job = parser.parse(argv)
    settings = job.settings

    import numpy as np
    import torch

    from relatent.cli.sample_gan import filled
    from relatent.data.streams import stream_key
    from relatent.models.dcgan import build_generator
    from relatent.training.runtime import configure_torch
    from relatent.visual.arithmetic import Tried, arithmetic_metrics, figure_images, succeeded, try_class

    determinism = configure_torch(settings.threads)
    channels = read_images(job.inputs["train_images"]).shape[1]
    generator = filled(
        build_generator(settings.net, channels, settings.batch_norm_eps), job.inputs["model"], "generator."
    )
    by_class: list[dict[str, Tried]] = []
    shown: list[dict[str, torch.Tensor]] = []
    smallest = settings.draws
    for label in range(generator.net.classes) or (-1,):
        rng = torch.Generator().manual_seed(stream_key(settings.seed, "latent arithmetic", label) % 2**63)
        try:
            material = material_of(generator, settings, label)
            places = material.concepts.triples(max(settings.exemplars), settings.triples, rng)
        except ValueError as error:
            of_label = "" if label < 0 else f", class {label}"
            raise ConfigError(f"{job.cell}{of_label}: {error}") from None
        smallest = min(smallest, *map(len, material.concepts.places))
        by_class.append(try_class(material, places, settings.exemplars, rng))
        shown.append(figure_images(material, places[:, : settings.pictured, 0], rng, settings.reach))
    found = {name: Tried.joined([tried[name] for tried in by_class]) for name in by_class[0]}
    nearest = nearest_real(job, found)
    metrics = arithmetic_metrics(found, nearest)
    metrics["smallest_concept"] = {"value": smallest, "unit": "count"}
    write_json(job.outputs["metrics"], metrics)

    pictured = f"latent_k{settings.pictured}"
    of_first = succeeded(found[pictured], nearest[pictured])[:: settings.triples]
    labels = found[pictured].label[:: settings.triples]
    with atomic_path(job.outputs["pictures"]) as path:
        arrays: dict[str, Any] = {name: torch.stack([of[name] for of in shown]).numpy() for name in shown[0]}
        np.savez_compressed(path, label=labels.numpy(), succeeded=of_first.numpy(), **arrays)
    job.finish(seeds=[settings.seed], threads=settings.threads, determinism=determinism)


def material_of(generator: "Generator", settings: ArithmeticCell, label: int) -> "Material":
    """z drawn for one class, their images and the concepts among them; label -1 for a net without."""
    import torch

    from relatent.evaluation.gan_samples import generated
    from relatent.training.gan_data import draw_z
    from relatent.visual.arithmetic import Material
    from relatent.visual.concepts import Concepts

    def make(z: torch.Tensor) -> torch.Tensor:
        return generated(generator, z, None if label < 0 else torch.full((len(z),), label))

    z = draw_z(settings.seed, "arithmetic z", settings.draws, generator.net, settings.z_prior, label)
    images = make(z)
    return Material(z, images, Concepts.of(images, settings.share), settings.z_prior, make, label)


def nearest_real(job: Job[ArithmeticCell], found: "Mapping[str, Tried]") -> "dict[str, Nearest]":
    """The nearest training image of every result, by the name of the way it was made."""
    import numpy as np
    import torch

    from relatent.evaluation import nearest_neighbour
    from relatent.visual.arithmetic import Nearest

    images = read_images(job.inputs["train_images"])
    none = np.full(len(images), -1)
    labels = np.load(job.inputs["train_labels"], mmap_mode="r") if "train_labels" in job.inputs else none
    search = nearest_neighbour.Nearest.of(torch.cat([tried.images for tried in found.values()]).numpy())
    for start in range(0, len(images), nearest_neighbour.BLOCK):
        part = slice(start, start + nearest_neighbour.BLOCK)
        search.add(torch.from_numpy(np.array(images[part])), torch.from_numpy(np.array(labels[part])))
    squared = (search.distance + search.tests.square().sum(1)).clamp_min(0)  # the search leaves out its own square
    distance = (squared / search.tests.shape[1]).sqrt()
    sizes = [len(tried.images) for tried in found.values()]
    parts = zip(search.label.split(sizes), distance.split(sizes), strict=True)
    return {name: Nearest(*part) for name, part in zip(found, parts, strict=True)}


if __name__ == "__main__":
    sys.exit(run(main))
