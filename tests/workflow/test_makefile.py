"""`make`, the first thing that a reader of the README runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_a_study_that_does_not_exist_is_named_before_the_environment_is_made(tmp_path):
    """Minutes of installing would come first, and a traceback of Snakemake's after them."""
    command = ["make", "STUDY=iwea", f"VENV={tmp_path / 'venv'}", "PYTHON=false"]
    # Under `make test` this would be a make within a make, which says so.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("config/iwea.yaml: no such study; config/ has ")
    assert " demo " in done.stderr
    assert done.stdout == ""
