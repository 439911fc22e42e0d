"""Settings of experiments on trained GANs: arithmetic on z, and what a discriminator's features look at.

They stand beside `sample` in a study and write into its folder.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings
from relatent.config.gan import CONDITIONAL_NETS, NET_NAMES, GanSection

# Light strokes on black, whose weight and slant can be measured. Fashion-MNIST is grey too, and has no strokes.
STROKE_DATASETS = ("mnist", "binarized_mnist", "digits", "digits32", "omniglot", "omniglot_rebuilt")


def _gan_cells(key: str, cells: Sequence[str]) -> None:
    twice = [cell for cell, count in Counter(cells).items() if count > 1]
    if twice:
        raise ValueError(f"{key} lists {', '.join(twice)} twice; name each cell once")
    for cell in cells:
        if cell.count("/") != 1 or not cell.partition("/")[2].startswith(NET_NAMES):
            raise ValueError(f"{cell}: {key} wants gan cells, <dataset>/<net>, such as mnist/mnist_conditional-w16")


class ArithmeticValues(Settings):
    """How arithmetic on z is tried and judged."""

    draws: int = Field(default=5000, ge=100, description="z drawn per class label, among which exemplars are found")
    share: float = Field(default=0.2, gt=0, le=0.5, description="of a class's images in an outer part of an attribute")
    exemplars: list[int] = Field(default=[1, 2, 3, 5, 10], description="k: exemplars averaged per concept")
    triples: int = Field(default=20, ge=2, description="random triples of exemplar sets per class label")
    pictured: int = Field(default=3, ge=1, description="k of the figure; one of `exemplars`")
    reach: float = Field(default=0.25, ge=0, description="uniform noise of the figure's eight neighbours")
    seed: int = Field(default=0, ge=0, description="keys z, the triples and the random steps")
    threads: int = Field(default=1, ge=1, description="torch's threads")

    @model_validator(mode="after")
    def _numbers_of_exemplars_make_sense(self) -> "ArithmeticValues":
        if not self.exemplars or min(self.exemplars) < 1 or len(set(self.exemplars)) < len(self.exemplars):
            raise ValueError("exemplars must hold different numbers, 1 at least")
        if self.pictured not in self.exemplars:
            raise ValueError(f"pictured is {self.pictured}, which is not among exemplars; add it there")
        return self


class ArithmeticCell(ArithmeticValues):
    """One cell's settings, with what its net must be told to be built again."""

    net: str
    z_prior: Literal["uniform", "normal"]
    batch_norm_eps: float


class ArithmeticSection(ArithmeticValues):
    """`visual.arithmetic` of a study."""

    run: list[str] = Field(default=[], description="gan cells of a dataset of strokes whose z are added up")

    @model_validator(mode="after")
    def _cells_make_sense(self) -> "ArithmeticSection":
        _gan_cells("run", self.run)
        for cell in self.run:
            if cell.partition("/")[0] not in STROKE_DATASETS:
                raise ValueError(
                    f"{cell}: arithmetic is judged by the weight and slant of strokes, which images of "
                    f"{cell.partition('/')[0]} are not known to have; take a cell of {', '.join(STROKE_DATASETS)}, or "
                    "add a dataset of light strokes on black to STROKE_DATASETS in src/relatent/config/visual.py"
                )
        return self


class GuidedValues(Settings):
    """How it is found what the features of a discriminator's last convolution look at."""

    images: int = Field(default=10_000, ge=2, description="drawn among those it was trained on")
    strongest: int = Field(default=8, ge=1, description="images that excite a feature most, of each feature")
    features: int = Field(default=64, ge=6, description="the first so many features are measured; the figure shows six")
    batch_size: int = Field(default=128, ge=2, description="images per minibatch of batch norm's statistics")
    threads: int = Field(default=1, ge=1, description="torch's threads")


class GuidedCell(GuidedValues):
    """One cell's settings, with what its net must be told to be built again and which images it was trained on."""

    net: str
    seed: int = Field(description="of the training: the never-trained net is the one it began with; and of the images")
    validation: int
    batch_norm_eps: float


class GuidedSection(GuidedValues):
    """`visual.guided` of a study."""

    run: list[str] = Field(default=[], description="gan cells whose discriminator's features are looked into")

    @model_validator(mode="after")
    def _cells_make_sense(self) -> "GuidedSection":
        _gan_cells("run", self.run)
        for cell in self.run:
            if cell.partition("/")[2].startswith(CONDITIONAL_NETS):
                raise ValueError(
                    f"{cell}: a conditional discriminator sees the label in every layer, so a feature has no image of "
                    "its own that excites it most; take a cell of another net"
                )
        return self


class VisualSection(Settings):
    """Section `visual` of a study: experiments on trained GANs, each on the cells it lists."""

    arithmetic: ArithmeticSection = ArithmeticSection()
    guided: GuidedSection = GuidedSection()

    def cells(self) -> dict[str, list[str]]:
        """The cells of each experiment, by its name."""
        return {"arithmetic": list(self.arithmetic.run), "guided": list(self.guided.run)}


def arithmetic_cell(visual: VisualSection, gan: GanSection, cell: str) -> ArithmeticCell:
    """The resolved settings of one cell of `visual.arithmetic`."""
    trained = gan.settings_of(cell)
    return ArithmeticCell(
        **visual.arithmetic.model_dump(exclude={"run"}),
        net=trained.net,
        z_prior=trained.z_prior,
        batch_norm_eps=trained.batch_norm_eps,
    )


def guided_cell(visual: VisualSection, gan: GanSection, cell: str) -> GuidedCell:
    """The resolved settings of one cell of `visual.guided`."""
    trained = gan.settings_of(cell)
    return GuidedCell(
        **visual.guided.model_dump(exclude={"run"}),
        net=trained.net,
        seed=trained.seed,
        validation=trained.validation,
        batch_norm_eps=trained.batch_norm_eps,
    )
