"""What effort `paper` means, so that a study's numbers may stand beside the papers' (DESIGN 4.8).

What a paper does not say is taken from its released code. Refused is less than theirs, and what is measured otherwise.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relatent.config.density import DensitySection
from relatent.config.evaluation_section import EvaluationSection
from relatent.config.gan import GanSection, parse_cell
from relatent.config.probe import ProbeSection

IWAE = "Burda et al. 2016, sec. 5"
DCGAN = "Radford et al. 2016, sec. 4"


@dataclass(frozen=True)
class PaperRun:
    """How long one net of the DCGAN paper is trained and how; where two sources differ, either will do."""

    epochs: int
    source: str
    decay_epochs: int = 0
    batch_sizes: tuple[int, ...] = (128,)
    learning_rates: tuple[float, ...] = (2e-4,)


WEIGHTS = "name of the released weights"
PAPER_RUNS = {
    "lsun64": PaperRun(5, "Radford et al. 2016, fig. 3"),
    "imagenet32": PaperRun(30, WEIGHTS),
    "svhn32": PaperRun(200, WEIGHTS, batch_sizes=(128, 64), learning_rates=(2e-4, 5e-4)),
    "mnist_conditional": PaperRun(100, "released script", decay_epochs=100),
}
HELD_OUT = 10_000  # images of MNIST and of SVHN (Radford et al. 2016, sec. 5.2 and supplement)
LABELS_PER_CLASS = {"cifar10": 400, "svhn": 100}  # Radford et al. 2016, tables 1 and 2
ACTIVITY_IMAGES = 500  # of the released code; the paper's variance is over all x


def less_than_the_papers(
    density: DensitySection, evaluation: EvaluationSection, gan: GanSection, probe: ProbeSection
) -> Iterator[str]:
    """What in a study's sections is not the papers' effort, one line for each wrong key, with what to do."""
    if density.run or density.adopted:
        yield from _of_density(density, evaluation)
    for cell in (*gan.run, *gan.adopted):
        yield from _of_gan(gan, cell)
    for target, protocol in probe.targets.items():
        theirs = LABELS_PER_CLASS.get(target)
        if theirs and protocol.few and protocol.few.labels_per_class != theirs:
            key = f"probe.targets.{target}.few.labels_per_class"
            yield _line(key, protocol.few.labels_per_class, theirs, "Radford et al. 2016, tables 1 and 2")


def _of_density(density: DensitySection, evaluation: EvaluationSection) -> Iterator[str]:
    if density.epochs is not None:
        yield _line("density.epochs", density.epochs, "8 stages", IWAE, "remove it, write `stages: 8`")
    for key, ours, theirs in (
        ("density.stages", density.stages or 8, 8),
        ("density.batch_size", density.batch_size, 20),
        ("evaluate_nll.k", evaluation.k, 5000),
        ("evaluate_nll.test_images", evaluation.test_images, None),
        ("evaluate_nll.precision", evaluation.precision, "float32"),
    ):
        if ours != theirs:
            yield _line(key, ours, theirs, IWAE)
    images = evaluation.activity_images
    if images is not None and images < ACTIVITY_IMAGES:
        remedy = f"write null, or {ACTIVITY_IMAGES} or more, as its released code has"
        yield _line("evaluate_nll.activity_images", images, None, IWAE + ".2", remedy)
    # Of some images, these two would be set beside what was measured on all; left out, they print nothing.
    if evaluation.removed.run and evaluation.removed.images is not None:
        remedy = "write null, or leave `removed` out"
        yield _line("evaluate_nll.removed.images", evaluation.removed.images, None, IWAE + ".2", remedy)
    if evaluation.train_images and not _taken_to_all(density, evaluation):
        remedy = "write null, or 0 to leave it out, or `train_minus_test: {run: all}`, which takes it to all images"
        yield _line("evaluate_nll.train_images", evaluation.train_images, None, IWAE, remedy)


def _taken_to_all(density: DensitySection, evaluation: EvaluationSection) -> bool:
    """Whether the L_k of every cell's training images is taken from those scored to all (`train_minus_test`)."""
    covered = evaluation.train_minus_test.run
    return covered == "all" or {*density.run, *density.adopted} <= set(covered)


def _of_gan(gan: GanSection, cell: str) -> Iterator[str]:
    settings, (net, marks) = gan.settings_of(cell), parse_cell(cell)
    base, *suffixes = net.split("-")
    theirs = PAPER_RUNS[base]
    narrowed = [name for name in suffixes if name[1:].isdigit()] + [name for name in marks if name == "bf16"]
    for name in narrowed:
        yield f"gan: {cell}: effort `paper` means the paper's net in fp32; leave `-{name}` away, or `effort: short`"
    override = gan.per_cell.get(cell)

    def line(key: str, paper: Any, source: str) -> str:
        overridden = override is not None and getattr(override, key, None) is not None
        place = f"gan.per_cell.{cell}.{key}" if overridden else f"gan.{key} of {cell}"
        return _line(place, getattr(settings, key), paper, source)

    if settings.epochs < theirs.epochs:
        yield line("epochs", theirs.epochs, theirs.source)
    if settings.decay_epochs < theirs.decay_epochs:
        yield line("decay_epochs", theirs.decay_epochs, theirs.source)
    if settings.batch_size not in theirs.batch_sizes:
        yield line("batch_size", theirs.batch_sizes[0], DCGAN)
    if settings.learning_rate not in theirs.learning_rates:
        yield line("learning_rate", theirs.learning_rates[0], DCGAN)
    if settings.beta1 != 0.5:
        yield line("beta1", 0.5, DCGAN)
    if settings.validation > HELD_OUT:
        yield line("validation", HELD_OUT, "Radford et al. 2016, sec. 5.2")
    if settings.precision != "fp32" and "bf16" not in marks:
        yield line("precision", "fp32", "Radford et al. 2016 name no other")


def _line(key: str, ours: Any, theirs: Any, source: str, remedy: str = "") -> str:
    """Values as YAML has them."""
    ours, theirs = (value if isinstance(value, str) else json.dumps(value) for value in (ours, theirs))
    return (
        f"{key} is {ours}: effort `paper` means the paper's {theirs} ({source}); {remedy or f'write {theirs}'}, "
        "or `effort: short`"
    )
