"""Settings of the dear and the semi-supervised rows: learned features, rival classifiers, nets trained end to end."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings
from relatent.config.features import _Row
from relatent.config.protocol import FewSettings


class DbnRow(_Row):
    """Restricted Boltzmann machines, greedily stacked; one layer is an RBM. Grey images: pixels are probabilities."""

    kind: Literal["dbn"]
    layers: list[int] = Field(min_length=1, description="hidden units of each layer")
    epochs: int = Field(default=10, ge=1, description="a pass: 1 ms per 1,000 images, unit of 500 and pixel of 1,000")
    learning_rate: float = Field(default=0.05, gt=0)
    batch_size: int = Field(default=10, ge=1)
    seed: int = Field(default=0, ge=0)


class M1Row(_Row):
    """Means of a VAE's code (Kingma, Mohamed, Rezende, Welling 2014, model M1): 2 x 600 softplus units, 50 latents.

    Inputs are principal components, Gaussian. About 25 core-seconds a pass on 63,000 colour images; with k > 1 it is an
    IWAE (Burda et al. 2016), at nearly k / 2 times the price.
    """

    kind: Literal["m1"]
    components: int = Field(default=256, ge=1, description="principal components it sees")
    hidden: int = Field(default=600, ge=1)
    latents: int = Field(default=50, ge=1)
    k: int = Field(default=1, ge=1, description="draws per image: 1 is the VAE, more the IWAE's bound")
    epochs: int = Field(default=100, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    batch_size: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)


class ExemplarRow(_Row):
    """Exemplar CNN, reduced (Dosovitskiy et al. 2014): every seed image and its distortions are a class of their own.

    The published one has 8,000 or more classes and GPU-days; this one is a sanity row: 200 x 100 images of 32 x 32 at
    width 16 take about ten core-minutes.
    """

    kind: Literal["exemplar"]
    exemplars: int = Field(default=200, ge=2, description="surrogate classes")
    width: int = Field(default=16, ge=1, description="maps of the first layer; then 2 and 4 times as many")
    steps: int = Field(default=600, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = Field(default=0, ge=0)


class ReceptiveLayer(Settings):
    """A layer of learned receptive fields: its maps are fields x centroids."""

    pool: int = Field(ge=1, description="side of the average pooling of the maps below")
    window: int = Field(default=2, ge=1, description="side of a window, in pooled positions")
    fields: int = Field(default=32, ge=1, description="receptive fields")
    size: int = Field(default=200, ge=1, description="members of a field: a seed and those most similar to it")
    centroids: int = Field(default=100, ge=2, description="of each field")


class KmeansLayersRow(_Row):
    """K-means in layers with learned receptive fields (Coates, Ng 2011), approximate.

    The sizes are the paper's as far as they are known; pooling, samples and contrast are ours. At the default sizes one
    core takes 22 ms an image, 2.5 times a kmeans row of as many centroids, so 25 minutes for 60,000 images, and 20 to
    learn. Features are 4 times all layers' maps, 7.7 GB for 60,000 images; their probe wants three times that memory.
    """

    kind: Literal["kmeans-layers"]
    centroids: int = Field(default=1600, ge=2, description="of the first layer, which is a kmeans row's")
    patch: int = Field(default=6, ge=2, description="side of a patch in pixels")
    patches: int = Field(default=400_000, ge=100, description="patches the first layer is learned from")
    iterations: int = Field(default=50, ge=1, description="passes of K-means, in every layer")
    layers: list[ReceptiveLayer] = Field(
        default=[ReceptiveLayer(pool=3), ReceptiveLayer(pool=2)], min_length=1, description="those above the first"
    )
    members: Literal["responses", "maps"] = Field(
        default="responses", description="a field's: single responses of a window, or maps at all its positions"
    )
    images: int = Field(default=10_000, ge=1, description="images the later layers are learned from")
    windows: int = Field(default=40_000, ge=100, description="windows of them; memory is 4 bytes a window and response")
    contrast: float = Field(default=0.1, gt=0, description="added to a window's variance, as a share of the mean one")
    floor: float = Field(default=0.1, gt=0, description="added to the eigenvalues of a field before whitening")
    joined: bool = Field(default=True, description="features are all layers' codes; otherwise the last layer's")
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _enough_of_everything(self) -> "KmeansLayersRow":
        if self.patches < self.centroids:
            raise ValueError(f"{self.centroids} centroids need as many patches; patches is {self.patches}")
        below = self.centroids
        for number, layer in enumerate(self.layers, start=2):
            there = below * (layer.window**2 if self.members == "responses" else 1)
            if max(layer.fields, layer.size) > there:
                raise ValueError(
                    f"layer {number}: {layer.fields} fields of {layer.size} are asked of {there} {self.members}"
                )
            if layer.centroids > self.windows:
                raise ValueError(f"layer {number}: {layer.centroids} centroids of {self.windows} windows")
            below = layer.fields * layer.centroids
        return self


LearnedRow = Annotated[DbnRow | M1Row | ExemplarRow | KmeansLayersRow, Field(discriminator="kind")]


class KnnRow(Settings):
    """Nearest labelled neighbours in the features of another row."""

    kind: Literal["knn"]
    features: str = Field(description="the row whose features are used")
    neighbours: list[int] = Field(default=[1, 3, 5, 9], min_length=1, description="tried; chosen as C is")


class TsvmRow(Settings):
    """A linear transductive L2-SVM with its balance constraint, in the features of another row.

    Minutes on 63,000 unlabelled images of some hundred features; much more on raw pixels.
    """

    kind: Literal["tsvm"]
    features: str = Field(description="the row whose features are used")
    C_values: list[float] = Field(default=[1e-3, 1e-2, 1e-1], min_length=1)
    unlabelled: int = Field(default=10_000, ge=0, description="unlabelled training images used, at most")
    unlabelled_weights: list[float] = Field(
        default=[0.01, 0.1, 1.0], min_length=1, description="all unlabelled images against all labelled, rising"
    )


class _DearRow(Settings):
    """A rival so dear that it takes part in fewer draws than the rest: the first ones."""

    draws: int = Field(default=5, ge=1, description="draws tested, at most those of the target")
    choosing_draws: int = Field(default=1, ge=1, description="draws that only choose its setting, likewise")


class M2Row(_DearRow):
    """M1 + M2 (Kingma et al. 2014): a semi-supervised VAE on the codes of an M1 row, classes summed out.

    Ten core-minutes a draw on 63,000 codes.
    """

    kind: Literal["m2"]
    features: str = Field(description="an m1 row")
    hidden: int = Field(default=500, ge=1)
    latents: int = Field(default=50, ge=1)
    epochs: int = Field(default=50, ge=1)
    alpha: list[float] = Field(default=[0.1], min_length=1, description="weight of the classifier, times N over labels")
    learning_rate: float = Field(default=3e-4, gt=0)
    batch_size: int = Field(default=200, ge=10)
    seed: int = Field(default=0, ge=0)


class SwwaeRow(_DearRow):
    """Stacked what-where autoencoder (Zhao et al. 2015): an L2 decoder that unpools where the encoder pooled."""

    kind: Literal["swwae"]
    width: int = Field(default=32, ge=1, description="maps of the first layer; 9 core-minutes a pass on 63,000 at 64")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="before the classifier; the table's two rows")
    reconstruction: list[float] = Field(default=[1.0], min_length=1, description="weights of the decoder's loss, tried")
    epochs: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    batch_size: int = Field(default=64, ge=2)
    seed: int = Field(default=0, ge=0)


class SupervisedRow(_DearRow):
    """The discriminator's architecture trained on the labels alone, best of a random search on validation images."""

    kind: Literal["supervised"]
    net: str = Field(description="such as svhn32-w16")
    trials: int = Field(default=64, ge=1, description="of the search; Radford et al. 2016: 64")
    epochs: int = Field(default=30, ge=1, description="per trial; 1,000 images at width 16 take 0.6 core-seconds each")
    batch_size: int = Field(default=50, ge=2)
    seed: int = Field(default=0, ge=0)


FeatureRival = KnnRow | TsvmRow | M2Row
NetRival = SwwaeRow | SupervisedRow
RivalRow = Annotated[FeatureRival | NetRival, Field(discriminator="kind")]


class LearnSettings(Settings):
    """What one row's learned features depend on."""

    row: LearnedRow
    threads: int = Field(ge=1)


class RivalSettings(Settings):
    """What one rival's accuracy depends on."""

    row: RivalRow
    validation: Literal["split"] | int
    few: FewSettings
    threads: int = Field(ge=1)

    @model_validator(mode="after")
    def _makes_sense(self) -> "RivalSettings":
        if self.validation != "split" and self.validation < 1:
            raise ValueError("validation must be 'split' or a number of images of at least 1")
        return self
