"""What a study cost, from the benchmark files that Snakemake writes under logs/."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PhaseCost:
    """Jobs of one phase: number, summed wall time, the longest one, the largest memory."""

    phase: str
    jobs: int
    seconds: float
    longest_s: float
    longest: str
    memory_mb: float


def phase_costs(study: str, order: Sequence[str]) -> list[PhaseCost]:
    """Costs by phase, in the order of the chain; phases without a benchmark file are left out.

    A job that found its finished work in the scratch store cost what copying costs, so these are the costs of the run
    that wrote the logs.
    """
    costs = []
    for phase in order:
        for root in (Path("logs") / study / phase, Path("logs/data") / phase):
            jobs = [(path, *_seconds_and_memory(path)) for path in sorted(root.rglob("*.tsv"))]
            if jobs:
                path, longest, _ = max(jobs, key=lambda job: job[1])
                costs.append(
                    PhaseCost(
                        phase,
                        len(jobs),
                        sum(seconds for _, seconds, _ in jobs),
                        longest,
                        path.relative_to(root).with_suffix("").as_posix(),
                        max(memory for _, _, memory in jobs),
                    )
                )
    return costs


def _seconds_and_memory(path: Path) -> tuple[float, float]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows:
        return 0.0, 0.0
    return _number(rows[0].get("s")), _number(rows[0].get("max_rss"))


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:  # Snakemake writes NA for jobs shorter than its sampling
        return 0.0
