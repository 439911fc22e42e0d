"""What an audit says: per level what was checked, what was found, what it could not know."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from relatent.ledger.verify import Finding

SHOWN = 15  # findings of a level that are printed
NOT_MADE = "not made"  # kind of a finding: Git does not keep the file and it was not made here, so nothing is wrong yet

TITLES = {
    "L0": "inventory",
    "L1": "integrity",
    "L2": "tables and figures made again",
    "L3": "results measured again",
    "L4": "trained again, with an empty scratch",
}


@dataclass
class Level:
    """One level's outcome. `checked` is said in words; `notes` are no failures but should be known."""

    name: str
    checked: str = ""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def incomplete(self) -> bool:
        """Whether nothing was found but files that were not made here."""
        return bool(self.findings) and all(finding.kind == NOT_MADE for finding in self.findings)


def verdict_lines(study: str, levels: Sequence[Level]) -> Iterable[str]:
    """The verdict as a person reads it."""
    for level in levels:
        word = "holds" if level.passed else "INCOMPLETE" if level.incomplete else f"{len(level.findings)} FOUND"
        yield f"{level.name} {TITLES[level.name]}: {word} ({level.checked})"
        yield from (f"   {finding}" for finding in level.findings[:SHOWN])
        if len(level.findings) > SHOWN:
            yield f"   … and {len(level.findings) - SHOWN} more"
        yield from (f"   note: {note}" for note in level.notes)
    failed = [level for level in levels if not level.passed]
    names = ", ".join(level.name for level in failed or levels)
    if failed and all(level.incomplete for level in failed):
        yield f"{study}: NOT PROVEN at {names}: nothing here is wrong, but files are not here that Git does not keep"
    else:
        yield f"{study}: does NOT hold at {names}" if failed else f"{study}: holds at {names}"


def detection_power(checked: int, of: int, fraction: float = 0.1) -> str:
    """What checking some jobs of many can and cannot see."""
    if checked >= of:
        return f"all {of} jobs were made again"
    missed = (1 - fraction) ** checked
    return (
        f"{checked} of {of} jobs were made again, chosen by the commit's hash; if {fraction:.0%} of them were wrong, "
        f"this would miss it with chance {missed:.2f}"
    )
