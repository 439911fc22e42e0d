"""Terms that a publisher wants agreed to before a download: shown once, and the answer recorded, never assumed."""

import hashlib
import os
from pathlib import Path

from relatent.errors import ConfigError
from relatent.ledger.files import read_json, write_json

RECORD = Path(".relatent/consents.json")


def recorded(dataset: str, terms: str, record: Path = RECORD) -> bool:
    """Whether the user has agreed to these very terms."""
    agreed = read_json(record) if record.is_file() else {}
    return isinstance(agreed, dict) and agreed.get(dataset, {}).get("sha256") == _digest(terms)


def record_consent(dataset: str, terms: str, record: Path = RECORD) -> None:
    """Note that the user agreed."""
    agreed = read_json(record) if record.is_file() else {}
    write_json(record, {**agreed, dataset: {"terms": terms, "sha256": _digest(terms)}})


def check_consent(dataset: str, terms: str, record: Path = RECORD) -> None:
    """Refuse to go on without the user's word: recorded earlier, or in RELATENT_ACCEPT_TERMS (names, comma-separated).

    Raises:
        ConfigError: the terms, and how to agree to them.
    """
    if recorded(dataset, terms, record):
        return
    named = [name.strip() for name in os.environ.get("RELATENT_ACCEPT_TERMS", "").split(",")]
    if dataset in named:
        record_consent(dataset, terms, record)
        return
    raise ConfigError(
        f"{dataset}: its publisher's terms need your consent first: {terms} To agree, run `relatent fetch {dataset} "
        f"--accept-terms`, or set RELATENT_ACCEPT_TERMS={dataset}. The answer is kept in {record}."
    )


def _digest(terms: str) -> str:
    return hashlib.sha256(terms.encode()).hexdigest()
