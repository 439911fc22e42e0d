"""A printed table as Markdown, LaTeX (booktabs) and HTML. Nothing is computed: text in, text out."""

import html
import os
import re
from collections.abc import Sequence
from pathlib import Path

from relatent.report.printed import PrintedCell, PrintedTable


def markdown(tables: Sequence[PrintedTable], title: bool = True) -> str:
    """GitHub-flavoured Markdown."""
    return "\n".join(_markdown_table(table, title) for table in tables)


def _markdown_table(table: PrintedTable, title: bool) -> str:
    heads = [f"{group} {heading}".strip() for group, heading in table.heads]
    stubs = [table.stub, *heads]
    if _grouped(table):
        stubs.insert(0, "")
    lines = [f"### {table.title}\n"] if title else []
    lines += [_pipes(stubs), "|" + "---|" * len(stubs)]
    for group, rows in table.groups:
        for index, (label, cells) in enumerate(rows):
            first = [group if index == 0 else ""] if _grouped(table) else []
            lines.append(_pipes([*first, label, *map(_markdown_cell, cells)]))
    lines += ["", f"{table.caption}", *(f"\n{note}" for note in table.notes), ""]
    return "\n".join(lines)


def _grouped(table: PrintedTable) -> bool:
    return any(heading for heading, _ in table.groups)


def _markdown_cell(cell: PrintedCell) -> str:
    ours = f"*{cell.ours}*" if cell.italic else cell.ours
    return "<br>".join(filter(None, (f"{ours} {cell.interval}".strip(), cell.beside)))


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def latex(tables: Sequence[PrintedTable]) -> str:
    """`table` environments for a document that loads booktabs; nothing else is needed."""
    return "\n".join(_latex_table(table) for table in tables)


def _latex_table(table: PrintedTable) -> str:
    width = len(table.heads)
    lines = [
        r"\begin{table}[tbp]",
        r"\centering\small",
        rf"\caption{{{_tex(table.caption)}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        r"\smallskip",
        rf"\begin{{tabular}}{{l{'c' * width}}}",
        r"\toprule",
    ]
    groups = [group for group, _ in table.heads]
    if any(groups):
        spans = [(group, groups.count(group)) for group in dict.fromkeys(groups)]
        lines.append(" & ".join(["", *(rf"\multicolumn{{{n}}}{{c}}{{{_tex(group)}}}" for group, n in spans)]) + r" \\")
        start = 2
        for _, n in spans:
            lines.append(rf"\cmidrule(lr){{{start}-{start + n - 1}}}")
            start += n
    lines += [" & ".join(map(_tex, [table.stub, *(heading for _, heading in table.heads)])) + r" \\", r"\midrule"]
    for number, (group, rows) in enumerate(table.groups):
        if number:
            lines.append(r"\addlinespace")
        if group:
            lines.append(rf"\multicolumn{{{width + 1}}}{{l}}{{\emph{{{_tex(group)}}}}} \\")
        for label, cells in rows:
            lines.append(" & ".join([_tex(label), *map(_latex_ours, cells)]) + r" \\")
            for part in ("interval", "beside"):
                small = [getattr(cell, part) for cell in cells]
                if any(small):
                    shown = (rf"{{\scriptsize {_tex(text)}}}" if text else "" for text in small)
                    lines.append(" & ".join(["", *shown]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        lines.append(rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {_tex(' '.join(table.notes))}}}")
    return "\n".join([*lines, r"\end{table}", ""])


def _latex_ours(cell: PrintedCell) -> str:
    return rf"\emph{{{_tex(cell.ours)}}}" if cell.italic else _tex(cell.ours)


_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "[": "{[}",
    "]": "{]}",
    "≥": r"$\geq$",
    "’": "'",
}


def _tex(text: str) -> str:
    escaped = "".join(_TEX.get(character, character) for character in text)
    return re.sub(r"\b([A-Z])\\_(\w+)", r"$\1_{\2}$", escaped)  # L_5000 as a mathematician writes it


def html_tables(tables: Sequence[PrintedTable], folder: Path) -> str:
    """HTML sections; each number links to the receipt behind it, relative to `folder`."""
    return "\n".join(_html_table(table, folder) for table in tables)


def _html_table(table: PrintedTable, folder: Path) -> str:
    groups = [group for group, _ in table.heads]
    lines = [
        f'<section class="table" id="{table.name}">',
        f"<h3>{words(table.title)}</h3>",
        '<div class="scroll"><table>',
        "<thead>",
    ]
    if any(groups):
        spans = "".join(
            f'<th colspan="{groups.count(group)}" scope="colgroup">{_esc(group)}</th>'
            for group in dict.fromkeys(groups)
        )
        lines.append(f"<tr><th></th>{spans}</tr>")
    heads = "".join(f'<th scope="col">{words(heading)}</th>' for _, heading in table.heads)
    lines += [f'<tr><th scope="col">{_esc(table.stub)}</th>{heads}</tr>', "</thead>"]
    for group, rows in table.groups:
        lines.append("<tbody>")
        if group:
            lines.append(
                f'<tr class="group"><th colspan="{len(table.heads) + 1}" scope="rowgroup">{_esc(group)}</th></tr>'
            )
        for label, cells in rows:
            body = "".join(_html_cell(cell, folder) for cell in cells)
            lines.append(f'<tr><th scope="row">{words(label)}</th>{body}</tr>')
        lines.append("</tbody>")
    lines += ["</table></div>", f'<p class="note">{words(table.caption)}</p>']
    lines += [*(f'<p class="note">{words(note)}</p>' for note in table.notes), "</section>"]
    return "\n".join(lines)


def _html_cell(cell: PrintedCell, folder: Path) -> str:
    ids = f' id="{cell.cell_ids[0]}" data-cells="{" ".join(cell.cell_ids)}"' if cell.cell_ids else ""
    ours = _esc(cell.ours)
    if cell.receipts:
        where = os.path.relpath(cell.receipts[0], folder)
        ours = f'<a href="{_esc(where)}" data-receipts="{_esc(" ".join(cell.receipts))}">{ours}</a>'
    elif cell.italic:
        ours = f"<em>{ours}</em>"
    small = [(name, getattr(cell, name)) for name in ("interval", "beside")]
    parts = [ours, *(f'<small class="{name}">{_esc(text)}</small>' for name, text in small if text)]
    return f"<td{ids}>{''.join(parts)}</td>"


def _esc(text: str) -> str:
    return html.escape(text, quote=True)


def words(text: str) -> str:
    """Escaped, with L_5000 as a mathematician writes it."""
    return re.sub(r"\b([A-Z])_(\w+)", r"\1<sub>\2</sub>", _esc(text))


STYLE = """\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--paper:#fff;--link:#0550ae}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--line:#3d444d;--paper:#0d1117;--link:#79b8ff}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem auto;
 max-width:72rem;padding:0 1rem}
a{color:var(--link)}
td a{text-decoration:none;border-bottom:1px dotted}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0}
th,td{padding:.35rem .8rem;text-align:center;vertical-align:top}
thead tr:first-child th{border-top:2px solid var(--ink)}
thead tr:last-child th{border-bottom:1px solid var(--ink)}
tbody:last-of-type tr:last-child>*{border-bottom:2px solid var(--ink)}
tbody tr+tr>*,tbody+tbody tr:first-child>*{border-top:1px solid var(--line)}
th[scope=row],th[scope=rowgroup],thead th:first-child{text-align:left}
th[scope=row]{font-weight:normal}
tr.group th{font-style:italic;font-weight:normal;color:var(--soft)}
td small{display:block;color:var(--soft);font-size:.75rem;white-space:nowrap}
.note{color:var(--soft);font-size:.875rem;margin:.25rem 0;max-width:60rem}
"""


def html_page(title: str, body: str) -> str:
    """A page of its own around rendered tables."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{_esc(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>\n{STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )
