"""A table's CSV laid out as it is printed: rows, columns and words, no arithmetic. All three renderers start here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from relatent.report.cells import ADOPTED, TableCell
from relatent.report.data_notes import SHOWN as SHOWN_OF_HASH
from relatent.report.orderings import ARGUED, SHOWN, verdict_words
from relatent.report.orderings import COLUMNS as ORDERINGS
from relatent.report.reference import SPREAD_UNCONFIRMED
from relatent.report.spec import PrintedColumn, TableSpec


@dataclass(frozen=True)
class PrintedCell:
    """One place on the page. `ours`, `interval` and `beside` are text, any of them may be empty.

    `beside` is the small print under the number: the paper's value and the verdict. A number of ours has receipts; what
    has none is set in italics, such as *not run*, unless it is `plain`, the paper's number in a column of its own.
    """

    ours: str = ""
    interval: str = ""
    beside: str = ""
    cell_ids: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()
    plain: bool = False

    @property
    def italic(self) -> bool:
        """Whether it is words in place of a number."""
        return bool(self.ours) and not self.receipts and not self.plain


@dataclass(frozen=True)
class PrintedTable:
    """A page's table: `groups` are (heading, rows), a row is (label, cells); `heads` are (group, heading)."""

    name: str
    title: str
    caption: str
    stub: str
    heads: tuple[tuple[str, str], ...]
    groups: tuple[tuple[str, tuple[tuple[str, tuple[PrintedCell, ...]], ...]], ...]
    notes: tuple[str, ...]


OVER = {
    "seeds": "over seeds",
    "draws": "over draws of the labels",
    "monte carlo": "of the Monte Carlo error",
    "test sampling": "of test sampling",
    "regression": "of the regression that goes from the images scored in full to all of the split",
    "seeds and regression": "over seeds, and of the regression that goes from the images scored in full to all",
    "seeds and test sampling": "over seeds and test sampling",
    "images scored twice": "of the choice of the images scored twice",
}


def lay_out(
    name: str, spec: TableSpec, cells: Sequence[TableCell], facts: str, notes: Sequence[str] = ()
) -> list[PrintedTable]:
    """The table as printed, and its orderings as a second one if it has any.

    Args:
        facts: what the numbers were measured with, e.g. "k = 5,000, 400 test images"; ends the caption.
        notes: what else stands below the table.
    """
    main = [cell for cell in cells if cell.column not in ORDERINGS]
    paired = [cell for cell in cells if cell.column in ORDERINGS]
    table = _main_table(name, spec, main, facts)
    tables = [replace(table, notes=(*table.notes, *notes))]
    if any(cell.ours is not None for cell in paired):
        tables.append(_orderings_table(name, paired))
    return tables


def _main_table(name: str, spec: TableSpec, cells: Sequence[TableCell], facts: str) -> PrintedTable:
    columns = spec.printed or tuple(PrintedColumn(column, (column,)) for column in _in_order(c.column for c in cells))
    at = {(cell.row, cell.column): cell for cell in cells}
    rows = _in_order(cell.row for cell in cells)
    body = {
        row: tuple(
            _printed([at[row, part] for part in column.columns if (row, part) in at], column) for column in columns
        )
        for row in rows
    }
    heads = tuple((column.group, column.heading) for column in columns)
    if spec.transposed:
        turned = {head: tuple(body[row][index] for row in rows) for index, (_, head) in enumerate(heads)}
        body = {head: places for head, places in turned.items() if any(place.ours for place in places)}
        heads = tuple(("", row) for row in rows)
        rows = list(body)
    if spec.row_groups:
        groups = tuple(
            (heading, tuple((row.removeprefix(prefix), body[row]) for row in rows if row.startswith(prefix)))
            for heading, prefix in spec.row_groups
        )
    else:
        groups = (("", tuple((row, body[row]) for row in rows)),)
    caption = " ".join(filter(None, (f"{spec.caption}.", _provenance(cells), facts)))
    return PrintedTable(name, spec.title, caption, spec.stub, heads, groups, (*spec.notes, *_legend(cells)))


def _orderings_table(name: str, cells: Sequence[TableCell]) -> PrintedTable:
    def row(cell: TableCell) -> tuple[PrintedCell, ...]:
        whole = _printed([cell], PrintedColumn("", (cell.column,)))
        paper = "" if cell.paper is None else number(cell.paper, cell.unit, None)
        difference = replace(whole, interval="", beside="")
        if cell.ours is None:
            return difference, PrintedCell(), PrintedCell(ours=paper, plain=True), PrintedCell()
        words = (whole.interval, paper, verdict_words(cell.column, cell.verdict, bool(whole.interval)))
        return difference, *(PrintedCell(ours=text, plain=True) for text in words)

    found = [
        (heading, tuple((cell.row, row(cell)) for cell in cells if cell.column == column))
        for heading, column in (("argued in words", ARGUED), ("shown by the table", SHOWN))
    ]
    groups = tuple((heading, rows) for heading, rows in found if rows)
    return PrintedTable(
        name=f"{name}_orderings",
        title="Orderings of the paper",
        caption="Paired difference of NLL (nats) on the same test images, or of active units (counts of the same "
        "seeds), negative where the paper's ordering holds, with a 95 % interval over "
        f"{' or '.join(_in_order(cell.interval for cell in cells if cell.interval))}; the paper's difference is of its "
        f"printed values.{_halfway(cells)} Verdicts (in the CSV holds is reproduced, undecided inconclusive, reversed "
        "worse) after Holm's adjustment at 5 %, whether or not the values themselves are comparable."
        f"{_one_seed(cells)}",
        stub="ordering",
        heads=(("", "difference"), ("", "95 % interval"), ("", "paper"), ("", "verdict")),
        groups=groups,
        notes=(),
    )


def _halfway(cells: Sequence[TableCell]) -> str:
    if not any(" nearer to " in cell.row for cell in cells):
        return ""
    return (
        " Nearer to one cell than to another means above the point halfway between them; the difference is that "
        "point's, less the cell's."
    )


def _one_seed(cells: Sequence[TableCell]) -> str:
    if any(cell.n_seeds and cell.n_seeds > 1 for cell in cells):
        return ""
    return " There is one seed of each: what another training would change is not counted, and units go untested."


def _printed(cells: Sequence[TableCell], column: PrintedColumn) -> PrintedCell:
    """One place on the page from the cells joined there."""
    if not cells:
        return PrintedCell()
    papers = [cell for cell in cells if cell.paper is not None]
    paper = "+".join(as_the_paper(cell.paper, cell.unit) for cell in papers if cell.paper is not None)
    if column.within and papers:
        paper = _range(papers[0])
    elif len(papers) == 1 and papers[0].paper_spread is not None:
        end = " %" if paper.endswith(" %") else ""
        spread = as_the_paper(papers[0].paper_spread, papers[0].unit).removesuffix(end)
        paper = f"{paper.removesuffix(end)} ± {spread}{end}"
    if any(cell.paper_sureness == "unconfirmed" for cell in papers):
        paper += " (unconfirmed)"
    elif any(cell.paper_sureness == SPREAD_UNCONFIRMED for cell in papers):
        paper += " (spread unconfirmed)"
    if column.at_most and paper:
        paper = f"≤ {paper}"
    verdict = cells[0].verdict if len({cell.verdict for cell in cells}) == 1 else " / ".join(c.verdict for c in cells)
    who = "released code" if any(cell.paper_sureness == "released code" for cell in papers) else "paper"
    if all(cell.ours is None for cell in cells):
        words = verdict if papers else ""
        return PrintedCell(ours=words, beside=f"{who} {paper}" if paper else "", cell_ids=_ids(cells))
    at_least = "≥ " if any(cell.interval == "at least" for cell in cells) else ""
    ours = at_least + "+".join(number(cell.ours, cell.unit, column.decimals) for cell in cells if cell.ours is not None)
    interval = ""
    if column.interval and cells[0].ours_low is not None and cells[0].ours_high is not None:
        low, high = (number(end, cells[0].unit, column.decimals) for end in (cells[0].ours_low, cells[0].ours_high))
        interval = f"[{low}, {high}]".replace(" %", "").replace(" points", "")
    if not column.at_most and not column.within:
        paper += _difference(cells)
    beside = f"{who} {paper}, {verdict}" if paper else ""
    if not paper and verdict in ("reproduced", "worse"):
        beside = {"reproduced": "agrees", "worse": "does not agree"}[verdict]
    return PrintedCell(
        ours, interval, beside, _ids(cells), tuple(_in_order(r for c in cells for r in c.receipt.split()))
    )


def _range(cell: TableCell) -> str:
    """`0.62 to 0.79`, or `about 3.5` where no range is given."""
    middle, half = cell.paper or 0.0, cell.paper_spread
    if half is None:
        return f"about {number(middle, cell.unit, 1)}"
    return f"{number(middle - half, cell.unit, None)} to {number(middle + half, cell.unit, None)}"


def _difference(cells: Sequence[TableCell]) -> str:
    """Ours less the paper's, in brackets; of one number only, and not of a demo's, whose data are others."""
    difference = cells[0].difference if len(cells) == 1 else None
    if difference is None or cells[0].effort == "demo":
        return ""
    unit = "points" if cells[0].unit in ("fraction", "share") else cells[0].unit
    text = number(difference, unit, None)
    return f" ({text if text.startswith('−') else f'+{text}'})"


def as_the_paper(value: float, unit: str) -> str:
    """A number of a paper: a percentage has the second decimal that it was given, as 22.48 %."""
    needs_two = unit == "fraction" and abs(100 * value - round(100 * value, 1)) > 1e-9
    return number(value, unit, 2 if needs_two else None)


def number(value: float, unit: str, decimals: int | None) -> str:
    """A value as printed: percent for fractions, two decimals for nats, whole units where they are whole.

    A difference of percentages is in points: 12 % less than 82 % may mean 70 % or 72 %.
    """
    if unit in ("fraction", "share", "points"):
        value, default, end = 100 * value, 1, " points" if unit == "points" else " %"
    elif unit in ("count", "units"):
        default, end = (0 if value == int(value) else 1), ""
    elif unit == "thousandths":
        value, default, end = 1000 * value, 1, ""
    elif unit == "similarity":
        default, end = 3, ""
    else:
        default, end = (1 if unit == "bits" else 2), ""
    text = f"{value:,.{default if decimals is None else decimals}f}"
    if text.startswith("-"):
        text = f"−{text[1:]}" if text.strip("-0.,") else text[1:]
    return text + end


def _provenance(cells: Sequence[TableCell]) -> str:
    """Effort, preset, data and seeds of the numbers of ours, as the CSV has them."""
    ours = [cell for cell in cells if cell.ours is not None]
    if not ours:
        return "Not run in this study."
    facts = [f"Effort: {_one_of(cell.effort for cell in ours)}"]
    presets = _one_of(cell.preset.removesuffix(ADOPTED).rstrip(", ") for cell in ours)
    facts += [f"preset: {presets}"] if presets else []
    adopted = [cell.preset.endswith(ADOPTED) for cell in ours]
    facts += ["adopted" if all(adopted) else "adopted in part"] if any(adopted) else []
    facts.append(f"data: {_one_of(cell.data for cell in ours)}")
    seeds = sorted({cell.n_seeds for cell in ours if cell.n_seeds})
    facts += [f"seeds per cell: {', '.join(map(str, seeds))}"] if seeds else []
    draws = sorted({cell.n_draws for cell in ours if cell.n_draws})
    facts += [f"draws of labels: {', '.join(map(str, draws))}"] if draws else []
    return "; ".join(facts) + "."


def _legend(cells: Sequence[TableCell]) -> tuple[str, ...]:
    notes = []
    over = _in_order(cell.interval for cell in cells if cell.interval in OVER)
    if over:
        notes.append(f"In brackets: 95 % interval {' or '.join(OVER.get(name, name) for name in over)}.")
    if any(cell.verdict == "not comparable" and cell.paper is not None for cell in cells):
        notes.append(
            "Not comparable: made with a shorter schedule, a narrower net, other data or fewer images than the paper's "
            "number."
        )
    if any("(approximate)" in cell.row for cell in cells):
        notes.append("Approximate: the published recipe leaves much open; config/README.md names what is ours.")
    if any("unconfirmed" in cell.paper_sureness for cell in cells):
        notes.append("Unconfirmed: the paper's number is from memory, not read in a copy of the paper.")
    if any(cell.preset.endswith(ADOPTED) for cell in cells):
        notes.append("Adopted: made earlier or elsewhere and taken in with its receipts; the receipt names the code.")
    return tuple(notes)


def _ids(cells: Sequence[TableCell]) -> tuple[str, ...]:
    return tuple(cell.cell_id for cell in cells)


def _one_of(values: object) -> str:
    return ", ".join(value for value in _in_order(values) if value)


def _in_order(values: object) -> list[str]:
    """Distinct values in the order of their first appearance."""
    return list(dict.fromkeys(values))  # type: ignore[call-overload]


# What a reader must know beside a number, by the metric that says it.
_FACTS = (
    ("nll_nats", "k", "NLL at k = {}."),
    ("nll_nats", "n_images", "{} test images."),
    ("nll_nats", "binarisation", "Test binarisation sha256 {}."),
    ("nll_nats", "precision", "Scored in {}."),
    ("log_px_nats", "n_images", "{} images."),
    ("ais_above_bound_nats", "k", "L_k at k = {}."),
    ("ais_above_bound_nats", "n_scored", "{} test images annealed."),
    ("simulated_ais_gap_nats", "n_images", "{} simulated images."),
    ("ais_above_bound_nats", "chains", "{} chains each."),
    ("ais_above_bound_nats", "temperatures", "{} temperatures."),
    ("accuracy_full", "n_images", "{} test images."),
    ("success_latent_k1", "n_images", "{} triples."),
    ("accuracy_few", "n_labels", "Few labels: {} in all."),
)


def _said(key: str, value: object) -> str:
    if key == "binarisation":
        return str(value)[:SHOWN_OF_HASH]
    return f"{value:,}" if isinstance(value, int) else str(value)


def facts_of(documents: Mapping[str, Mapping[str, object]]) -> str:
    """Evaluation k, numbers of images and labels, which binarisation, as the metrics say them; for the caption."""
    sentences = []
    for name, key, sentence in _FACTS:
        metrics = [metric for document in documents.values() if isinstance(metric := document.get(name), Mapping)]
        values = sorted({metric[key] for metric in metrics if metric.get(key) is not None})
        if values:
            sentences.append(sentence.format(" or ".join(_said(key, value) for value in values)))
    return " ".join(sentences)
