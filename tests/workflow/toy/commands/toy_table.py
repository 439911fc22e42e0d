"""Toy: a table."""

import sys
from collections.abc import Sequence

from relatent.cli.job import JobParser, run
from relatent.config.base import Settings
from relatent.ledger.files import read_json, write_text

COLUMNS = "row,column,paper,ours,unit,verdict,cell_id,receipt"


def main(argv: Sequence[str] | None = None) -> None:
    parser = JobParser("tables", "relatent.cli.toy_table", Settings, __doc__)
    parser.input_list("metrics")
    parser.output("csv")
    parser.output("md")
    job = parser.parse(argv)
    lines = [COLUMNS]
    for path in job.input_lists["metrics"]:
        value = read_json(path)["nll_nats"]["value"]
        cell = path.parent.name
        receipt = path.with_name("receipt.json").as_posix()
        cell_id = f"evaluate_nll/digits/{cell}#nll_nats"
        lines.append(f"k=1,{cell} NLL,84.5,{value:.4f},nats,not comparable,{cell_id},{receipt}")
    write_text(job.outputs["csv"], "\n".join(lines) + "\n")
    write_text(job.outputs["md"], "\n".join(f"| {line.replace(',', ' | ')} |" for line in lines) + "\n")
    job.finish()


if __name__ == "__main__":
    sys.exit(run(main))
