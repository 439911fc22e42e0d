"""What `relatent plan` knows before anything was run."""

import subprocess
import sys

from relatent.bridge.cost import Cost
from relatent.cli.plan import n_images, time_to_do
from relatent.config.registry import load_registry
from relatent.ledger.jobs import PlannedJob


def test_sizes_of_a_split_are_known_before_its_images_are(tmp_path, monkeypatch):
    """A plan is for before the download: rows start to stop of a part, or all of it, as the registry says."""
    registry = load_registry()
    monkeypatch.chdir(tmp_path)
    assert n_images("mnist", registry) == {"train": 59_600, "validation": 400, "test": 10_000}
    assert n_images("binarized_mnist", registry) == {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert n_images("omniglot_rebuilt", registry) == {"train": 23_000, "validation": 1_345, "test": 8_115}


def test_no_time_is_told_of_jobs_whose_cost_is_not_known():
    """About 0 s would read as nothing to wait for."""
    fetch = Cost(PlannedJob("fetch", (), ("data/raw/x/a",)), None, None)
    table = Cost(PlannedJob("table", (), ("results/s/tables/t.csv",)), None, None)
    train = Cost(PlannedJob("train", (), ("results/s/train_density/x/m",)), None, 120.0, measured=True)
    nobody_knows = "2 jobs of fetch, tables, of which no time is known before they have run here"
    assert list(time_to_do([fetch, table], 2)) == [f"to do: {nobody_knows}"]
    assert list(time_to_do([fetch, table, train], 2)) == [
        "to do: about 2 min on 2 cores for 1 of 3 jobs, good to a factor of two; 1 were timed here before",
        f"not counted: {nobody_knows}",
    ]
    assert next(iter(time_to_do([train], 2))).startswith("to do: about 2 min on 2 cores for all jobs, good to")
    assert list(time_to_do([], 2)) == ["to do: nothing"]


def test_a_reader_that_leaves_early_gets_no_traceback():
    """`relatent … | head -1`: the pipe is closed while lines are still to be printed."""
    program = (
        "import sys; from relatent.cli.job import run\n"
        "def main(argv): [print('line', flush=True) for _ in range(100_000)]\n"
        "sys.exit(run(main))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141
