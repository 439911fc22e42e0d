"""No free numbers: every number in a rendered table must stand in the table's CSV, backed there.

This reads the pages as text and does not call the renderers, so a number that a renderer invents is found too. Numbers
of a caption or a note may come from the catalogue's own words, and from the metrics for what a table was measured with.
"""

import html
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relatent.errors import RelatentError
from relatent.ledger.files import read_json
from relatent.report.build import find_metric
from relatent.report.catalogue import table_spec
from relatent.report.cells import TableCell, read_cells
from relatent.report.orderings import COLUMNS as ORDERINGS
from relatent.report.reference import read_reference
from relatent.report.slots_iwae import AGREEMENT
from relatent.report.spec import Slot, TableSpec

NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?")
KINDS = ("md", "tex", "html")


def unbacked_numbers(folder: Path) -> list[str]:
    """What is wrong with the tables of a folder `results/<study>/tables`, one sentence each; none if all is backed."""
    problems = []
    for path in sorted(folder.glob("*.csv")):
        try:
            spec, cells = table_spec(path.stem), read_cells(path)
        except RelatentError as error:
            problems.append(str(error))
            continue
        problems += unbacked_cells(path, spec, cells)
        read = _documents(cells)
        documents = [document for document in read.values() if document is not None]
        allowed = printed_forms(cells) | _words_of(spec, cells, documents) | _notes_of(spec, cells, read)
        for kind in KINDS:
            page = path.with_suffix(f".{kind}")
            if not page.is_file():
                problems.append(f"{page}: is not there; make it again with {path}")
                continue
            free = [token for token in tokens(page.read_text(encoding="utf-8"), kind) if token not in allowed]
            problems += [f"{page}: {token} stands in no cell of {path.name}" for token in dict.fromkeys(free)]
    return problems


def unbacked_cells(path: Path, spec: TableSpec, cells: Sequence[TableCell]) -> list[str]:
    """Cells whose number of ours has no receipt or is not in the metrics there, or whose paper number is not quoted."""
    problems = []
    documents = _documents(cells)
    slots = {(s.row, s.column): s for s in spec.slots(_sources(cells))}
    papers: dict[str, Any] = {}
    for cell in cells:
        where = f"{path}: {cell.row} / {cell.column}"
        if cell.ours is not None:
            if not cell.receipt or any(documents.get(receipt) is None for receipt in cell.receipt.split()):
                problems.append(f"{where}: {cell.ours} has no receipt with metrics beside it")
            elif cell.column not in (*ORDERINGS, AGREEMENT):
                slot = slots.get((cell.row, cell.column))
                if slot is None or not _is_said(cell.ours, slot, [documents[r] or {} for r in cell.receipt.split()]):
                    problems.append(f"{where}: {cell.ours} is not what the metrics of {cell.receipt} say")
        if cell.paper is not None and cell.column not in ORDERINGS:
            slot = slots.get((cell.row, cell.column))
            if slot is None or slot.reference is None or not cell.paper_sureness:
                problems.append(f"{where}: the paper's {cell.paper} is not marked as quoted")
                continue
            stem, row, column = slot.reference
            if stem not in papers:
                papers[stem] = read_reference(Path("data/reference") / f"{stem}.csv")
            number = papers[stem].get((row, column))
            if number is None or number.value != cell.paper:
                problems.append(f"{where}: the paper's {cell.paper} is not in data/reference/{stem}.csv")
    return problems


def _is_said(ours: float, slot: Slot, documents: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the metrics say this number: their first is it, or it is the difference of two over their seeds."""
    metrics = [find_metric(document, slot, slot.source) for document in documents]
    if not slot.less:
        return metrics[0] is not None and metrics[0]["value"] == ours
    a, b = (metric["per_seed"] if metric else [] for metric in metrics)
    seeds = min(len(a), len(b))
    return bool(seeds) and math.isclose(ours, (math.fsum(a[:seeds]) - math.fsum(b[:seeds])) / seeds, abs_tol=1e-9)


def tokens(text: str, kind: str) -> list[str]:
    """Numbers on a page, as plain text; tags, attributes, LaTeX commands and lengths are not read."""
    if kind == "html":
        text = re.sub(r"<(style|script|title)>.*?</\1>", " ", text, flags=re.S)
        text = re.sub(r"</?sub>", "_", text)  # L<sub>5000</sub> is a name
        text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    elif kind == "tex":
        text = re.sub(r"\\(?:multicolumn|cmidrule(?:\(lr\))?|label|begin|end)\{[^}]*\}(?:\{[lc]+\})?", " ", text)
        text = re.sub(r"\$([A-Z])_\{(\w+)\}\$", r"\1_\2", text)
        text = text.replace(r"$-$", "−").replace(r"\_", "_").replace(r"$\times$", "×")
        text = re.sub(r"\\[a-z]+", " ", text)
    return [token.replace("-", "−").rstrip(",") for token in NUMBER.findall(text)]


def printed_forms(cells: Sequence[TableCell]) -> set[str]:
    """Every way a number of the CSV may be printed: rounded to up to four decimals, in percent, or in thousandths."""
    forms: set[str] = set()
    for cell in cells:
        scale = {"fraction": 100, "share": 100, "points": 100, "thousandths": 1000}.get(cell.unit, 1)
        middle, half = cell.paper or 0.0, cell.paper_spread or 0.0
        papers = (cell.paper, cell.paper_spread, middle - half, middle + half)  # its range, where it gives one
        for value in (*papers, cell.ours, cell.ours_low, cell.ours_high, cell.difference):
            if value is not None:
                for decimals in range(5):
                    text = f"{scale * value:,.{decimals}f}".replace("-", "−")
                    forms.add(text)
                    if not text.strip("−0.,"):
                        forms.add(text.lstrip("−"))
        forms |= {str(count) for count in (cell.n_seeds, cell.n_draws) if count is not None}
        forms |= set(tokens(f"{cell.row} {cell.column} {cell.data} {cell.preset}", "md"))
    return forms


def _words_of(spec: TableSpec, cells: Sequence[TableCell], documents: Sequence[Mapping[str, Any]]) -> set[str]:
    """Numbers in the catalogue's own words, the level of an interval and of a test, and what was measured with."""
    columns = " ".join(f"{c.heading} {c.group}" for c in spec.printed)
    groups = " ".join(heading for heading, _ in spec.row_groups)
    words = " ".join((spec.title, spec.caption, spec.stub, *spec.notes, columns, groups, "95 % 5 %"))
    found = set(tokens(words, "md"))
    found |= {cell.row.rpartition("=")[2] for cell in cells if "=" in cell.row}
    for document in documents:
        for metric in document.values():
            if isinstance(metric, dict):
                counts = (
                    metric.get(key) for key in ("k", "n_images", "n_scored", "n_labels", "chains", "temperatures")
                )
                found |= {f"{count:,}" for count in counts if isinstance(count, int)}
                found |= set(tokens(metric.get("binarisation", ""), "md"))  # a hash may begin with digits
    return found


def _notes_of(
    spec: TableSpec, cells: Sequence[TableCell], documents: Mapping[str, Mapping[str, Any] | None]
) -> set[str]:
    """Numbers in the notes that a table makes of the metrics it reads, such as hashes and images per class."""
    by_source = dict(zip(_sources(cells), documents.values(), strict=True))
    notes = spec.notes_of({source: document for source, document in by_source.items() if document is not None})
    return set(tokens(" ".join(notes), "md"))


def _sources(cells: Sequence[TableCell]) -> list[str]:
    """The sources that the table read, from the folders of its receipts."""
    receipts = dict.fromkeys(receipt for cell in cells for receipt in cell.receipt.split())
    folders = (Path(receipt).parent.as_posix() for receipt in receipts)
    return [re.sub(r"^(results/[^/]+|data)/", "", folder) for folder in folders]


def _documents(cells: Sequence[TableCell]) -> dict[str, Mapping[str, Any] | None]:
    """Metrics beside each receipt that the cells name; None where there are none."""
    found: dict[str, Mapping[str, Any] | None] = {}
    for receipt in dict.fromkeys(receipt for cell in cells for receipt in cell.receipt.split()):
        path = Path(receipt)
        metrics = path.with_name("checks.json" if path.name == "checks.receipt.json" else "metrics.json")
        found[receipt] = read_json(metrics) if path.is_file() and metrics.is_file() else None
    return found
