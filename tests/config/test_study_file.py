"""What only the file of a study can tell, and not the values that Snakemake makes of it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relatent.config.study import Study
from relatent.config.study_file import study_given
from relatent.errors import ConfigError
from relatent.report.catalogue import TABLES
from relatent.report.figure_catalogue import FIGURES

ROOT = Path(__file__).parents[2]
DATASETS = list(yaml.safe_load((ROOT / "data/registry.yaml").read_text())["datasets"])
DEMO = (ROOT / "config/demo.yaml").read_text()


def given(files: list[Path], **overrides: object) -> Study:
    """As Snakemake reads it: the last of two keys wins, the last of two files, and --config over all."""
    values: dict[str, object] = {}
    for file in files:
        values |= yaml.safe_load(file.read_text())
    return study_given(files, values | overrides, DATASETS, {"tables": TABLES, "figures": FIGURES})


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def refused(path: Path, **overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        given([path], **overrides)
    return str(caught.value)


def dry_run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "-n", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_key_given_twice_is_refused_though_the_merged_values_are_sound(tmp_path):
    """Snakemake's own reader takes the last one; a study of two minds would run, and hours later say nothing of it."""
    path = written(tmp_path / "demo.yaml", DEMO + "\neffort: demo\n")
    line = len(DEMO.splitlines()) + 2
    assert f"key 'effort' is given twice in \"{path}\", line {line}" in refused(path)


def test_two_files_are_refused(tmp_path):
    """They would be merged, cell by cell; config/README.md promises that they never are."""
    files = [written(tmp_path / f"{name}.yaml", DEMO) for name in ("demo", "more")]
    with pytest.raises(ConfigError, match=r"demo\.yaml, .*more\.yaml would be merged into one; give one file"):
        given(files)


def test_a_study_is_named_like_its_file(tmp_path):
    """A copy that kept its old name would write into the other study's results."""
    message = refused(written(tmp_path / "v2.yaml", DEMO))
    assert f"{tmp_path / 'v2.yaml'}: study: 'demo' is not the name of the file, 'v2'" in message
    assert f"write `study: v2` or rename the file to {tmp_path / 'demo.yaml'}" in message
    assert given([written(tmp_path / "demo.yaml", DEMO)]).study == "demo"


def test_no_advice_to_overwrite_another_study(tmp_path):
    """Beside the original, a forgetful copy can only change its name."""
    written(tmp_path / "demo.yaml", DEMO)
    message = refused(written(tmp_path / "v2.yaml", DEMO))
    assert message.endswith("write `study: v2`")


def test_a_file_whose_name_no_study_can_have_is_renamed(tmp_path):
    """`study: v2-big` would be refused in turn."""
    assert refused(written(tmp_path / "v2-big.yaml", DEMO)).endswith(
        f"'v2-big'; rename the file to {tmp_path / 'demo.yaml'}"
    )


def test_settings_may_be_overridden_and_the_name_may_not(tmp_path):
    """With another name, results/ would hold a study without a YAML, which no command could read again."""
    path = written(tmp_path / "demo.yaml", DEMO)
    assert given([path], effort="short").effort == "short"
    message = refused(path, study="other")
    assert "--config study=other" in message
    assert f"copy the file to {tmp_path / 'other.yaml'} with `study: other`" in message


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_that_ships_is_taken(path):
    """Each of its pages and cells is there."""
    assert given([path]).study == path.stem


def test_an_unknown_table_or_figure_is_named_with_its_key_and_file(tmp_path):
    """In Snakemake it would come up as an exception of a rule, without the YAML's name."""
    path = written(tmp_path / "demo.yaml", DEMO)
    lines = refused(path, tables=["dedup", "iwae_diagnostic"], figures=["sample_density"]).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{path}: tables: unknown table 'iwae_diagnostic'; there are ")
    assert "iwae_diagnostics" in lines[0]
    assert lines[1].startswith(f"{path}: figures: unknown figure 'sample_density'; there are ")
    assert "samples_density" in lines[1]


def adopt_without_data(values: dict) -> None:
    """An adopted cell is not trained here, so its dataset need not be listed, until something else asks for it."""
    values["density"]["adopted"] = ["mnist/vae-L1-k1"]
    values["sample"]["run"].append("mnist/vae-L1-k1")
    values["evaluate_nll"]["train_minus_test"]["run"] = ["digits/vae-L1-k1"]


STRANGERS = {
    "a discriminator that is not trained": (
        lambda v: v["probe"]["rows"]["dcgan"].update(weights="digits32/svhn32-w17"),
        "probe.rows.dcgan.weights: digits32/svhn32-w17: neither in gan.run nor in gan.adopted; list it there first",
    ),
    "an autoencoder that is not trained": (
        lambda v: v["probe"]["rows"]["autoencoder"].update(weights="digits"),
        "probe.rows.autoencoder.weights: digits: not in dedup.run; list it there first",
    ),
    "samples of no cell": (
        lambda v: v["sample"]["run"].append("digits/vae-L1-k9"),
        "sample.run: digits/vae-L1-k9: neither run nor adopted in density or gan; list it there first",
    ),
    "a classifier of no cell": (
        lambda v: v["sample"].update(nearest_neighbour=["digits32/mnist_conditional-w8"]),
        "sample.nearest_neighbour: digits32/mnist_conditional-w8: neither in gan.run nor in gan.adopted; "
        "list it there first",
    ),
    "exact models of no dataset": (
        lambda v: v["exact"].update(dataset="digit"),
        "exact.dataset: digit: not in data.run, digits, photos, digits32; correct the name, or add it there",
    ),
    "images that are not prepared": (
        adopt_without_data,
        "sample.run: mnist/vae-L1-k1: needs the images of mnist, which data.run does not list; add it there",
    ),
}


@pytest.mark.parametrize("mistake", STRANGERS)
def test_a_cell_or_dataset_that_the_study_lacks_is_named_with_its_key_and_file(mistake, tmp_path):
    """Snakemake would list files that no rule makes, and not say which key asks for them."""
    change, line = STRANGERS[mistake]
    values = yaml.safe_load(DEMO)
    change(values)
    path = written(tmp_path / "demo.yaml", yaml.safe_dump(values))
    assert refused(path) == f"{path}: {line}"


def test_a_row_that_is_not_run_may_name_what_is_not_there(tmp_path):
    """Nothing is made of it; so a study can keep its rows while cells come and go."""
    values = yaml.safe_load(DEMO)
    values["probe"]["rows"]["later"] = {"kind": "discriminator", "weights": "digits32/svhn32-w17"}
    given([written(tmp_path / "demo.yaml", yaml.safe_dump(values))])


@pytest.mark.workflow
def test_snakemake_refuses_a_key_given_twice(tmp_path):
    """The check stands where every run begins: exit 2, file and line, no traceback."""
    path = written(tmp_path / "demo.yaml", DEMO + "\neffort: demo\n")
    done = dry_run("--configfile", str(path))
    assert done.returncode == 2
    assert "key 'effort' is given twice" in done.stderr
    assert "Traceback" not in done.stderr
