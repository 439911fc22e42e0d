"""Settings of `exact_likelihood`: models whose log p(x) is known, set beside their own importance-sampled bounds."""

from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings

ExactName = Literal["mixture", "bernoulli", "linear-gaussian"]


class MixtureSettings(Settings):
    """Gaussians with a uniform prior, on the leading principal components of the grey images; proposal: the prior."""

    components: int = Field(default=3, ge=1, le=100)
    dimensions: int = Field(
        default=2, ge=1, description="principal components of the training images that are modelled"
    )
    iterations: int = Field(default=200, ge=1, description="of EM, which never lowers the exact likelihood")


class BernoulliSettings(Settings):
    """A vector of binary latents with a learned prior and a tanh decoder; proposal: a factorised encoder."""

    latents: int = Field(default=10, ge=1, le=16, description="binary latents; the sum runs over 2^latents states")
    hidden: int = Field(default=50, ge=1, description="units of the decoder's and of the encoder's hidden layer")
    epochs: int = Field(
        default=40, ge=1, description="passes of exact maximum likelihood, images binarised afresh in each"
    )
    encoder_epochs: int = Field(default=20, ge=1, description="passes of fitting the encoder to the exact posterior")
    batch_size: int = Field(default=50, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)


class LinearGaussianSettings(Settings):
    """Probabilistic PCA of the grey images; proposal: the posterior, with its covariance blown up."""

    latents: int = Field(default=10, ge=1)
    overdispersion: float = Field(
        default=1.5, gt=0.5, description="variance of the proposal over that of the posterior"
    )


class ExactValues(Settings):
    """How bounds are compared with exact values."""

    ks: list[int] = Field(
        default=[1, 5, 50, 500, 5000], min_length=1, description="samples per image of the bounds L_k"
    )
    draws: int = Field(
        default=20_000, ge=1, description="samples per image in all; L_k is averaged over draws/k runs of k"
    )
    test_images: int | None = Field(default=None, ge=1, description="the first so many test images; null: all")
    seed: int = Field(default=0, ge=0, description="of training and of the draws")

    @model_validator(mode="after")
    def _ks_fit(self) -> "ExactValues":
        if min(self.ks) < 1:
            raise ValueError(f"ks holds {min(self.ks)}; a bound needs at least one sample per image")
        if len(set(self.ks)) < len(self.ks):
            raise ValueError("ks lists a number twice; name each once")
        if max(self.ks) > self.draws:
            raise ValueError(f"ks holds {max(self.ks)}, more than the {self.draws} draws; raise draws")
        return self


class ExactCell(ExactValues):
    """What one exact model's job depends on: its own settings and no other model's."""

    model: ExactName
    mixture: MixtureSettings | None = None
    bernoulli: BernoulliSettings | None = None
    linear_gaussian: LinearGaussianSettings | None = None

    @model_validator(mode="after")
    def _settings_of_the_model(self) -> "ExactCell":
        given = [name for name in ("mixture", "bernoulli", "linear_gaussian") if getattr(self, name) is not None]
        if given != [self.model.replace("-", "_")]:
            raise ValueError(f"model {self.model} needs its own settings and no others, not {given}")
        return self


class ExactSection(ExactValues):
    """Section `exact` of a study."""

    run: list[ExactName] = Field(default=[], description="the models of the table")
    dataset: str = Field(default="digits", description="prepared dataset the models are fitted to")
    mixture: MixtureSettings = MixtureSettings()
    bernoulli: BernoulliSettings = BernoulliSettings()
    linear_gaussian: LinearGaussianSettings = LinearGaussianSettings()

    @model_validator(mode="after")
    def _models_once(self) -> "ExactSection":
        twice = sorted(name for name, count in Counter(self.run).items() if count > 1)
        if twice:
            raise ValueError(f"run lists {twice[0]} twice; name each model once")
        return self

    def cells(self) -> list[str]:
        """Names of the models that are run."""
        return list(self.run)

    def settings_of(self, cell: str) -> ExactCell:
        """The settings of one model's job."""
        if cell not in self.run:
            raise ValueError(f"{cell} is not among exact.run")
        field = cell.replace("-", "_")
        shared = self.model_dump(include=set(ExactValues.model_fields))
        return ExactCell(model=cell, **shared, **{field: getattr(self, field)})
