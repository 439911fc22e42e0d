"""Set pairs of a target's rows side by side: paired differences in accuracy, and a sentence for each."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from relatent.cli.job import JobParser, run
from relatent.config.protocol import CompareSettings
from relatent.ledger.files import write_json


def main(argv: Sequence[str] | None = None) -> None:
    """Read predictions, compare, write."""
    parser = JobParser("compare_rows", "relatent.cli.compare_rows", CompareSettings, __doc__)
    parser.input_list("predictions", "predictions.npz of every row named in the pairs; its folder names the row")
    parser.input("test_labels")
    parser.output("comparisons")
    job = parser.parse(argv)

    import numpy as np

    from relatent.data.streams import stream
    from relatent.probe.comparisons import paired_difference, sentence

    labels = np.load(job.inputs["test_labels"])
    predictions = {}
    for path in job.input_lists["predictions"]:
        with np.load(path) as arrays:
            predictions[path.parent.name] = {name: arrays[name] for name in arrays.files}
    found = []
    for index, (first, second) in enumerate(job.settings.pairs):
        for protocol, words in _protocols(job.settings):
            if any(protocol not in predictions[row] for row in (first, second)):
                continue
            rng = stream(job.settings.seed, f"bootstrap {protocol}", index)
            one, other = predictions[first][protocol], predictions[second][protocol]
            if protocol != "full":  # a dear row has the first draws only
                one, other = one[: len(other)], other[: len(one)]
            difference = paired_difference(one, other, labels, job.settings.resamples, rng)
            found.append(
                {
                    "first": first,
                    "second": second,
                    "protocol": protocol,
                    "unit": "fraction",
                    **asdict(difference),
                    "sentence": sentence(first, second, words, difference),
                }
            )
    write_json(job.outputs["comparisons"], found)
    job.finish(seeds=[job.settings.seed])


def _protocols(settings: CompareSettings) -> list[tuple[str, str]]:
    """Names of the arrays of predictions, and how the protocol is called in a sentence."""
    few = f"{settings.labels_per_class} labels per class"
    return [("full", "all labels"), ("few", few), ("honest", f"{few} and C chosen inside them")]


if __name__ == "__main__":
    sys.exit(run(main))
