"""What stands behind the numbers of a study: its receipts, and which made the inputs of which."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from relatent.errors import RelatentError
from relatent.ledger.receipts import Receipt, read_receipt


@dataclass(frozen=True)
class Link:
    """One receipt, and the receipts of the jobs that made its inputs."""

    path: str
    receipt: Receipt
    parents: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """Name of the receipt's place on a page."""
        return anchor_of(self.path)


def anchor_of(path: str) -> str:
    """`results/demo/probe/digits32/pca/receipt.json` → `receipt-results-demo-probe-digits32-pca-receipt-json`."""
    return "receipt-" + "".join(character if character.isalnum() else "-" for character in path)


def read_links(folders: Iterable[Path]) -> Mapping[str, Link]:
    """Every receipt below the folders, by path, in the order of the paths. A receipt that cannot be read is left out:
    the report is a view, the audit is what judges.
    """
    receipts: dict[str, Receipt] = {}
    for folder in folders:
        for path in sorted([*folder.rglob("receipt.json"), *folder.rglob("*.receipt.json")]):
            try:
                receipts[path.as_posix()] = read_receipt(path)
            except RelatentError:
                continue
    maker = {record.path: path for path, receipt in receipts.items() for record in receipt.outputs}
    return {
        path: Link(path, receipt, tuple(dict.fromkeys(maker[i.path] for i in receipt.inputs if i.path in maker)))
        for path, receipt in receipts.items()
    }


def chain(links: Mapping[str, Link], start: str) -> list[Link]:
    """A receipt and all that stand behind it, nearest first, each once."""
    found: dict[str, Link] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop(0)
        if path in links and path not in found:
            found[path] = links[path]
            waiting.extend(links[path].parents)
    return list(found.values())
