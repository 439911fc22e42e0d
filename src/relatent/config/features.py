"""Settings of a row's features (Radford et al. 2016, sec. 5.1; Coates, Ng, Lee 2011)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings


class _Row(Settings):
    @property
    def weights_file(self) -> str | None:
        """The trained weights it needs, below the study's folder."""
        return None

    @property
    def draws(self) -> bool:
        """Whether chance has a part in it."""
        return False


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

    @property
    def draws(self) -> bool:
        """Chance chooses the patches and the first centroids."""
        return True


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

    @property
    def draws(self) -> bool:
        """Chance draws random weights."""
        return self.weights == "random"


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
