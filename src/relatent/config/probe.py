"""The probe section of a study: which rows, on which targets, by which protocol."""

from collections import Counter

from pydantic import Field, model_validator

from relatent.config.base import Settings
from relatent.config.features import FeatureSettings, Row
from relatent.config.protocol import CompareSettings, ProbeSettings


class TargetSettings(ProbeSettings):
    """A target dataset: its protocol, and the rows to set side by side."""

    compare: list[tuple[str, str]] = Field(default=[], description="pairs of rows: the first less the second")


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
