"""The receipts behind a page, laid out for reading: each with links to those of the jobs that made its inputs."""

from collections.abc import Iterable
from dataclasses import dataclass

from relatent.ledger.lineage import ReceiptBook
from relatent.ledger.receipts import Receipt


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


def links_behind(book: ReceiptBook, starts: Iterable[str]) -> list[Link]:
    """The receipts named and all that stand behind them, each once; one that is not there is left out."""
    found: dict[str, Link] = {}
    waiting = list(starts)
    while waiting:
        path = waiting.pop(0)
        if path in book.receipts and path not in found:
            receipt = book.receipts[path]
            makers = (book.makers[record.path] for record in receipt.inputs if record.path in book.makers)
            found[path] = Link(path, receipt, tuple(dict.fromkeys(makers)))
            waiting.extend(found[path].parents)
    return list(found.values())
