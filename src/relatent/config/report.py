"""Settings of one table and of one figure, as `--settings` receives them. They are derived from the study's cells."""

from typing import Literal

from relatent.config.base import Settings


class PageSettings(Settings):
    """What a table or a figure depends on besides the files it reads."""

    name: str
    """of the table or the figure"""
    study: str
    effort: Literal["demo", "short", "paper"]
    """decides what may be compared with the paper"""
    sources: list[str] = []
    """folders under `results/<study>/` (or `data/prepared/<dataset>`) that hold what is read, in the study's order"""
    presets: dict[str, str] = {}
    """source: preset of the cell, `paper` or `code`, where there is a choice"""
    datasets: dict[str, str] = {}
    """source: dataset, where the source's name does not say it"""
    adopted: list[str] = []
    """sources that came in with their receipts and are re-made only on request (DESIGN 4.16)"""

    def dataset_of(self, source: str) -> str:
        """The dataset behind a source: `<phase>/<dataset>/<cell>`, `<phase>/<dataset>`, or as `datasets` says."""
        return self.datasets.get(source) or source.split("/")[1]
