"""Toy: one metric."""

import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np

from relatent.cli.job import JobParser, run
from relatent.config.base import Settings
from relatent.ledger.files import write_json


class ScoreSettings(Settings):
    kind: Literal["mean", "max"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = JobParser("evaluate_nll", "relatent.cli.toy_score", ScoreSettings, __doc__)
    parser.input("weights")
    parser.input("images")
    parser.output("metrics")
    job = parser.parse(argv)
    weights = np.load(job.inputs["weights"])
    value = float(weights.mean() if job.settings.kind == "mean" else weights.max())
    metric = {"value": value, "per_seed": [value], "stderr": 0.5, "unit": "nats", "k": 5}
    write_json(job.outputs["metrics"], {"nll_nats": metric})
    job.finish()


if __name__ == "__main__":
    sys.exit(run(main))
