"""Toy: long work, taken back from scratch where it is finished; says which on its log."""

import sys
from collections.abc import Sequence

from relatent.cli.job import JobParser, run
from relatent.config.base import Settings


class TrainSettings(Settings):
    seed: int
    scale: float


def main(argv: Sequence[str] | None = None) -> None:
    parser = JobParser("train_density", "relatent.cli.toy_train", TrainSettings, __doc__)
    parser.input("images")
    parser.output("weights")
    parser.output("history")
    job = parser.parse(argv)
    work = job.work("relatent.training.toy", threads=1)
    if work.restore(job.outputs):
        print("taken from finished work")
    else:
        from relatent.training.toy import fit

        print("trained")
        fit(job.inputs["images"], job.outputs["weights"], job.outputs["history"], job.settings.seed, job.settings.scale)
        work.keep(job.outputs)
    job.finish(seeds=[job.settings.seed], threads=1)


if __name__ == "__main__":
    sys.exit(run(main))
