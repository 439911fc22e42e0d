"""What `relatent plan` knows before anything was run."""

import subprocess
import sys

from relatent.cli.plan import n_images
from relatent.config.registry import load_registry


def test_sizes_of_a_split_are_known_before_its_images_are(tmp_path, monkeypatch):
    """A plan is for before the download: rows start to stop of a part, or all of it, as the registry says."""
    registry = load_registry()
    monkeypatch.chdir(tmp_path)
    assert n_images("mnist", registry) == {"train": 59_600, "validation": 400, "test": 10_000}
    assert n_images("binarized_mnist", registry) == {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert n_images("omniglot_rebuilt", registry) == {"train": 23_000, "validation": 1_345, "test": 8_115}


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
