"""Make one table: tidy CSV from metrics with receipts and from the papers' numbers, then Markdown, LaTeX and HTML."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatent.cli.job import Job, JobParser, run
from relatent.config.report import PageSettings
from relatent.errors import ConfigError
from relatent.ledger.files import read_json, write_text
from relatent.report.build import build_cells
from relatent.report.catalogue import table_spec
from relatent.report.cells import TableCell, read_cells, write_cells
from relatent.report.orderings import ordering_cells, read_orderings, refuse_other_images
from relatent.report.printed import facts_of, lay_out
from relatent.report.reference import read_reference
from relatent.report.render import html_page, html_tables, latex, markdown
from relatent.report.sources import receipt_name
from relatent.report.spec import TableSpec

if TYPE_CHECKING:
    import numpy as np


def main(argv: Sequence[str] | None = None) -> int | None:
    """Run the job."""
    parser = JobParser("table", "relatent.cli.table", PageSettings, __doc__)
    parser.input_list("metrics", "metrics.json or checks.json of each source, in the order of settings.sources")
    parser.input_list("per_image", "per_image.npz of the sources, for paired differences")
    parser.input_list("reference", "files of data/reference/", source=True)
    for name in ("csv", "md", "tex", "html"):
        parser.output(name)
    job = parser.parse(argv)
    spec = table_spec(job.settings.name)
    documents, receipts = read_sources(job)
    cells = _cells(job, spec, documents, receipts)
    write_cells(job.outputs["csv"], cells)
    # From here on the table is what its CSV says.
    notes = spec.notes_of(documents)
    tables = lay_out(job.settings.name, spec, read_cells(job.outputs["csv"]), facts_of(documents), notes)
    write_text(job.outputs["md"], markdown(tables))
    write_text(job.outputs["tex"], latex(tables))
    page = html_page(spec.title, html_tables(tables, job.outputs["html"].parent))
    write_text(job.outputs["html"], page)
    job.finish()
    return None


def read_sources(job: Job[PageSettings]) -> tuple[dict[str, Any], dict[str, str]]:
    """Source → its metrics, and source → path of its receipt; the parser has proven the bytes.

    Raises:
        ConfigError: as many metrics as sources are needed.
    """
    paths, sources = job.input_lists["metrics"], job.settings.sources
    if len(paths) != len(sources):
        raise ConfigError(f"--metrics: {len(paths)} files for {len(sources)} sources; give one for each")
    documents = {source: read_json(path) for source, path in zip(sources, paths, strict=True)}
    receipts = {
        source: path.with_name(receipt_name(path.name)).as_posix() for source, path in zip(sources, paths, strict=True)
    }
    return documents, receipts


def _cells(
    job: Job[PageSettings], spec: TableSpec, documents: Mapping[str, Any], receipts: Mapping[str, str]
) -> list[TableCell]:
    settings, files = job.settings, {path.stem: path for path in job.input_lists["reference"]}
    slots = spec.slots(settings.sources)
    reference = {stem: read_reference(path) for stem, path in files.items() if stem != spec.orderings}
    missing = {slot.reference[0] for slot in slots if slot.reference} - set(reference)
    if missing:
        raise ConfigError(f"--reference: the table needs data/reference/{', '.join(sorted(missing))}.csv too")
    for slot in slots:
        if slot.less:
            refuse_other_images({source: documents[source] for source in (slot.source, slot.less)})
    values = _paired_values(job.input_lists["per_image"], documents)
    cells = build_cells(slots, documents, receipts, reference, settings, values)
    if spec.orderings in files:
        refuse_other_images(documents)
        orderings = read_orderings(files[spec.orderings], reference)
        cells += ordering_cells(orderings, slots, values, receipts, reference, settings)
    return cells


def _paired_values(per_image: Sequence[Path], documents: Mapping[str, Any]) -> dict[tuple[str, str], "np.ndarray"]:
    """What is compared in pairs: per-image NLL, (seed, image) nats, and numbers that a model has one of, (seed, 1)."""
    import numpy as np

    values = {
        (source, name): np.array(metric["per_seed"], dtype=np.float64)[:, None]
        for source, document in documents.items()
        for name, metric in document.items()
        if name.startswith("active_units") and metric.get("per_seed")
    }
    for path in per_image:
        with np.load(path, allow_pickle=False) as arrays:
            source = f"evaluate_nll/{'/'.join(path.parts[-3:-1])}"
            values[source, "nll_nats"] = -arrays["log_px_hat"].astype(np.float64)
    return values


if __name__ == "__main__":
    sys.exit(run(main))
