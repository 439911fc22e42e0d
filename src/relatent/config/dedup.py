"""Settings of the dedup phase (Radford et al. 2016, sec. 3.1; what the paper leaves open is named in config/README)."""

from collections import Counter

from pydantic import Field, field_validator, model_validator

from relatent.config.base import Settings


class PlantedSettings(Settings):
    """Near-copies planted to measure recall; each number is one strength of its kind."""

    copies: int = Field(default=500, ge=1, description="images copied, per kind and strength")
    jpeg: list[int] = Field(default=[90, 50], description="JPEG quality, 1 to 95")
    shift: list[int] = Field(default=[1, 2], description="pixels to the side or down; the border is repeated")
    brightness: list[float] = Field(default=[0.9, 1.1], description="factor on every pixel")
    resize: list[float] = Field(default=[0.5, 0.75], description="scaled to this share of the side and back, bicubic")

    @model_validator(mode="after")
    def _strengths_make_sense(self) -> "PlantedSettings":
        for name, low, high in (("jpeg", 1, 95), ("shift", 1, 16), ("brightness", 0.01, 10), ("resize", 0.05, 4)):
            strengths: list[float] = getattr(self, name)
            if len(set(strengths)) < len(strengths):
                raise ValueError(f"{name} lists a strength twice; name each once")
            for strength in strengths:
                if not low <= strength <= high:
                    raise ValueError(f"{name} {strength} is outside {low} to {high}")
        return self

    def strengths(self) -> dict[str, list[float]]:
        """Per kind the strengths to plant."""
        return {"jpeg": [*self.jpeg], "shift": [*self.shift], "brightness": self.brightness, "resize": self.resize}


class DedupSettings(Settings):
    """One cell's settings: autoencoder, codes, clusters, and how they are judged."""

    code_units: int = Field(default=128, ge=1, le=128, description="units of the code, one bit each")
    masking_noise: float = Field(default=0.3, ge=0, lt=1, description="share of input pixels masked while fitting")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="share of code units dropped while fitting")
    learning_rate: float = Field(default=1e-3, gt=0)
    batch_size: int = Field(default=256, ge=1)
    epochs: int = Field(default=10, ge=1)
    threshold: float = Field(default=0.0, ge=0, description="a bit is on when its ReLU unit is above this")
    radius: int = Field(
        default=0, ge=0, le=16, description="codes at most so many bits apart are near-duplicates; 0: equal"
    )
    ablation_radii: list[int] = Field(default=[0, 2, 4, 8], description="radii whose outcome is listed beside it")
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1, description="torch's threads")
    planted: PlantedSettings = PlantedSettings()
    judged_pairs: int = Field(
        default=299, ge=1, description="removed images compared with the one kept, drawn by chance"
    )
    same_correlation: float = Field(
        default=0.95, gt=-1, lt=1, description="pixel correlation from which a pair is one picture"
    )
    same_rms: float = Field(default=0.03, ge=0, lt=1, description="or: root mean square difference up to which it is")
    false_share: float = Field(default=0.01, gt=0, lt=1, description="share of removals that may be chance collisions")

    @field_validator("ablation_radii")
    @classmethod
    def _radii_make_sense(cls, radii: list[int]) -> list[int]:
        if len(set(radii)) < len(radii):
            raise ValueError("lists a radius twice; name each once")
        if any(not 0 <= radius <= 16 for radius in radii):
            raise ValueError("a radius is 0 to 16 bits")
        return radii


class DedupOverride(Settings):
    """What may differ between the datasets of one study."""

    epochs: int | None = Field(default=None, ge=1)
    radius: int | None = Field(default=None, ge=0, le=16)
    threshold: float | None = Field(default=None, ge=0)


class DedupSection(DedupSettings):
    """The dedup section of a study: datasets, the settings they share, and what differs."""

    run: list[str] = Field(default=[], description="datasets to de-duplicate")
    per_dataset: dict[str, DedupOverride] = Field(default={}, description="settings of one dataset that differ")
    verdicts: dict[str, str] = Field(default={}, description="per dataset, a CSV of human verdicts: a,b,same")

    @model_validator(mode="after")
    def _names_make_sense(self) -> "DedupSection":
        twice = [name for name, count in Counter(self.run).items() if count > 1]
        if twice:
            raise ValueError(f"run lists {', '.join(twice)} twice; name each dataset once")
        for key, names in (("per_dataset", self.per_dataset), ("verdicts", self.verdicts)):
            strangers = sorted(set(names) - set(self.run))
            if strangers:
                raise ValueError(f"{key} names {', '.join(strangers)}, which run does not list")
        return self

    def cells(self) -> list[str]:
        """The datasets to de-duplicate."""
        return list(self.run)

    def settings_of(self, cell: str) -> DedupSettings:
        """The resolved settings of one dataset."""
        values = {name: getattr(self, name) for name in DedupSettings.model_fields}
        if cell in self.per_dataset:
            values |= {k: v for k, v in self.per_dataset[cell].model_dump().items() if v is not None}
        return DedupSettings.model_validate(values)
