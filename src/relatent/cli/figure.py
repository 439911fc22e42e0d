"""Draw one figure: PNG and PDF, and the CSV of what is drawn."""

import sys
from collections.abc import Sequence

from relatent.cli.job import JobParser, run
from relatent.config.report import PageSettings
from relatent.report.figure_catalogue import figure_spec
from relatent.report.figures.inputs import Inputs
from relatent.report.figures.style import drawing_style, save_drawing
from relatent.report.words import made_with


def main(argv: Sequence[str] | None = None) -> int | None:
    """Run the job."""
    parser = JobParser("figure", "relatent.cli.figure", PageSettings, __doc__)
    parser.input_list("files", "what the figure reads; each file's folder says what it is")
    for name in ("png", "pdf", "csv"):
        parser.output(name)
    job = parser.parse(argv)
    spec = figure_spec(job.settings.name)
    inputs = Inputs(job.settings.study, job.input_lists["files"])
    with drawing_style():
        drawing = spec.draw(inputs, job.settings)
        save_drawing(drawing, job.outputs["png"], job.outputs["pdf"], job.outputs["csv"], made_with(job.settings))
    job.finish()
    return None


if __name__ == "__main__":
    sys.exit(run(main))
