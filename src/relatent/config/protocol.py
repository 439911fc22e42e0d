"""Settings of the probe's protocols (Radford et al. 2016, sec. 5; the released SVHN script)."""

from typing import Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings


class FewSettings(Settings):
    """The few-label protocol."""

    labels_per_class: int = Field(ge=1)
    draws: int = Field(ge=1, description="draws of labels that are tested")
    choosing_draws: int = Field(default=10, ge=1, description="other draws, which only choose C on validation images")
    seed: int = Field(default=0, ge=0, description="draw i is the stream (seed, 'labelled draw', i)")
    honest_folds: int = Field(
        default=5,
        ge=0,
        description="also choose C by so many folds inside the labels; 0: do not",
    )

    @model_validator(mode="after")
    def _folds_fit(self) -> "FewSettings":
        if self.honest_folds == 1 or self.honest_folds > self.labels_per_class:
            raise ValueError(
                f"honest_folds {self.honest_folds} cannot be dealt out of {self.labels_per_class} labels per class; "
                "0 leaves the honest variant out"
            )
        return self


class ProbeSettings(Settings):
    """What one row's accuracies depend on, features aside."""

    C_values: list[float] = Field(
        default=[1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2], description="the released script's grid"
    )
    validation: Literal["split"] | int = Field(
        default="split", description="the dataset's validation split, or so many images held out of train"
    )
    refit: bool = Field(default=True, description="with all labels: fit train and validation together at the chosen C")
    few: FewSettings | None = Field(default=None, description="absent: accuracy with all labels only")
    all_labels: bool = Field(default=True, description="false: accuracy with few labels only")
    by_layer: bool = Field(default=False, description="also the accuracy of each layer of a discriminator by itself")
    curve: list[int] = Field(default=[], description="also the accuracy at these numbers of labels per class")
    tol: float = Field(default=1e-10, gt=0, lt=1, description="proven relative distance of P to its optimum")
    threads: int = Field(default=1, ge=1, description="of the linear algebra")

    @model_validator(mode="after")
    def _makes_sense(self) -> "ProbeSettings":
        if not self.C_values:
            raise ValueError("C_values is empty; give at least one C")
        if len(set(self.C_values)) < len(self.C_values):
            raise ValueError("C_values lists a C twice; name each once")
        if not all(0 < C < float("inf") for C in self.C_values):
            raise ValueError("every C must be positive and finite")
        if self.validation != "split" and self.validation < 1:
            raise ValueError("validation must be 'split' or a number of images of at least 1")
        if not self.all_labels and self.few is None:
            raise ValueError("nothing to do: all_labels is false and few is absent")
        if self.curve and self.few is None:
            raise ValueError("curve needs few, whose draws and seed it uses")
        if any(count < 1 for count in self.curve) or len(set(self.curve)) < len(self.curve):
            raise ValueError("curve must be numbers of labels per class of at least 1, each once")
        return self


class PictureSettings(Settings):
    """Nearest neighbours of some test images in a row's features, for a figure."""

    shown: int = Field(default=8, ge=1, description="test images shown, drawn by chance")
    neighbours: int = Field(default=5, ge=1, description="nearest training images of each")
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1)


class CompareSettings(Settings):
    """What the comparisons of a target depend on."""

    pairs: list[tuple[str, str]]
    resamples: int = Field(ge=100)
    seed: int = Field(ge=0)
    labels_per_class: int | None
