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
        return bool(self.findings) and not self.wrong

    @property
    def wrong(self) -> list[str]:
        """Files with something wrong about them, each once."""
        return list(dict.fromkeys(finding.path for finding in self.findings if finding.kind != NOT_MADE))

    @property
    def outcome(self) -> str:
        """In a word or two."""
        if not self.wrong:
            return "INCOMPLETE" if self.findings else "holds"
        unmade = any(finding.kind == NOT_MADE for finding in self.findings)
        return f"{len(self.wrong)} FOUND{', INCOMPLETE' if unmade else ''}"


def verdict_lines(study: str, levels: Sequence[Level]) -> Iterable[str]:
    """The verdict as a person reads it."""
    for level in levels:
        yield f"{level.name} {TITLES[level.name]}: {level.outcome} ({level.checked})"
        findings = sorted(level.findings, key=lambda finding: finding.kind == NOT_MADE)  # what is wrong comes first
        yield from (f"   {finding}" for finding in findings[:SHOWN])
        if len(level.findings) > SHOWN:
            yield f"   … and {len(level.findings) - SHOWN} more"
        yield from (f"   note: {note}" for note in level.notes)
    wrong = ", ".join(level.name for level in levels if level.wrong)
    unproven = ", ".join(level.name for level in levels if level.incomplete)
    if wrong:
        yield f"{study}: does NOT hold at {wrong}{f'; not proven at {unproven}' if unproven else ''}"
    elif unproven:
        yield f"{study}: NOT PROVEN at {unproven}: nothing here is wrong, but files are not here that Git does not keep"
    else:
        yield f"{study}: holds at {', '.join(level.name for level in levels)}"


def detection_power(checked: int, of: int, fraction: float = 0.1) -> str:
    """What checking some jobs of many can and cannot see."""
    if checked >= of:
        return f"all {of} jobs were made again"
    missed = (1 - fraction) ** checked
    return (
        f"{checked} of {of} jobs were made again, chosen by the commit's hash; if {fraction:.0%} of them were wrong, "
        f"this would miss it with chance {missed:.2f}"
    )
