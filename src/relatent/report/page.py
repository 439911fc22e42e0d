"""The report of a study: one HTML page that needs no network, from what is there."""

import base64
import html
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relatent.config.report import PageSettings
from relatent.errors import DataIntegrityError, MissingDataError
from relatent.ledger.files import read_json
from relatent.ledger.lineage import ReceiptBook
from relatent.report.catalogue import TABLES, table_spec
from relatent.report.cells import VERDICTS, TableCell, Verdict, read_cells
from relatent.report.costs import phase_costs
from relatent.report.figure_catalogue import FIGURES
from relatent.report.lineage import Link, anchor_of, links_behind
from relatent.report.orderings import ARGUED, SHOWN
from relatent.report.orderings import COLUMNS as ORDERINGS
from relatent.report.render import STYLE, words
from relatent.report.slots_dcgan import FEATURE_UNITS
from relatent.report.slots_iwae import AGREEMENT, DIFFERENCE
from relatent.report.words import made_with

ONE_SEED = " (one seed each: what another training would change is not counted)"

DATA = "data_checks"  # its cells beside a paper's are sizes of the data, which nothing of ours could reproduce

PHASES = (
    "fetch",
    "prepare",
    "check_data",
    "dedup",
    "train_density",
    "evaluate_nll",
    "train_gan",
    "sample",
    "features",
    "probe",
    "tables",
    "figures",
)


@dataclass(frozen=True)
class ReportTable:
    """A table on the page: its name, the rendered HTML with links into this page."""

    name: str
    html: str


@dataclass(frozen=True)
class ReportFigure:
    """A figure on the page, with the image itself in the address."""

    name: str
    title: str
    caption: str
    data_url: str
    receipt: str


def report_page(study: str, settings_text: str, effort: str) -> str:
    """The whole page.

    Args:
        settings_text: the study's YAML as written.
        effort: of the study.

    Raises:
        MissingDataError: the study has neither tables nor figures.
    """
    folder = Path("results") / study
    tables = report_tables(folder)
    figures = report_figures(folder)
    if not tables and not figures:
        raise MissingDataError(
            f"{folder}: no tables and no figures yet. Run `snakemake phase_tables --configfile config/{study}.yaml`."
        )
    shown = {
        r for table in tables for group in re.findall(r'data-receipts="([^"]+)"', table.html) for r in group.split()
    }
    shown |= {figure.receipt for figure in figures}
    behind = links_behind(ReceiptBook.of_study(study), sorted(shown))
    costs = phase_costs(study, PHASES)
    return _template().render(
        study=study,
        effort=effort,
        style=STYLE,
        tables=tables,
        figures=figures,
        verdicts=verdict_counts(folder),
        sizes=sizes_as_published(folder),
        findings=findings(folder),
        costs=costs,
        total_s=sum(cost.seconds for cost in costs),
        settings_text=settings_text,
        links=sorted(behind, key=_by_phase),
        environments=environments(folder),
    )


def report_tables(folder: Path) -> list[ReportTable]:
    """Rendered tables in the order of the catalogue, their links turned into this page's anchors."""
    found = []
    for name in TABLES:
        path = folder / "tables" / f"{name}.html"
        if path.exists():
            body = re.search(r"<body>\n(.*)\n</body>", path.read_text(encoding="utf-8"), re.S)
            if body is None:
                raise DataIntegrityError(
                    f"{path}: not a page of relatent; run `snakemake {path} --configfile config/{folder.name}.yaml`"
                )
            found.append(ReportTable(name, _into_this_page(body[1])))
    return found


def _into_this_page(text: str) -> str:
    def anchored(match: re.Match[str]) -> str:
        first = html.unescape(match[1]).split()[0]
        return f'href="#{anchor_of(first)}" data-receipts="{match[1]}"'

    return re.sub(r'href="[^"]*" data-receipts="([^"]+)"', anchored, text)


def report_figures(folder: Path) -> list[ReportFigure]:
    """Figures in the order of the catalogue; captions from the catalogue and from the figure's receipt."""
    found = []
    for name, spec in FIGURES.items():
        path = folder / "figures" / f"{name}.png"
        receipt = path.with_name(f"{name}.receipt.json")
        if path.exists() and receipt.exists():
            settings = PageSettings.model_validate(read_json(receipt)["settings"])
            data = base64.b64encode(path.read_bytes()).decode()
            caption = f"{spec.caption}. Made with: {made_with(settings)}."
            found.append(ReportFigure(name, spec.title, caption, f"data:image/png;base64,{data}", receipt.as_posix()))
    return found


def verdict_counts(folder: Path) -> Mapping[str, int]:
    """How many cells have each verdict, over all tables, where the paper prints a number.

    Left out is what would count as a reproduction and is none: the sizes of the data, the widths of nets, and numbers
    of the paper that we have from memory. Orderings are findings.
    """
    counts: Counter[str] = Counter(
        cell.verdict
        for path in sorted((folder / "tables").glob("*.csv"))
        for cell in read_cells(path)
        if path.stem != DATA and cell.paper is not None and cell.column not in (*ORDERINGS, FEATURE_UNITS)
        if cell.paper_sureness != "unconfirmed"
    )
    return {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}


def sizes_as_published(folder: Path) -> tuple[int, int]:
    """How many datasets' sizes are those published, and of how many that can be said."""
    path = folder / "tables" / f"{DATA}.csv"
    beside = [c for c in read_cells(path) if c.paper is not None and c.ours is not None] if path.is_file() else []
    return sum(cell.verdict == "reproduced" for cell in beside), len(beside)


def findings(folder: Path) -> list[str]:
    """Plain sentences: orderings that were tested, agreement with exact values, paired differences."""
    sentences = []
    for path in sorted((folder / "tables").glob("*.csv")):
        all_cells = read_cells(path)
        measured = [cell for cell in all_cells if cell.ours is not None]
        title = table_spec(path.stem).title
        argued, shown = ([cell for cell in all_cells if cell.column == column] for column in (ARGUED, SHOWN))
        tested = [cell for cell in (*argued, *shown) if cell.ours_low is not None]
        if tested:
            one_seed = all(cell.n_seeds == 1 for cell in tested)
            sentences.append(f"{title}: {orderings_sentence(argued, shown, one_seed)}")
        exact = [cell for cell in measured if cell.column == AGREEMENT]
        if exact:
            agree = sum(cell.verdict == "reproduced" for cell in exact)
            sentences.append(
                f"{title}: L_5000 agrees with the exact log p(x), within three standard errors and its first-order "
                f"bias, on {agree} of {len(exact)} model{'s' if len(exact) > 1 else ''}."
            )
        variants = [cell for cell in measured if cell.column == DIFFERENCE]
        if variants:
            sentences.append(f"{title}: {variants_sentence(variants)}")
    for path in sorted((folder / "probe").glob("*/comparisons/comparisons.json")):
        sentences += [f"{path.parent.parent.name}: {comparison['sentence']}" for comparison in read_json(path)]
    return sentences


def variants_sentence(differences: Sequence[TableCell]) -> str:
    """How many other presets and estimators have an NLL that their interval puts below or above the default's."""
    ends = [(cell.ours_low or 0.0, cell.ours_high or 0.0) for cell in differences]
    counts = (
        (sum(high < 0 for _, high in ends), "below it"),
        (sum(low > 0 for low, _ in ends), "above it"),
        (sum(low <= 0 <= high for low, high in ends), "not to be told from it"),
    )
    fell = ", ".join(f"{count} {words}" for count, words in counts if count)
    known = ONE_SEED if all(cell.n_seeds == 1 for cell in differences) else ""
    return f"the NLL beside that of the default on the same images: {fell}{known}."


def orderings_sentence(argued: Sequence[TableCell], shown: Sequence[TableCell], one_seed: bool = False) -> str:
    """How the orderings fell that the paper argues, and those that its table shows besides.

    Args:
        one_seed: of each cell, so that only the choice of test images is counted.
    """
    words = _how_they_fell(argued, "ordering{} the paper argues")
    if shown:
        words += f"; {_how_they_fell(shown, 'more that its table shows')}"
    return f"{words}{ONE_SEED if one_seed else ''}."


def _how_they_fell(orderings: Sequence[TableCell], what: str) -> str:
    """Those that were not run, or could not be tested, are not passed over: one that holds is not one of one."""
    falls: dict[Verdict, tuple[str, str]] = {
        "reproduced": ("holds", "hold"),
        "inconclusive": ("is undecided", "are undecided"),
        "worse": ("is reversed", "are reversed"),
    }
    tested = Counter(cell.verdict for cell in orderings if cell.ours_low is not None)
    found = [(tested[verdict], words) for verdict, words in falls.items() if tested[verdict]]
    fell = ", ".join(f"{number} {one if number == 1 else several}" for number, (one, several) in found)
    count, n_tested = len(orderings), tested.total()
    of_all = f"of {count} {what.format('s')}"
    if n_tested == 0:
        return f"{of_all}, none could be tested"
    if count == 1:
        return f"the one {what.format('')} {found[0][1][0]}"
    if n_tested == count:
        return f"{of_all}, {fell}"
    if n_tested == 1:
        return f"{of_all}, the one that could be tested {found[0][1][0]}"
    return f"{of_all}, {n_tested} could be tested: {fell}"


def environments(folder: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Environment records of the study and of its data, by digest."""
    paths = [*sorted((folder / "environments").glob("*.json")), *sorted(Path("data/environments").glob("*.json"))]
    return [(path.stem, read_json(path)) for path in dict.fromkeys(paths)]


def _by_phase(link: Link) -> tuple[int, str]:
    parts = link.path.split("/")
    phase = {"raw": "fetch", "prepared": "prepare"}.get(parts[1], parts[2] if len(parts) > 2 else "")
    return (PHASES.index(phase) if phase in PHASES else len(PHASES), link.path)


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("relatent.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    environment.filters["words"] = words
    environment.filters["anchor"] = anchor_of
    return environment.get_template("report.html.j2")


def duration(seconds: float) -> str:
    """`3.2 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
