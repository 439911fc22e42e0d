"""Settings of `evaluate_nll.removed`: what L_k is without the inactive units, measured on some of the test images."""

from pydantic import Field

from relatent.config.base import Settings
from relatent.config.evaluation import Precision


class RemovedValues(Settings):
    """How many images are scored again."""

    images: int | None = Field(default=1000, ge=2, description="test images, drawn; null: all (released code)")
    threads: int = Field(default=1, ge=1, description="images side by side; leaves no trace in the numbers")


class RemovedCell(RemovedValues):
    """What the removal of one cell's units depends on."""

    seeds: list[int] = Field(min_length=1, description="of the trained models")
    k: int = Field(ge=1, description="samples of the bound")
    seed: int = Field(ge=0, description="of the noise, the evaluation's own, and of the choice of images")
    precision: Precision = Field(default="float32", description="of the products, as in the evaluation")
