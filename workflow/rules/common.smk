# What the rules of every phase use: the checked study, settings as JSON, closed sets of wildcards.
import re

from relatent.bridge.adopted import refuse_other_settings
from relatent.config.registry import load_registry
from relatent.report.catalogue import TABLES
from relatent.report.figure_catalogue import FIGURES


def checked_study():
    """The study of this run, or exit 2 with one line per wrong key."""
    here = Path.cwd()
    files = [Path(file) for file in workflow.configfiles]
    shown = [
        path.relative_to(here) if path.is_relative_to(here) else path for path in files
    ]
    try:
        study = study_given(
            shown,
            config,
            known_datasets=load_registry().names(),
            pages={"tables": TABLES, "figures": FIGURES},
        )
        refuse_other_settings(study, str(shown[-1]))
    except RelatentError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    return study


def settings_json(settings):
    """A cell's settings as compact JSON for a command line."""
    return settings.model_dump_json()


def one_of(names):
    """A wildcard constraint that matches exactly these names; nothing if there are none."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def phase_files(phase):
    """All files that a phase makes, as its phony rule lists them."""
    return getattr(rules, f"phase_{phase}").input
