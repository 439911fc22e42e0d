"""Settings of the features and probe phases (Radford et al. 2016, sec. 5; the released SVHN script)."""

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings


class _Row(Settings):
    @property
    def weights_file(self) -> str | None:
        """The trained weights it needs, below the study's folder."""
        return None


class PixelsRow(_Row):
    """Grey levels in [-1, 1]."""

    kind: Literal["pixels"] = "pixels"


class PcaRow(_Row):
    """Principal components of the pixels."""

    kind: Literal["pca"]
    components: int = Field(ge=1)
    whiten: bool = Field(default=False, description="each component divided by its standard deviation")


class KmeansRow(_Row):
    """One-layer K-means (Coates, Ng, Lee 2011)."""

    kind: Literal["kmeans"]
    centroids: int = Field(ge=2, description="features are 4 times as many; about 18 us per image and centroid")
    patch: int = Field(default=6, ge=2, description="side of a patch in pixels")
    patches: int = Field(default=400_000, ge=100, description="patches the centroids are learned from")
    iterations: int = Field(default=50, ge=1, description="passes of K-means")
    seed: int = Field(default=0, ge=0)


class DiscriminatorRow(_Row):
    """All convolutions of a discriminator, max-pooled to 4 x 4."""

    kind: Literal["discriminator"]
    weights: str = Field(description="a GAN cell such as digits32/svhn32-w16, or 'random' for an untrained net")
    net: str | None = Field(default=None, description="which net, for random weights; a GAN cell names its own")
    statistics: Literal["target", "trained"] = Field(
        default="target",
        description="batch norm by the target's training images, or as it was left by the training",
    )
    batch_size: int = Field(default=128, ge=2, description="images per minibatch of the statistics")
    batch_norm_eps: float = Field(default=1e-5, gt=0, description="added to a variance")
    seed: int = Field(default=0, ge=0, description="random weights are those a training with this seed starts from")

    @model_validator(mode="after")
    def _weights_and_net_agree(self) -> "DiscriminatorRow":
        if self.weights == "random":
            if self.net is None:
                raise ValueError("random weights need the name of a net, such as net: svhn32-w16")
            if self.statistics == "trained":
                raise ValueError("an untrained net has no trained statistics; leave statistics at target")
        elif self.net is not None:
            raise ValueError(f"{self.weights} names its net; leave net out")
        elif self.weights.count("/") != 1:
            raise ValueError(f"weights {self.weights!r} is neither random nor a GAN cell <dataset>/<net>")
        return self

    @property
    def net_name(self) -> str:
        """Name of the net."""
        return self.net or self.weights.partition("/")[2]

    @property
    def weights_file(self) -> str | None:
        """The GAN cell's weights."""
        return None if self.weights == "random" else f"train_gan/{self.weights}/model.safetensors"


class AutoencoderRow(_Row):
    """The 128-unit ReLU code of the de-duplication autoencoder."""

    kind: Literal["autoencoder"]
    weights: str = Field(description="a dedup cell, such as digits32")

    @property
    def weights_file(self) -> str | None:
        """The dedup cell's weights."""
        return f"dedup/{self.weights}/autoencoder.safetensors"


Row = Annotated[PixelsRow | PcaRow | KmeansRow | DiscriminatorRow | AutoencoderRow, Field(discriminator="kind")]


class FeatureSettings(Settings):
    """What one row's features depend on."""

    row: Row
    threads: int = Field(ge=1)


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
        return self


class TargetSettings(ProbeSettings):
    """A target dataset: its protocol, and the rows to set side by side."""

    compare: list[tuple[str, str]] = Field(default=[], description="pairs of rows: the first less the second")


class CompareSettings(Settings):
    """What the comparisons of a target depend on."""

    pairs: list[tuple[str, str]]
    resamples: int = Field(ge=100)
    seed: int = Field(ge=0)
    labels_per_class: int | None


class ProbeSection(Settings):
    """The probe section of a study."""

    run: list[str] = Field(default=[], description="cells <target>/<row>")
    targets: dict[str, TargetSettings] = Field(default={}, description="protocol of each target dataset")
    rows: dict[str, Row] = Field(default={}, description="how each row's features are made")
    resamples: int = Field(default=5000, ge=100, description="bootstrap samples of a comparison")
    seed: int = Field(default=0, ge=0, description="of the bootstrap")
    threads: int = Field(default=1, ge=1, description="of making features")

    @model_validator(mode="before")
    @classmethod
    def _pairs_are_lists_in_yaml(cls, values: object) -> object:
        if not isinstance(values, dict) or not isinstance(values.get("targets"), dict):
            return values
        targets = {}
        for name, target in values["targets"].items():
            if isinstance(target, dict) and isinstance(target.get("compare"), list):
                pairs = [tuple(pair) if isinstance(pair, list) else pair for pair in target["compare"]]
                target = {**target, "compare": pairs}
            targets[name] = target
        return {**values, "targets": targets}

    @model_validator(mode="after")
    def _names_make_sense(self) -> "ProbeSection":
        for cell, count in Counter(self.run).items():
            target, slash, row = cell.partition("/")
            if count > 1:
                raise ValueError(f"run lists {cell} twice; name each once")
            if not (target and slash and row) or "/" in row:
                raise ValueError(f"{cell!r} is no cell; write <target>/<row>, such as digits32/pixels")
            if target not in self.targets:
                raise ValueError(f"{cell}: no target {target!r}; targets has {', '.join(self.targets) or 'none'}")
            if row not in self.rows:
                raise ValueError(f"{cell}: no row {row!r}; rows has {', '.join(self.rows) or 'none'}")
            if row == "comparisons":
                raise ValueError("a row cannot be called comparisons, which is the folder of the comparisons")
        for name, target_settings in self.targets.items():
            for row in {row for pair in target_settings.compare for row in pair}:
                if f"{name}/{row}" not in self.run:
                    raise ValueError(f"targets.{name}.compare names {row}, but run has no {name}/{row}")
        return self

    def cells(self) -> list[str]:
        """Cells <target>/<row>, as written."""
        return list(self.run)

    def feature_settings_of(self, cell: str) -> FeatureSettings:
        """Settings of one cell's features."""
        return FeatureSettings(row=self.rows[cell.partition("/")[2]], threads=self.threads)

    def settings_of(self, cell: str) -> ProbeSettings:
        """Settings of one cell's probe."""
        target = self.targets[cell.partition("/")[0]]
        return ProbeSettings(**{name: getattr(target, name) for name in ProbeSettings.model_fields})

    def compared(self) -> list[str]:
        """Targets that have rows to compare."""
        return [name for name, target in self.targets.items() if target.compare]

    def compare_settings_of(self, target: str) -> CompareSettings:
        """Settings of one target's comparisons."""
        settings = self.targets[target]
        return CompareSettings(
            pairs=settings.compare,
            resamples=self.resamples,
            seed=self.seed,
            labels_per_class=settings.few.labels_per_class if settings.few else None,
        )
