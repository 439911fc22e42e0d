"""The chain behind one number of a table: cell, metric, evaluation, weights, prepared data, raw files."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from relatent.bridge.adopted import study_remedies
from relatent.bridge.graph import study_place
from relatent.cli.job import run
from relatent.errors import ConfigError, DataIntegrityError, RelatentError
from relatent.ledger.code import code_digest
from relatent.ledger.environment import environments_folder
from relatent.ledger.files import read_json
from relatent.ledger.lineage import (
    Cell,
    ReceiptBook,
    Step,
    find_cell,
    metrics_behind,
    plain,
    read_table,
    state_of,
    table_path,
)
from relatent.ledger.receipts import FileRecord, Receipt
from relatent.report.catalogue import TABLES
from relatent.report.orderings import COLUMNS as ORDERINGS
from relatent.report.orderings import verdict_words
from relatent.report.printed import as_the_paper


def main(argv: Sequence[str] | None = None) -> None:
    """Print the chain; every file on it is hashed against its receipt, and exit is 1 if one was changed."""
    parser = argparse.ArgumentParser(prog="relatent why", description=__doc__)
    parser.add_argument("study")
    parser.add_argument("table", help="e.g. iwae_table1_digits")
    parser.add_argument("row", help='e.g. "L1 k=50", as in the table\'s CSV, or "1 stochastic layer | 50", as printed')
    parser.add_argument("column", help='e.g. "IWAE NLL", as in the table\'s CSV, or "IWAE NLL (nats)", as printed')
    asked = parser.parse_args(argv)
    place = study_place(asked.study)
    remedies = study_remedies(place)
    path = table_path(place.name, asked.table)
    cells = _cells_at(asked.table, read_table(path, remedies), asked.row, asked.column)
    book = ReceiptBook.of_study(place.name, remedies)
    for cell in cells:
        print("\n".join(_heading(place.name, cell)))
    table_receipt = path.with_suffix(".receipt.json")
    changed = list(_files(book, table_receipt.as_posix(), path.as_posix()))
    for receipt in dict.fromkeys(receipt for cell in cells for receipt in cell.receipts):
        print()
        for cell in cells:
            print("\n".join(_metric_lines(cell, receipt, book) if receipt in book.receipts else ()))
        for line, record in _lines(book.chain(receipt), "", set()):
            print(line)
            if record is not None and _state(record) == "CHANGED":
                changed.append(record.path)
    if changed:
        lines = [f"{name}: not as the receipt says. {remedies.changed(name)}" for name in dict.fromkeys(changed)]
        raise DataIntegrityError("\n".join(["", *lines, "This number cannot be trusted."]))


def _cells_at(table: str, cells: Sequence[Cell], row: str, column: str) -> list[Cell]:
    """The cells at a place of a table, named as in its CSV or as on its page, where a place may join several.

    Raises:
        ConfigError: there is no such place; the message has the CSV's names.
    """
    spec = TABLES.get(table)
    columns: tuple[str, ...] = (column,)
    if spec is not None:
        if spec.transposed and plain(column) in {plain(cell.values["row"]) for cell in cells}:
            row, column = column, row
        for heading, prefix in spec.row_groups:
            if plain(row).startswith(f"{plain(heading)} "):
                row = prefix + plain(row).removeprefix(plain(heading)).strip()
        printed = {plain(f"{head.group} {head.heading}"): head.columns for head in spec.printed}
        columns = printed.get(plain(column), (column,))
    if plain(column) == "difference":  # as the page of a table's orderings heads it
        columns = ORDERINGS
    there = {plain(cell.values["column"]) for cell in cells if plain(cell.values["row"]) == plain(row)}
    return [find_cell(cells, row, name) for name in columns if plain(name) in there] or [find_cell(cells, row, column)]


def _heading(study: str, cell: Cell) -> Iterator[str]:
    values = cell.values
    yield f"{study} · {cell.table} · {values['row']} · {values['column']}"
    if values["ours"]:
        span = (
            f" (95 % {values['ours_low']} … {values['ours_high']}, {values['interval']})" if _has_span(values) else ""
        )
        yield f"  ours   {_ours(values['ours'], values.get('unit', ''))}{span}"
    else:
        yield f"  ours   {values.get('verdict') or 'no number'}"
    if values.get("paper"):
        yield f"  paper  {_paper(values['paper'], values.get('unit', ''))}"
    for key in ("verdict", "effort", "data", "preset", "cell_id"):
        if values.get(key):
            said = values[key]
            if key == "verdict":
                said = verdict_words(values["column"], said, bool(values.get("ours_low")))
            yield f"  {key:<6} {said}"
    if not cell.receipts:
        yield "  No receipt: nothing of ours is behind this cell."


def _ours(value: str, unit: str) -> str:
    """Our number with all its digits; of a whole number of units, as many as they are."""
    return f"{value.removesuffix('.0') if unit in ('units', 'count') else value} {unit}".rstrip()


def _paper(value: str, unit: str) -> str:
    """The paper's number with the digits it prints, 82.90 nats or 22.48 %."""
    text = as_the_paper(float(value), unit).replace("−", "-")
    return text if text.endswith("%") else f"{text} {unit}".rstrip()


def _has_span(values: Mapping[str, str]) -> bool:
    return bool(values.get("ours_low") and values.get("ours_high"))


def _files(book: ReceiptBook, receipt_path: str, path: str) -> Iterator[str]:
    """The table's own state; yields it if it was changed."""
    receipt = book.receipts.get(receipt_path)
    record = receipt.output(Path(path)) if receipt else None
    state = state_of(record) if record else "no receipt names it"
    print(f"  table  {path} ({state})")
    if state != "as recorded":
        yield path


def _metric_lines(cell: Cell, path: str, book: ReceiptBook) -> Iterator[str]:
    receipt = book.receipts[path]
    if any(record.path.endswith(".json") and _state(record) == "CHANGED" for record in receipt.outputs):
        return  # it may not be JSON any more; the lines below say that it was changed
    found = metrics_behind(cell, receipt)
    for file, name in found:
        metric = read_json(Path(file))[name]
        rest = {key: value for key, value in metric.items() if key != "value"} if isinstance(metric, dict) else {}
        yield f"metric {name} of {file}"
        if rest:
            yield f"  {_short(rest)}"
    if not found and cell.values["ours"]:
        others = [book.receipts[other] for other in cell.receipts if other != path and other in book.receipts]
        elsewhere = any(metrics_behind(cell, other) for other in others)
        yield f"{'its interval is ' if elsewhere else ''}computed from the metrics of {receipt.cell}"


def _lines(step: Step, indent: str, shown: set[str]) -> Iterator[tuple[str, FileRecord | None]]:
    """A step and those before it, indented; a step already shown is only named."""
    receipt = step.receipt
    if step.path in shown:
        yield f"{indent}└ {receipt.rule} · {receipt.cell} (as above)", None
        return
    shown.add(step.path)
    yield f"{indent}└ {receipt.rule} · {receipt.cell}", None
    inner = indent + "  "
    yield f"{inner}receipt      {step.path}", None
    yield f"{inner}command      {receipt.command}, code {receipt.code[:12]} ({_code_state(receipt)})", None
    yield f"{inner}settings     {_short(receipt.settings)}", None
    if receipt.seeds:
        yield f"{inner}seeds        {', '.join(map(str, receipt.seeds))}", None
    yield f"{inner}environment  {_environment(step)}", None
    for record in receipt.outputs:
        yield f"{inner}made         {_file(record)}", record
    for record in step.sources:
        yield f"{inner}read         {_file(record)}, a source in Git", record
    for before in step.before:
        yield from _lines(before, inner, shown)


def _file(record: FileRecord) -> str:
    return f"{record.path} ({record.size_bytes:,} bytes, sha256 {record.sha256[:12]}, {_state(record)})"


@cache
def _state(record: FileRecord) -> str:
    return state_of(record)


@cache
def _today(command: str) -> str | None:
    try:
        return code_digest(command)
    except ConfigError:
        return None


def _code_state(receipt: Receipt) -> str:
    return "today's" if _today(receipt.command) == receipt.code else "not today's"


def _environment(step: Step) -> str:
    receipt = step.receipt
    where = [receipt.device]
    if receipt.torch_threads is not None:
        where.append(f"{receipt.torch_threads} thread{'s' if receipt.torch_threads != 1 else ''}")
    try:
        record = read_json(environments_folder(Path(step.path)) / f"{receipt.environment[:16]}.json")
        versions = record["versions"]
        where += [
            f"Python {record['python']}",
            f"torch {versions['torch']}",
            f"numpy {versions['numpy']}",
            record["cpu"],
        ]
    except (RelatentError, KeyError, TypeError):
        where.append("its record is not here")
    return f"{receipt.environment[:12]}: " + ", ".join(where)


def _short(values: Mapping[str, Any]) -> str:
    """Settings on one line; long lists cut."""
    return ", ".join(f"{key}={_value(value)}" for key, value in values.items()) or "none"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + _short(value) + "}"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(map(_value, value[:6]))
        return f"[{shown}{', …' if len(value) > 6 else ''}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(run(main))
