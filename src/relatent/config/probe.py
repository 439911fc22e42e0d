"""The probe section of a study: which rows, on which targets, by which protocol."""

from collections import Counter
from typing import Annotated

from pydantic import Field, model_validator

from relatent.config.base import Settings
from relatent.config.features import (
    AutoencoderRow,
    DiscriminatorRow,
    FeatureSettings,
    KmeansRow,
    PcaRow,
    PixelsRow,
)
from relatent.config.protocol import CompareSettings, PictureSettings, ProbeSettings
from relatent.config.rivals import (
    DbnRow,
    ExemplarRow,
    FeatureRival,
    KmeansLayersRow,
    KnnRow,
    LearnSettings,
    M1Row,
    M2Row,
    NetRival,
    RivalSettings,
    SupervisedRow,
    SwwaeRow,
    TsvmRow,
)

FEATURE_KINDS = (PixelsRow, PcaRow, KmeansRow, DiscriminatorRow, AutoencoderRow)
LEARNED_KINDS = (DbnRow, M1Row, ExemplarRow, KmeansLayersRow)
AnyRow = Annotated[
    PixelsRow
    | PcaRow
    | KmeansRow
    | DiscriminatorRow
    | AutoencoderRow
    | DbnRow
    | M1Row
    | ExemplarRow
    | KmeansLayersRow
    | KnnRow
    | TsvmRow
    | M2Row
    | SwwaeRow
    | SupervisedRow,
    Field(discriminator="kind"),
]


class TargetSettings(ProbeSettings):
    """A target dataset: its protocol, and the rows to set side by side."""

    compare: list[tuple[str, str]] = Field(default=[], description="pairs of rows: the first less the second")


class ProbeSection(Settings):
    """The probe section of a study."""

    run: list[str] = Field(default=[], description="cells <target>/<row>")
    targets: dict[str, TargetSettings] = Field(default={}, description="protocol of each target dataset")
    rows: dict[str, AnyRow] = Field(default={}, description="how each row's features are made")
    pictures: list[str] = Field(default=[], description="cells whose nearest neighbours are kept for a figure")
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
            self._check_rival(cell, target, row)
        probed = [f"{target}/{row}" for target, row in self.probed()]
        for cell in self.pictures:
            if cell not in probed or self.pictures.count(cell) > 1:
                raise ValueError(f"pictures: {cell} must be a cell of run that has features, named once")
        for name, target_settings in self.targets.items():
            for row in {row for pair in target_settings.compare for row in pair}:
                if f"{name}/{row}" not in self.run:
                    raise ValueError(f"targets.{name}.compare names {row}, but run has no {name}/{row}")
        return self

    def _check_rival(self, cell: str, target: str, row: str) -> None:
        """A rival uses the few-label protocol, and those on features the features of a row that has some."""
        rival = self.rows[row]
        if isinstance(rival, (*FEATURE_KINDS, *LEARNED_KINDS)):
            return
        if self.targets[target].few is None:
            raise ValueError(f"{cell}: {rival.kind} uses few labels, and targets.{target} has no few")
        if isinstance(rival, FeatureRival):
            of = self.rows.get(rival.features)
            if not isinstance(of, (*FEATURE_KINDS, *LEARNED_KINDS)):
                raise ValueError(f"{cell}: its features {rival.features!r} are no row that makes features")
            if isinstance(rival, M2Row) and not isinstance(of, M1Row):
                raise ValueError(f"{cell}: m2 works on the codes of an m1 row, {rival.features} is {of.kind}")

    def cells(self) -> list[str]:
        """Cells <target>/<row>, as written."""
        return list(self.run)

    def probed(self) -> list[tuple[str, str]]:
        """(target, row) of the cells that the L2-SVM judges."""
        return [pair for pair in self._pairs() if isinstance(self.rows[pair[1]], (*FEATURE_KINDS, *LEARNED_KINDS))]

    def rivals(self) -> list[tuple[str, str]]:
        """(target, row) of the cells of other classifiers."""
        return [pair for pair in self._pairs() if isinstance(self.rows[pair[1]], (FeatureRival, NetRival))]

    def features(self, learned: bool) -> list[tuple[str, str]]:
        """(target, row) of the features to make, plain or learned, those that only a rival uses among them."""
        kinds = LEARNED_KINDS if learned else FEATURE_KINDS
        needed = [(target, self.features_row(row)) for target, row in self._pairs()]
        return [(target, row) for target, row in dict.fromkeys(needed) if row and isinstance(self.rows[row], kinds)]

    def features_row(self, row: str) -> str:
        """The row whose features a row is judged on: itself, another, or "" for a net that sees images."""
        settings = self.rows[row]
        if isinstance(settings, FeatureRival):
            return settings.features
        return "" if isinstance(settings, NetRival) else row

    def _pairs(self) -> list[tuple[str, str]]:
        return [(cell.partition("/")[0], cell.partition("/")[2]) for cell in self.run]

    def feature_settings_of(self, cell: str) -> FeatureSettings | LearnSettings:
        """Settings of one cell's features."""
        row = self.rows[cell.partition("/")[2]]
        if isinstance(row, LEARNED_KINDS):
            return LearnSettings(row=row, threads=self.threads)
        assert isinstance(row, FEATURE_KINDS)
        return FeatureSettings(row=row, threads=self.threads)

    def rival_settings_of(self, cell: str) -> RivalSettings:
        """Settings of one rival."""
        target, _, name = cell.partition("/")
        row, protocol = self.rows[name], self.targets[target]
        assert isinstance(row, (FeatureRival, NetRival)) and protocol.few is not None
        few = protocol.few
        if isinstance(row, (M2Row, NetRival)):
            draws, choosing = min(few.draws, row.draws), min(few.choosing_draws, row.choosing_draws)
            few = few.model_copy(update={"draws": draws, "choosing_draws": choosing})
        return RivalSettings(row=row, validation=protocol.validation, few=few, threads=self.threads)

    def settings_of(self, cell: str) -> ProbeSettings:
        """Settings of one cell's probe."""
        target = self.targets[cell.partition("/")[0]]
        return ProbeSettings(**{name: getattr(target, name) for name in ProbeSettings.model_fields})

    def picture_settings(self) -> PictureSettings:
        """Settings of the pictures, the same for all rows, so that they show the same images."""
        return PictureSettings(seed=self.seed, threads=self.threads)

    def with_filters(self) -> list[str]:
        """Cells of run whose features come from filters that can be shown: K-means and discriminators."""
        kinds = (KmeansRow, DiscriminatorRow)
        return [f"{target}/{row}" for target, row in self.probed() if isinstance(self.rows[row], kinds)]

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
