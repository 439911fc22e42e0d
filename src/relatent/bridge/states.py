"""Keeps the two states honest: `sync` after a bare snakemake, `adopt` after dvc pull, checkout or repro in a clone.

Both verify every receipt first and act only on what passes; both end with the other front end at "nothing to do".
The order of the steps was tried out on a toy; a test runs each way of getting it wrong that was found there.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from relatent.bridge.adopted import adopted_settings
from relatent.bridge.digests import stage_digests
from relatent.bridge.graph import StudyPlace, expand, phase_targets
from relatent.bridge.programs import run_program
from relatent.bridge.render import (
    DATA_DIGESTS,
    DATA_FILE,
    data_stages,
    differing,
    render,
    study_graphs,
    study_stages,
    write_rendered,
)
from relatent.errors import DataIntegrityError, RelatentError
from relatent.ledger.files import write_json
from relatent.ledger.jobs import PlannedJob
from relatent.ledger.remedies import has_remote
from relatent.ledger.verify import Finding, refill_scratch, verify_jobs

RUN_CACHE = Path(".dvc/cache/runs")
SHOWN = 12  # findings printed in full

Say = Callable[[str], None]


def sync(study: StudyPlace, say: Say = print) -> None:
    """Make DVC agree with what a bare `snakemake` made.

    Raises:
        RelatentError: Snakemake still has something to do.
        DataIntegrityError: a file is not what its receipt says.
    """
    graphs = study_graphs(study)
    _none_of(stale_jobs(study), f"Run `{study.make}` first; sync records what is finished.")
    verified = verify_jobs(graphs[study], adopted=adopted_settings(study), make=study.make)
    refuse(verified.findings, "nothing was recorded")
    say(f"{len(verified.receipts)} receipts, {len(verified.hashed)} files verified")
    for path in write_rendered(render(study, graphs)):
        say(f"{path}: rendered anew; the graph has changed")
    # As the `code` stages would write them; the commit then records those stages with the others.
    write_json(Path(study.digests), stage_digests(study_stages(study, graphs[study])))
    write_json(Path(DATA_DIGESTS), stage_digests(data_stages(graphs)))
    run_program("dvc", "commit", "--quiet", "--force", DATA_FILE, study.dvc_file)
    empty_run_cache()
    left = dvc_status(study)
    if left:
        raise RelatentError(f"dvc still sees changes after the commit:\n{_listed(left)}")
    say("dvc: up to date")


def adopt(study: StudyPlace, say: Say = print) -> None:
    """Make Snakemake agree with files that came by Git and DVC.

    Raises:
        RelatentError: dvc.yaml is not the graph's, or DVC sees changes.
        DataIntegrityError: a file is not what its receipt says, or not of today's code and settings.
    """
    refuse(run_cache_findings(), "adopt stops before it trusts anything")
    graphs = study_graphs(study)
    wrong = differing(render(study, graphs))
    if wrong:
        raise RelatentError(f"{', '.join(wrong)}: not what the graph renders. Run `relatent dvc render {study.name}`.")
    _refresh_digests(study)
    left = dvc_status(study)
    if left:
        raise RelatentError(f"dvc sees changes:\n{_listed(left)}\n{_bring(study)}")
    verified = verify_jobs(graphs[study], adopted=adopted_settings(study), make=study.make)
    refuse(verified.findings, "nothing was adopted")
    say(f"{len(verified.receipts)} receipts, {len(verified.hashed)} files verified")
    filled = refill_scratch(verified.receipts.values())
    say(f"{filled} finished works put back into scratch")
    touch(study)
    say("snakemake: nothing to do")


def touch(study: StudyPlace) -> None:
    """Record in Snakemake's metadata that what is there is current, and make what no stage makes, such as the report.

    Only for what was verified just before: Snakemake would record it, true or not.
    """
    quiet = ("--cores", "1", "--quiet", "all")
    run_program("snakemake", *study.configfile, "--touch", "--forceall", *quiet, "--", *phase_targets())
    left = expand(study, ["all"], force=False)
    _none_of([job for job in left if job.phase is not None], "This should not be; please report it.")
    views = sorted({job.rule for job in left})
    if views:
        run_program("snakemake", *study.configfile, *quiet, "--allowed-rules", *views, "--", *views)


def refuse(findings: Sequence[Finding], consequence: str) -> None:
    """Raise if there are findings, naming each, the kinds of them and what did not happen."""
    findings = [finding for finding in findings if not finding.again]
    if not findings:
        return
    lines = [str(finding) for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        lines.append(f"… and {len(findings) - SHOWN} more")
    raise DataIntegrityError("\n".join([*lines, f"{len(findings)} findings: {consequence}."]))


def run_cache_findings() -> list[Finding]:
    """DVC's run cache can bring a forged file back after a `dvc commit` (DESIGN 4.2)."""
    if not RUN_CACHE.exists():
        return []
    message = "DVC's run cache can bring back a file that was forged and then committed. Remove the folder."
    return [Finding("run cache", RUN_CACHE.as_posix(), message)]


def empty_run_cache() -> None:
    """Remove DVC's run cache."""
    shutil.rmtree(RUN_CACHE, ignore_errors=True)


def dvc_status(study: StudyPlace) -> dict[str, Any]:
    """What DVC would do for a study and the shared data, by stage; {} if nothing."""
    done = run_program("dvc", "status", "--json", DATA_FILE, study.dvc_file)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "{}")
    return found


def stale_jobs(study: StudyPlace) -> list[PlannedJob]:
    """Jobs of the phases that Snakemake would run now."""
    return expand(study, force=False)


def _none_of(left: Sequence[PlannedJob], remedy: str) -> None:
    if left:
        first = f"{left[0].outputs[0]} ({left[0].reason})" if left[0].reason else left[0].outputs[0]
        raise RelatentError(f"snakemake has {len(left)} jobs to do, such as {first}. {remedy}")


def _refresh_digests(study: StudyPlace) -> None:
    run_program("dvc", "repro", "--quiet", "--single-item", f"{DATA_FILE}:code", f"{study.dvc_file}:code")


def _bring(study: StudyPlace) -> str:
    """What brings the files that DVC misses."""
    if has_remote():
        return (
            "Run `dvc pull` for files that are missing, or `dvc repro --pull --allow-missing` where code or settings "
            "are newer than the results; then adopt again."
        )
    return (
        f"DVC has no remote here to pull files from. Make what is missing or older than code and settings with "
        f"`{study.make}`; then `relatent sync {study.name}` records it, and nothing is left to adopt."
    )


def _listed(status: dict[str, Any]) -> str:
    """DVC's status in lines: stage, what has changed, its first file and how many more."""
    lines = []
    for stage, changes in status.items():
        for change in changes if isinstance(changes, list) else [changes]:
            kinds = change.items() if isinstance(change, dict) else [(str(change), {})]
            lines += [f"  {stage}: {kind}{_first(found)}" for kind, found in kinds]
    return "\n".join([*lines[:SHOWN], *([f"  … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])])


def _first(found: Any) -> str:
    if not isinstance(found, dict) or not found:
        return f": {found}" if found else ""
    (path, state), *rest = found.items()
    said = ", ".join(state) if isinstance(state, dict) else str(state)  # of parameters: by their names
    return f": {path} ({said})" + (f" and {len(rest)} more" if rest else "")
