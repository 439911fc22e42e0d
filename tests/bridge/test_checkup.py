"""`relatent doctor`: what is missing is said with what to do about it."""

import sys
from pathlib import Path

import pytest

from relatent.bridge import checkup
from relatent.bridge.checkup import Check
from relatent.bridge.programs import environment, run_program
from relatent.cli import doctor
from relatent.errors import MissingDataError, RelatentError
from relatent.ledger.work import BEGUN, FINISHED, Begun, key_of, key_parts


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A folder with a Snakefile and Git; torch is not imported and no program started, which takes seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELATENT_MIRROR", raising=False)
    monkeypatch.delenv("RELATENT_WORK", raising=False)
    Path("workflow").mkdir()
    Path("workflow/Snakefile").touch()
    Path(".git").mkdir()
    monkeypatch.setattr(checkup, "_torch", lambda: Check("torch", "ok", "2.13.0"))
    monkeypatch.setattr(checkup, "versions", lambda programs: dict.fromkeys(programs, "1.0"))
    return tmp_path


def found(name: str) -> Check:
    return next(check for check in checkup.check_machine() if check.name == name)


def test_whatever_is_not_in_order_has_a_remedy(machine, capsys):
    """A finding without a way out helps nobody; notes do not stop a study."""
    assert all(check.remedy for check in checkup.check_machine() if check.state != "ok")
    doctor.main([])
    assert "ok      python" in capsys.readouterr().out


def test_without_conda_the_way_without_it_is_named(machine, monkeypatch):
    """`--use-conda` dies in every job where no conda is on PATH, even without a `conda:` line."""
    monkeypatch.setenv("PATH", str(machine))
    conda = found("conda")
    assert conda.state == "note"
    assert "leave `--use-conda` away" in conda.remedy
    program = machine / "conda"
    program.write_text("#!/bin/sh\necho conda 23.1.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{machine}:/bin:/usr/bin")
    assert found("conda").remedy.startswith("`--use-conda` needs 24.7.1 or newer")


def test_a_mirror_that_is_no_folder_stops_a_study(machine, monkeypatch, capsys):
    """Exit 3 with its name; set right, its datasets are listed."""
    monkeypatch.setenv("RELATENT_MIRROR", "nowhere")
    with pytest.raises(MissingDataError, match="missing: mirror"):
        doctor.main([])
    (machine / "mirror/mnist").mkdir(parents=True)
    monkeypatch.setenv("RELATENT_MIRROR", "mirror")
    assert found("mirror").found == "mirror: mnist"
    monkeypatch.setenv("RELATENT_MIRROR", "https://example.org/data")
    assert found("mirror").state == "ok"


def test_an_old_python_and_a_wrong_folder_are_named(machine, monkeypatch):
    """Both are the first things that go wrong on a new machine."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 2, "final", 0))
    assert found("python") == Check("python", "missing", "3.10.2", "needs 3.11 or newer: `make PYTHON=python3.12`")
    Path("workflow/Snakefile").unlink()
    assert found("repository").state == "missing"


def test_the_run_cache_and_a_held_lock_are_noted(machine):
    """The first can bring back forgeries, the second stops the next run."""
    Path(".dvc/cache/runs").mkdir(parents=True)
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()
    assert found("run cache").state == "note"
    assert "--unlock" in found("lock").remedy


def test_scratch_is_safe_to_remove_only_without_checkpoints(machine):
    """Days of training may be in one; finished work is only kept to come back sooner."""
    parts = key_parts({}, [], "relatent.data.streams", "cpu", 1)
    done, begun = (Path(".relatent/work") / name for name in ("a" * 32, key_of(parts)))
    for folder in (done, begun):
        folder.mkdir(parents=True)
        (folder / "seed0.safetensors").write_bytes(b"state")
    (done / FINISHED).write_text("{}")
    (begun / FINISHED).write_text("{}")
    assert found("scratch").state == "ok"
    assert found("scratch").found.endswith("of finished work; safe to remove")
    (begun / FINISHED).unlink()
    assert found("scratch").found.endswith(f"checkpoints of unfinished work, 1 in all: {begun.name}")
    receipt = "results/iwae/train_density/mnist/iwae-L1-k50/receipt.json"
    described = Begun(receipt, "mnist/iwae-L1-k50", "relatent.data.streams", {}, parts, {})
    (begun / BEGUN).write_text(described.text())
    scratch = found("scratch")
    assert scratch.state == "note"
    assert scratch.found.endswith("1 in all: iwae/train_density/mnist/iwae-L1-k50")
    assert scratch.remedy.startswith("removing it loses them")


def test_versions_that_decide_numbers_are_graded_apart(machine):
    """Another numpy can change a number; another pytest cannot."""
    Path("constraints.txt").write_text("numpy==1.0.0\npytest==1.0.0\n")
    libraries = found("libraries")
    assert libraries.state == "note"
    assert "numpy" in libraries.found
    assert "pytest" not in libraries.found
    Path("constraints.txt").write_text("pytest==1.0.0\n")
    assert found("libraries").found.endswith("1 others differ without consequence for numbers")


def test_torch_is_tried_in_a_process_of_its_own():
    """A broken build can end the process that imports it."""
    assert checkup._torch().name == "torch"


def test_programs_are_found_beside_this_python_first():
    """So that our commands work without an activated environment, and a stage finds `snakemake`."""
    assert environment()["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert run_program("dvc", "--version").stdout[0].isdigit()
    with pytest.raises(MissingDataError, match="no-such-program: not found beside"):
        run_program("no-such-program")
    with pytest.raises(RelatentError, match=r"`git no-such-command` ended with exit code 1"):
        run_program("git", "no-such-command")
