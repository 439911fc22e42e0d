"""Progress of long work: a bar on a terminal, a plain line now and then in a log. Left out of code digests."""

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LINE_EVERY_S = 10.0
STALE_AFTER_S = 600.0  # a log silent for so long is of work that has stopped; annealing takes minutes a line
_LINE = re.compile(r"^.+: (?P<done>\d+)/(?P<total>\d+) \S+, [\d,.]+/s, (?P<left>[\d,]+) s left", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """Where work stood when it last said so: its whole line, the share done, 0 to 1, and the seconds left."""

    line: str
    share: float
    left_s: float


def under_way(log: Path) -> Reading | None:
    """The last line of progress in a log; None if there is none yet, or the work has ended or stopped."""
    try:
        if time.time() - log.stat().st_mtime > STALE_AFTER_S:
            return None
        said = list(_LINE.finditer(log.read_text(errors="replace")))
    except OSError:
        return None
    if not said or said[-1]["done"] == said[-1]["total"]:
        return None
    last = said[-1]
    line = last.string[last.start() :].partition("\n")[0]
    return Reading(line, int(last["done"]) / int(last["total"]), float(last["left"].replace(",", "")))


class Progress:
    """Counts done units out of `total`; use as a context manager and call `advance`.

    Args:
        label: what is being done, e.g. "train digits/iwae-L1-k5 seed 0".
        total: units in all.
        unit: name of a unit, e.g. "images".
        done: units already done by an earlier, interrupted run.
    """

    def __init__(self, label: str, total: int, unit: str, done: int = 0) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self.first = done
        self.started = self.last_line = time.monotonic()
        self.bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, desc=label, unit=f" {unit}", unit_scale=True, leave=False)

    def advance(self, count: int = 1, shown: Mapping[str, float] | None = None) -> None:
        """Count `count` more units done; `shown` are the values of the moment, such as the bound."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
            if shown:
                self.bar.set_postfix({name: f"{value:.4g}" for name, value in shown.items()}, refresh=False)
        elif time.monotonic() - self.last_line >= LINE_EVERY_S:
            self.last_line = time.monotonic()
            self._line(shown)

    def _line(self, shown: Mapping[str, float] | None) -> None:
        rate = (self.done - self.first) / max(time.monotonic() - self.started, 1e-9)
        left = (self.total - self.done) / rate if rate > 0 else float("inf")
        values = "".join(f", {name} {value:.4g}" for name, value in (shown or {}).items())
        print(
            f"{self.label}: {self.done}/{self.total} {self.unit}, {rate:,.{0 if rate >= 10 else 2}f}/s, "
            f"{left:,.0f} s left{values}",
            file=sys.stderr,
            flush=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.close()
        if error is None:
            self._line(None)
