"""Settings of `evaluate_nll.repeated`: how far the Monte Carlo error of L_k is off, by scoring some images again."""

from pydantic import Field

from relatent.config.base import Settings
from relatent.config.evaluation import Precision


class RepeatedValues(Settings):
    """How many images are scored again."""

    images: int = Field(default=200, ge=2, description="test images, drawn, scored again with other noise")
    seed: int = Field(default=123, ge=0, description="of that noise, a stream of its own, and of the choice of images")
    threads: int = Field(default=1, ge=1, description="images side by side; leaves no trace in the numbers")


class RepeatedCell(RepeatedValues):
    """What the repetition of one cell depends on."""

    seeds: list[int] = Field(min_length=1, description="of the trained models")
    k: int = Field(ge=2, description="samples of the bound; one sample claims no error to compare with")
    precision: Precision = Field(default="float32", description="of the products, as in the evaluation")
