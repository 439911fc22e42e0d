"""What `adopt` says where DVC misses files."""

from pathlib import Path

import pytest

from relatent.bridge import states
from relatent.bridge.graph import StudyPlace
from relatent.errors import RelatentError

# As `dvc status --json` has it in a fresh clone.
STATUS = {
    "train_density": [
        {"changed deps": {f"data/prepared/digits/{name}.npy": "deleted" for name in ("train", "test")}},
        {"changed outs": {"results/demo/train_density/digits/vae-L1-k1/model.safetensors": "deleted"}},
        {"changed deps": {"results/demo/code/digests.json": {"train_density.code": "modified"}}},
        "changed command",
    ]
}


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A place where the graph is as rendered and DVC misses files."""
    monkeypatch.chdir(tmp_path)
    for name in ("study_graphs", "render", "_refresh_digests"):
        monkeypatch.setattr(states, name, lambda *arguments: {})
    monkeypatch.setattr(states, "differing", lambda rendered: [])
    monkeypatch.setattr(states, "dvc_status", lambda study: STATUS)
    Path(".dvc").mkdir()
    return tmp_path


def test_what_dvc_misses_is_said_in_lines(clone):
    """Stage, what has changed, and the first file whole, however many there are."""
    with pytest.raises(RelatentError) as refused:
        states.adopt(StudyPlace("demo"))
    assert str(refused.value).splitlines()[:5] == [
        "dvc sees changes:",
        "  train_density: changed deps: data/prepared/digits/train.npy (deleted) and 1 more",
        "  train_density: changed outs: results/demo/train_density/digits/vae-L1-k1/model.safetensors (deleted)",
        "  train_density: changed deps: results/demo/code/digests.json (train_density.code)",
        "  train_density: changed command",
    ]


def test_pulling_is_advised_only_where_there_is_a_remote(clone):
    """Without one, the study's own command makes the files."""
    with pytest.raises(RelatentError) as refused:
        states.adopt(StudyPlace("s"))
    assert "dvc pull" not in str(refused.value)
    assert "`snakemake --cores all --configfile config/s.yaml`; then `relatent sync s`" in str(refused.value)
    Path(".dvc/config").write_text("['remote \"folder\"']\n    url = ../remote\n")
    with pytest.raises(RelatentError, match="Run `dvc pull` for files that are missing"):
        states.adopt(StudyPlace("s"))
