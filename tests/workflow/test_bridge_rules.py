"""What the bridge asks of every rule, read from the rules' text: quick, and on the real graph."""

import re
from pathlib import Path

import pytest

from relatent.ledger.code import module_file

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


def blocks() -> list[tuple[str, str]]:
    """(name, text) of each rule with a command."""
    found = []
    for path in RULES:
        for text in re.split(r"^(?=[ ]*rule\b)", path.read_text(), flags=re.MULTILINE)[1:]:
            if "shell:" in text:
                found.append((f"{path.stem}: {text.split(':')[0].strip()}", text))
    return found


@pytest.mark.parametrize(("name", "text"), blocks())
def test_a_rule_carries_the_digest_of_the_command_it_runs(name, text):
    """Snakemake does not see imported modules: a rule with another module's digest, or none, would go stale unseen."""
    commands = set(re.findall(r"-m\s+(relatent\.cli\.\w+)", text))
    if not commands or name.startswith("report"):
        return
    assert set(re.findall(r"code_digest\(\s*\"([\w.]+)\"", text)) == commands
    assert all(module_file(command) is not None for command in commands)


@pytest.mark.parametrize(("name", "text"), blocks())
def test_a_rule_says_what_a_stage_needs(name, text):
    """A receipt among the outputs, a log, no directory, nothing run inside Snakemake itself, threads from settings."""
    assert "log:" in text
    assert "directory(" not in text
    assert not re.search(r"^\s*(run|script):", text, flags=re.MULTILINE)
    deciding = text.replace("--workers {threads}", "")  # processes that read files side by side decide no byte
    assert "{threads}" not in deciding, "Snakemake shrinks it with --cores; torch's threads come from the settings"
    if not name.startswith("report"):
        assert re.search(r"receipt=.*receipt\.json", text)
        assert "--receipt {output.receipt}" in text


def test_every_phase_has_a_phony_rule():
    """It is the target of the phase's stage."""
    texts = "".join(path.read_text() for path in RULES)
    declared = re.search(r"PHASES = \((.*?)\)", (ROOT / "workflow/Snakefile").read_text(), flags=re.DOTALL)
    phases = re.findall(r'"(\w+)"', declared[1])
    assert {f"phase_{phase}" for phase in phases} == set(
        re.findall(r"^\s*rule (phase_\w+):", texts, flags=re.MULTILINE)
    )


def test_the_bridge_leans_on_the_default_profile():
    """Checksums for large files, and nothing site-specific, since it beats SNAKEMAKE_PROFILE key by key."""
    text = (ROOT / "profiles/default/profile.yaml").read_text()
    assert re.search(r"^max-checksum-file-size: \d+GB", text, flags=re.MULTILINE)
    assert not re.search(r"^(executor|jobs|default-resources):", text, flags=re.MULTILINE)
    assert not (ROOT / "workflow/profiles").exists(), "it would not be found beside the top-level Snakefile"


def test_dvc_keeps_copies_and_sends_nothing():
    """With links, a program that appends to an output in place would damage the cache."""
    text = (ROOT / ".dvc/config").read_text()
    assert "type = copy" in text
    assert "analytics = false" in text
    ignored = (ROOT / ".dvcignore").read_text()
    assert all(name in ignored for name in ("__pycache__", ".snakemake", ".relatent", "logs"))


@pytest.mark.parametrize("path", sorted(ROOT.glob("dvc.yaml")) + sorted(ROOT.glob("results/*/dvc.yaml")))
def test_no_rendered_stage_persists_its_outs(path):
    """`persist: true` would let DVC record a forged or stale file as current."""
    text = path.read_text()
    assert text.startswith("# Rendered from the Snakemake graph")
    assert "persist" not in text
    assert "--cores" not in text
