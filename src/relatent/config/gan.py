"""Settings of the train_gan phase (Radford et al. 2016, sec. 3 and 4; the released code where the preset says so)."""

import re
from collections import Counter
from typing import Any, Literal

from pydantic import Field, model_validator

from relatent.config.base import Settings

# The names that relatent.models.dcgan_nets builds; a test holds the two together.
NET_NAMES = ("lsun64", "imagenet32", "svhn32", "mnist_conditional")
ABLATION_NAMES = ("pooling", "nobn", "dense", "sigmoid", "relu")
CONDITIONAL_NETS = ("mnist_conditional",)

# What the released code does and the paper does not say. l2 is added to the gradient; the MNIST script has its own.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"updates": "both", "l2": 0.0, "batch_norm_eps": 1e-5},
    "code": {"updates": "alternate", "l2": 1e-5, "batch_norm_eps": 1e-8},
}
CODE_L2_MNIST = 2.5e-5


class WatchSettings(Settings):
    """When a run counts as lost and is stopped."""

    patience: int = Field(default=10, ge=1, description="rows of the history in a row that must look lost")
    diversity_floor: float = Field(
        default=0.1, ge=0, lt=1, description="samples less diverse than this share of the data"
    )
    won_d_loss: float = Field(default=1e-3, ge=0, description="mean loss of D, in nats, below which D has won")
    on_collapse: Literal["fail", "keep"] = Field(default="fail", description="keep: it ends there, for an ablation")
    grace_images: int = Field(default=20_000, ge=0, description="images seen before which nothing is judged")


class _Training(Settings):
    epochs: int = Field(default=25, ge=1, description="passes at the full learning rate")
    decay_epochs: int = Field(default=0, ge=0, description="further passes over which it falls linearly to zero")
    batch_size: int = Field(default=128, ge=2, description="images per minibatch")
    learning_rate: float = Field(default=2e-4, gt=0, description="Adam")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam")
    adam_eps: float = Field(default=1e-8, gt=0, description="Adam")
    validation: int = Field(default=0, ge=0, description="last images of the train split that are not trained on")
    z_prior: Literal["uniform", "normal"] = Field(default="uniform", description="U[-1, 1] or N(0, 1)")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="bf16: autocast, weights stay fp32")
    seed: int = Field(default=0, ge=0, description="keys weights, z and the order of the images")
    threads: int = Field(default=1, ge=1, description="torch's threads")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="where it is trained")
    processes: int = Field(default=1, ge=1, description="processes that share each minibatch")
    snapshot_epochs: list[int] = Field(default=[1], description="passes after which the generator is kept as it is")
    history_every: int = Field(default=100, ge=1, description="steps between rows of the history")
    watch: WatchSettings = WatchSettings()

    @model_validator(mode="after")
    def _snapshots_make_sense(self) -> "_Training":
        last = self.epochs + self.decay_epochs
        if len(set(self.snapshot_epochs)) < len(self.snapshot_epochs):
            raise ValueError("snapshot_epochs lists an epoch twice; name each once")
        for epoch in self.snapshot_epochs:
            if not 1 <= epoch <= last:
                raise ValueError(f"snapshot_epochs has {epoch}, the run is of {last} epochs; they are counted from 1")
        if self.batch_size % self.processes:
            raise ValueError(f"batch_size {self.batch_size} cannot be cut among {self.processes} processes")
        return self


class GanSettings(_Training):
    """One cell's settings, all written out."""

    net: str = Field(description="e.g. svhn32-w16")
    preset: Literal["paper", "code"] = Field(description="where the paper and its released code differ")
    updates: Literal["both", "alternate"] = Field(description="nets updated on a minibatch")
    l2: float = Field(ge=0, description="added to the gradient, times the weight")
    batch_norm_eps: float = Field(gt=0, description="added to a variance")


class GanOverride(Settings):
    """What may differ between the cells of one study."""

    epochs: int | None = Field(default=None, ge=1)
    decay_epochs: int | None = Field(default=None, ge=0)
    batch_size: int | None = Field(default=None, ge=2)
    learning_rate: float | None = Field(default=None, gt=0)
    validation: int | None = Field(default=None, ge=0)
    z_prior: Literal["uniform", "normal"] | None = None
    precision: Literal["fp32", "bf16"] | None = None
    processes: int | None = Field(default=None, ge=1)
    snapshot_epochs: list[int] | None = None
    history_every: int | None = Field(default=None, ge=1)


class GanSection(_Training):
    """The gan section of a study: cells `<dataset>/<net>`, the settings they share, and what differs.

    Where dedup has the dataset, its kept images are trained on. A net's name may end in a width (`-w16`), an ablation
    (`-nobn`), the preset `-code`, the mode `-bf16` or a further seed (`-s1`).
    """

    run: list[str] = Field(default=[], description="cells to train")
    adopted: list[str] = Field(default=[], description="cells whose files are in Git as sources")
    per_cell: dict[str, GanOverride] = Field(default={}, description="settings of one cell that differ")
    updates: Literal["both", "alternate"] | None = Field(default=None, description="instead of the preset's")
    l2: float | None = Field(default=None, ge=0, description="instead of the preset's")
    batch_norm_eps: float | None = Field(default=None, gt=0, description="instead of the preset's")

    @model_validator(mode="after")
    def _cells_make_sense(self) -> "GanSection":
        every = [*self.run, *self.adopted]
        twice = [cell for cell, count in Counter(every).items() if count > 1]
        if twice:
            raise ValueError(f"run and adopted list {', '.join(twice)} twice; name each cell once")
        strangers = sorted(set(self.per_cell) - set(every))
        if strangers:
            raise ValueError(f"per_cell names {', '.join(strangers)}, which run does not list")
        for cell in every:
            self.settings_of(cell)
        return self

    def cells(self) -> list[str]:
        """The cells to train, as written."""
        return list(self.run)

    def conditional(self, cell: str) -> bool:
        """Whether the cell's net is given labels."""
        return self.settings_of(cell).net.startswith(CONDITIONAL_NETS)

    def settings_of(self, cell: str) -> GanSettings:
        """The resolved settings of one cell.

        Raises:
            ValueError: a bad name or settings that do not fit together.
        """
        net, marks = parse_cell(cell)
        values: dict[str, Any] = {name: getattr(self, name) for name in _Training.model_fields}
        preset = "code" if "code" in marks else "paper"
        values |= PRESETS[preset] | {"net": net, "preset": preset}
        if preset == "code" and net.startswith("mnist_conditional"):
            values["l2"] = CODE_L2_MNIST
        values |= {k: getattr(self, k) for k in PRESETS["paper"] if getattr(self, k) is not None}
        if cell in self.per_cell:
            values |= {k: v for k, v in self.per_cell[cell].model_dump().items() if v is not None}
        if "bf16" in marks:
            values["precision"] = "bf16"
        seeds = [int(mark[1:]) for mark in marks if re.fullmatch(r"s\d+", mark)]
        if seeds:
            values["seed"] = seeds[0]
        return GanSettings.model_validate(values)


def parse_cell(cell: str) -> tuple[str, list[str]]:
    """The net's own name and the marks of the run, from a cell such as `mnist/mnist_conditional-w16-code`.

    Raises:
        ValueError: not of the form, or an unknown part.
    """
    dataset, slash, name = cell.partition("/")
    if not slash or not dataset or "/" in name:
        raise ValueError(f"{cell}: a gan cell is <dataset>/<net>, such as digits32/svhn32-w16")
    base, *suffixes = name.split("-")
    if base not in NET_NAMES:
        raise ValueError(f"{cell}: no net {base!r}; there are {', '.join(NET_NAMES)}")
    net, marks = [base], []
    for suffix in suffixes:
        if re.fullmatch(r"w[1-9]\d*", suffix) or suffix in ABLATION_NAMES:
            net.append(suffix)
        elif suffix in ("code", "bf16") or re.fullmatch(r"s\d+", suffix):
            marks.append(suffix)
        else:
            raise ValueError(
                f"{cell}: unknown part {suffix!r}; after the net come a width (w16), an ablation "
                f"({', '.join(ABLATION_NAMES)}), code, bf16 or a seed (s1)"
            )
    return "-".join(net), marks
