"""Snakemake and DVC together, on a toy study with both tools for real.

Each test holds one thing that our code leans on and that was once seen to go wrong, so that an upgrade of either tool
tells us. The toy has the real graph's shape, our own package and our own profile (see toy_repo.py).
"""

import base64
import json
import os
from pathlib import Path

import pytest
from toy_repo import TABLE, Toy

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

WEIGHTS = "results/demo/train_density/digits/vae/model.npy"
METRICS = "results/demo/evaluate_nll/digits/vae/metrics.json"


def receipts(toy: Toy) -> dict[str, bytes]:
    found = sorted([*toy.root.glob("results/**/*receipt.json"), *toy.root.glob("data/*/*/receipt.json")])
    return {str(path.relative_to(toy.root)): path.read_bytes() for path in found}


def forge(path: Path) -> None:
    """Change a byte and set size and mtime back, as a careful hand would."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# Both front ends


def test_after_sync_neither_front_end_has_anything_to_do(made):
    """The study was made by Snakemake; DVC learned of it by `sync`."""
    assert made.wants() == set()
    assert made.repro() == set()
    assert made.dvc_clean()
    assert made.git_changes() == []
    assert not (made.root / ".dvc/cache/runs").exists()


def test_after_adopt_neither_front_end_has_anything_to_do(adopted, made):
    """The clone ran no job of a phase, and its receipts are byte for byte those that were committed."""
    assert adopted.wants() == set()
    assert adopted.dvc_clean()
    assert adopted.git_changes() == []
    assert receipts(adopted) == receipts(made)
    assert not list(adopted.root.glob(".snakemake/locks/*"))


def test_dvc_repro_in_a_clone_gives_the_same_receipts(made, tmp_path):
    """All stages run from nothing through DVC give the bytes that Snakemake alone gave; then both are content."""
    clone = made.clone(tmp_path / "clone")
    ran = clone.repro("--force", "--no-run-cache")
    assert ran == {"code", "fetch-digits", "prepare-digits", "train_density", "evaluate_nll", "tables"}
    assert receipts(clone) == receipts(made)
    assert clone.git_changes() == []
    assert clone.wants() == {"report"}
    clone.relatent("adopt", "demo")
    assert clone.wants() == set()


def test_the_rendered_stages_are_the_graph(made):
    """CI runs this on the real graph."""
    assert "as the graph renders" in made.relatent("dvc", "render", "--check", "demo").stdout


# What Snakemake is leaned on for


def test_the_default_profile_is_found(made):
    """Without it inputs over 1 MB get no checksum and are judged by mtime, silently."""
    name = base64.b64encode(WEIGHTS.encode()).decode()
    kept = json.loads((made.root / ".snakemake/metadata" / name).read_text())
    checksums = kept["input_checksums"]
    assert (made.root / "data/prepared/digits/train_images.npy").stat().st_size > 1_000_000
    assert checksums["data/prepared/digits/train_images.npy"]


def test_bare_snakemake_has_the_whole_graph_as_its_target(made):
    """An included file's default target is lost: `rule all` must stand in the top-level Snakefile."""
    assert made.wants("-F") == {"fetch", "prepare", "train_density", "evaluate_nll", "tables", "report"}


def test_two_configs_are_never_merged(made):
    """Snakemake merges `configfile:` with `--configfile` deeply; the demo's cells would get into the other study."""
    said = made.snakemake("-n", "-F", "--configfile", "config/other.yaml").stdout
    assert "/train_density/digits/other/" in said
    assert "digits/vae" not in said


def test_a_stage_makes_no_other_stages_files(made, tmp_path):
    """Without `--allowed-rules`, evaluating in a clone re-made the trainings inside the evaluation's stage."""
    clone = made.clone(tmp_path / "clone")
    clone.run("dvc", "pull", "-q")
    stage = ["--allowed-rules", "evaluate_nll", "phase_evaluate_nll", "--", "phase_evaluate_nll"]
    assert clone.wants(*stage) == {"evaluate_nll"}
    assert "train_density" in clone.wants("phase_evaluate_nll")


# What is edited, and what is made again


def test_a_comment_changes_nothing(toy):
    """Nor a docstring: Snakemake does nothing, DVC only looks at the digests again."""
    toy.edit("src/relatent/cli/toy_score.py", '"""Toy: one metric."""', '"""One metric."""  # a comment')
    assert toy.wants() == set()
    assert toy.repro() == {"code"}


def test_logic_makes_what_it_touches_and_both_front_ends_agree(toy, tmp_path):
    """Snakemake then sync here, dvc repro in a copy: the same stages, receipts and lock. Trainings are untouched."""
    toy.edit("src/relatent/cli/toy_score.py", "weights.mean()", "2 * weights.mean()")
    assert toy.wants() == {"evaluate_nll", "tables", "report"}
    other = toy.copy(tmp_path / "other")
    refused = toy.relatent("adopt", "demo", check=False)
    assert refused.returncode == 1
    assert "dvc sees changes" in refused.stderr
    assert "snakemake has" in toy.relatent("sync", "demo", check=False).stderr
    toy.snakemake()
    toy.relatent("sync", "demo")
    assert other.repro() == {"code", "evaluate_nll", "tables"}
    assert receipts(toy) == receipts(other)
    assert (toy.root / "dvc.lock").read_bytes() == (other.root / "dvc.lock").read_bytes()
    assert other.wants() == {"report"}


def test_one_changed_cell_trains_one_cell_through_dvc(toy):
    """DVC empties the whole stage; the other cell comes back from the scratch that `adopt` filled, with its bytes."""
    before = receipts(toy)
    toy.edit("config/demo.yaml", "scale: 2.0", "scale: 3.0")
    assert toy.repro() == {"code", "train_density", "evaluate_nll", "tables"}
    assert "trained" in (toy.root / "logs/demo/train_density/iwae.log").read_text()
    assert "taken from finished work" in (toy.root / "logs/demo/train_density/vae.log").read_text()
    changed = {path.split("/")[2:][-2] for path, content in receipts(toy).items() if before[path] != content}
    assert changed == {"iwae", "tables"}


def test_a_setting_of_the_evaluation_trains_nothing(toy):
    """The stages' parameters are the phase's own settings, not the whole config."""
    toy.edit("config/demo.yaml", "kind: mean", "kind: max")
    toy.run("dvc", "repro", "-s", "code", "data/dvc.yaml:code")
    assert set(json.loads(toy.run("dvc", "status", "--json").stdout)) == {"evaluate_nll"}


def test_a_cell_that_leaves_the_study_leaves_the_table(toy):
    """DVC does not notice a dependency that disappears; the list of files in the digests does."""
    assert "iwae NLL" in (toy.root / TABLE).read_text()
    toy.edit("config/demo.yaml", "  iwae: {seed: 1, scale: 2.0}\n", "")
    assert toy.relatent("dvc", "render", "--check", "demo", check=False).returncode == 1
    toy.relatent("dvc", "render", "demo")
    assert {"evaluate_nll", "tables"} <= toy.repro()
    assert "iwae NLL" not in (toy.root / TABLE).read_text()


# What is forged, and who refuses it


def test_forged_weights_are_refused_by_the_command_that_reads_them(toy):
    """Snakemake hashes no outputs: without the receipt check it would evaluate them."""
    forge(toy.root / WEIGHTS)
    (toy.root / METRICS).unlink()
    failed = toy.snakemake(check=False)
    assert failed.returncode != 0
    log = (toy.root / "logs/demo/evaluate_nll/vae.log").read_text()
    assert f"{WEIGHTS}: sha256 is" in log
    assert f"If Git keeps it, restore it with `git checkout -- {WEIGHTS}`; else remove it" in log
    (toy.root / WEIGHTS).unlink()
    toy.snakemake()
    assert toy.git_changes() == []


@pytest.mark.parametrize("path", [WEIGHTS, METRICS, TABLE])
def test_sync_and_adopt_bless_no_forgery(toy, path):
    """Size, mtime and, for DVC and Snakemake, all else is as before: both say there is nothing to do."""
    forge(toy.root / path)
    assert toy.wants() == set()
    for command in ("sync", "adopt"):
        refused = toy.relatent(command, "demo", check=False)
        assert refused.returncode == 1
        assert f"{path}: sha256 is" in refused.stderr or "dvc sees changes" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_dvc_makes_a_forged_result_again(toy):
    """Default outs: the stage is emptied before it runs, so the forgery cannot be recorded as current."""
    lock = (toy.root / "dvc.lock").read_bytes()
    toy.edit(METRICS, '"k": 5', '"k": 50')
    assert toy.repro() == {"evaluate_nll"}
    assert toy.git_changes() == []
    assert (toy.root / "dvc.lock").read_bytes() == lock


def test_the_run_cache_is_a_finding_and_sync_empties_it(toy):
    """`dvc commit` fills it and `dvc repro` reads it: a forged table once came back from there."""
    toy.run("dvc", "commit", "-f")
    assert (toy.root / ".dvc/cache/runs").exists()
    refused = toy.relatent("adopt", "demo", check=False)
    assert ".dvc/cache/runs: DVC's run cache can bring back a file that was forged" in refused.stderr
    toy.relatent("sync", "demo")
    assert not (toy.root / ".dvc/cache/runs").exists()


def test_adopt_in_a_clone_without_pull_says_to_pull(made, tmp_path):
    """`snakemake --touch` would exit 0 and bless tables whose weights are not there."""
    refused = made.clone(tmp_path / "clone").relatent("adopt", "demo", check=False)
    assert refused.returncode == 1
    assert "Run `dvc pull` for files that are missing" in refused.stderr


def test_a_study_that_does_not_exist_is_named(made):
    """Exit 3, the studies there are, no traceback."""
    for command in (["sync", "iwea"], ["adopt", "iwea"], ["dvc", "render", "iwea"]):
        refused = made.relatent(*command, check=False)
        assert refused.returncode == 3
        assert refused.stderr == "config/iwea.yaml: no such study; config/ has demo, other\n"


def test_another_study_has_its_own_stages_and_shares_the_data(toy):
    """Its dvc.yaml stands beside its results; the data's is one for all, and the demo's stays as it was."""
    demo = (toy.root / "dvc.yaml").read_text()
    toy.snakemake("--configfile", "config/other.yaml")
    toy.relatent("sync", "other")
    assert (toy.root / "dvc.yaml").read_text() == demo
    assert "wdir: ../.." in (toy.root / "results/other/dvc.yaml").read_text()
    assert toy.repro() == set()
    assert toy.repro("results/other/dvc.yaml") == set()
    assert toy.dvc_clean()
    assert toy.wants() == set()
