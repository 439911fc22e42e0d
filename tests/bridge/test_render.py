"""dvc.yaml as it is rendered from planned jobs; that DVC and Snakemake agree with it is tested in tests/workflow."""

import pytest
import yaml

from relatent.bridge.digests import significant, stage_digests
from relatent.bridge.graph import StudyPlace
from relatent.bridge.render import data_stages, render_data, render_study, study_stages
from relatent.errors import ConfigError
from relatent.ledger.jobs import PlannedJob

DEMO, OTHER = StudyPlace("demo"), StudyPlace("iwae_short")


def graph(study: str, dataset: str) -> list[PlannedJob]:
    prepared, cell = f"data/prepared/{dataset}", f"results/{study}/train_density/{dataset}/vae-L1-k1"
    command = "python -m relatent.cli.schema --settings '{}' > logs/x.log 2>&1"
    return [
        PlannedJob(f"fetch_{dataset}", (), (f"data/raw/{dataset}/a.gz", f"data/raw/{dataset}/receipt.json"), command),
        PlannedJob(
            "prepare", (f"data/raw/{dataset}/a.gz",), (f"{prepared}/a.npy", f"{prepared}/receipt.json"), command
        ),
        PlannedJob(
            "train_density",
            (f"{prepared}/a.npy", f"{prepared}/receipt.json"),
            (f"{cell}/model.npy", f"{cell}/history.csv", f"{cell}/metrics.json", f"{cell}/receipt.json"),
            command,
        ),
        PlannedJob("report", (f"{cell}/history.csv",), (f"results/{study}/report.html",), "touch"),
    ]


def cached(paths):
    return {path for path in paths if path.endswith((".npy", ".gz"))}


def test_a_stage_is_a_phase_with_all_its_files():
    """The report is no stage; what Git keeps has `cache: false`; nothing is `persist`; no core count, no digest."""
    stages = study_stages(DEMO, graph("demo", "digits"))
    text = render_study(DEMO, stages, cached)
    body = yaml.safe_load(text)
    assert list(body["stages"]) == ["code", "train_density"]
    train = body["stages"]["train_density"]
    assert train["cmd"] == "snakemake --allowed-rules train_density phase_train_density -- phase_train_density"
    cell = "results/demo/train_density/digits/vae-L1-k1"
    assert train["outs"] == [
        {f"{cell}/history.csv": {"cache": False}},
        f"{cell}/model.npy",
        {f"{cell}/receipt.json": {"cache": False}},
    ]
    assert train["metrics"] == [{f"{cell}/metrics.json": {"cache": False}}]
    assert train["deps"] == ["data/prepared/digits/a.npy", "data/prepared/digits/receipt.json"]
    assert train["params"] == [{"results/demo/code/digests.json": ["train_density"]}]
    assert body["plots"][0][f"{cell}/history.csv"]["x"] == "epoch"
    assert "persist" not in text
    assert "report" not in text


def test_another_study_names_its_config_and_its_root():
    """Its dvc.yaml lies beside its results, so that the top-level one stays the demo's."""
    stages = study_stages(OTHER, graph("iwae_short", "mnist"))
    body = yaml.safe_load(render_study(OTHER, stages, cached))
    train = body["stages"]["train_density"]
    assert train["wdir"] == "../.."
    assert train["cmd"].startswith("snakemake --configfile config/iwae_short.yaml --allowed-rules train_density")
    assert "config/iwae_short.yaml" in body["stages"]["code"]["deps"]


def test_shared_data_has_a_stage_per_dataset():
    """A clone that wants the demo does not fetch MNIST because another study is committed beside it."""
    graphs = {DEMO: graph("demo", "digits"), OTHER: [*graph("iwae_short", "mnist"), *graph("iwae_short", "digits")]}
    stages = data_stages(graphs)
    body = yaml.safe_load(render_data(list(graphs), stages, cached, private={"mnist"}))
    assert list(body["stages"]) == ["code", "fetch-digits", "fetch-mnist", "prepare-digits", "prepare-mnist"]
    digits, mnist = body["stages"]["fetch-digits"], body["stages"]["fetch-mnist"]
    assert digits["cmd"] == "snakemake --allowed-rules fetch_digits -- data/raw/digits/receipt.json"
    assert mnist["cmd"].startswith("snakemake --configfile config/iwae_short.yaml --allowed-rules fetch_mnist -- ")
    assert digits["outs"][0] == "data/raw/digits/a.gz"
    assert mnist["outs"][0] == {"data/raw/mnist/a.gz": {"push": False}}  # its terms forbid passing it on
    assert all(stage["wdir"] == ".." for stage in body["stages"].values())


def test_the_same_graph_gives_the_same_text():
    """Whatever the order in which Snakemake lists its jobs."""
    jobs = graph("demo", "digits")
    texts = {render_study(DEMO, study_stages(DEMO, order), cached) for order in (jobs, jobs[::-1])}
    assert len(texts) == 1


def test_digests_say_what_changed():
    """Settings, files and code have an entry each, so that `dvc status` shows which it was."""

    def digests(command: str, *more: str) -> dict[str, str]:
        job = PlannedJob("train_density", ("data/a", *more), ("results/d/train_density/x/m",), command)
        return stage_digests(study_stages(DEMO, [job]))["train_density"]

    base = digests("python -m relatent.cli.schema --k 1 > logs/a.log 2>&1")
    changed = {
        "settings": digests("python -m relatent.cli.schema --k 2 > logs/a.log 2>&1"),
        "files": digests("python -m relatent.cli.schema --k 1 > logs/a.log 2>&1", "data/b"),
    }
    assert set(base) == {"code", "rules", "files", "settings"}
    for name, other in changed.items():
        assert [key for key in base if base[key] != other[key]] == [name]
    assert digests("python -m relatent.cli.schema --k 1 > logs/b.log 2>&1") == base
    with pytest.raises(ConfigError, match="no such module"):
        digests("python -m relatent.cli.no_such_command")


def test_comments_in_rules_do_not_count():
    """By lines, without a tokenizer, whose output differs between Pythons."""
    assert significant("rule a: # why\n\n    # note\n    input: 1  \n") == "rule a: # why\n    input: 1"
