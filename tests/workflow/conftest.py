"""The toy study, made once for all tests of the workflow."""

from pathlib import Path

import pytest
from filelock import FileLock
from toy_repo import Toy, build


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Path:
    """A folder that all test processes share, so that what is costly to make is made once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "toys"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def made(shared) -> Toy:
    """The toy made by a bare `snakemake`, recorded by `sync`, committed and pushed."""
    with FileLock(shared / "lock"):
        toy = Toy(shared / "made")
        if not (shared / "made.done").exists():
            build(toy.root)
            toy.snakemake()
            toy.relatent("sync", "demo")
            toy.commit("results")
            toy.run("dvc", "push", "-q")
            (shared / "made.done").touch()
    return toy


@pytest.fixture(scope="session")
def adopted(made, shared) -> Toy:
    """A clone of it, pulled and adopted: no history of its own, and an empty scratch before."""
    with FileLock(shared / "lock"):
        clone = Toy(shared / "adopted")
        if not clone.root.exists():
            made.clone(clone.root)
            clone.run("dvc", "pull", "-q")
            said = clone.relatent("adopt", "demo").stdout
            assert "2 finished works put back" in said
    return clone


@pytest.fixture
def toy(adopted, tmp_path) -> Toy:
    """A copy of the adopted clone, for one test to spoil."""
    return adopted.copy(tmp_path / "toy")
