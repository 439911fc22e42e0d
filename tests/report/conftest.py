"""A made-up study in a temporary repository root, and the table command run on it."""

import shutil
import sys
from pathlib import Path

import pytest

from relatent.cli import figure, table
from relatent.config.report import PageSettings
from relatent.report.catalogue import compared_sources, table_sources, table_spec
from relatent.report.cells import read_cells
from relatent.report.figure_catalogue import figure_spec
from relatent.report.sources import folder_of, receipt_name

sys.path.insert(0, str(Path(__file__).parent))

import made_up

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def made_up_study(tmp_path_factory):
    """A repository root with the cells of a made-up demo study, made once."""
    root = tmp_path_factory.mktemp("made_up")
    (root / "data").mkdir()
    (root / "data/reference").symlink_to(REPOSITORY / "data/reference")
    for name in (
        "density",
        "exact",
        "dedup",
        "probe",
        "filters",
        "prepared",
        "trained",
        "pictures",
        "conditional",
        "arithmetic",
        "guided",
        "ablation",
        "posteriors",
    ):
        getattr(made_up, f"make_{name}")(root)
    return root


@pytest.fixture
def root(made_up_study, tmp_path, monkeypatch):
    """A copy of the made-up study; the working directory of the test."""
    shutil.copytree(made_up_study, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


CELLS = [
    *(f"prepared/{dataset}" for dataset in ("digits", "photos")),
    *(f"dedup/{dataset}" for dataset in ("photos", "digits32")),
    *(f"evaluate_nll/digits/{cell}" for cell in made_up.DENSITY),
    *(f"evaluate_nll/exact/{model}" for model in made_up.EXACT),
    *(f"probe/digits32/{row}" for row in made_up.PROBE),
    "evaluate_nll/digits/vae-L1-k1/annealing",
    *(f"sample/digits/{cell}" for cell in made_up.DENSITY),
    *(f"sample/digits/{cell}" for cell in made_up.TWO_LATENTS),
    "sample/digits32/svhn32-w16",
    *(f"sample/cifar10/{net}" for net in ("svhn32-w16", "svhn32-w16-nobn", "svhn32-w16-relu")),
    "sample/mnist/mnist_conditional-w16/nearest_neighbour",
    "sample/mnist/mnist_conditional-w16/arithmetic",
    "sample/digits32/svhn32-w16/guided",
]


def make_table(name, cells=CELLS, effort="demo", study="demo", presets=None, adopted=()):
    """Run the table command in the working directory; return the cells of its CSV."""
    sources = table_sources(name, cells)
    folders = [Path(folder_of(study, source)) for source in sources]
    of_data = {folder for folder in folders if "prepared" in folder.parts}
    metrics = [f / ("checks.json" if f in of_data else "metrics.json") for f in folders]
    receipts = [path.with_name(receipt_name(path.name)) for path in metrics]
    more = {"presets": {s: p for s, p in (presets or {}).items() if s in sources}, "adopted": list(adopted)}
    settings = PageSettings(name=name, study=study, effort=effort, sources=sources, **more)
    out = Path(f"results/{study}/tables")
    spec = table_spec(name)
    per_image = [Path(folder_of(study, source)) / "per_image.npz" for source in compared_sources(name, sources)]
    arguments = ["--cell", name, "--settings", settings.model_dump_json(), "--metrics", *metrics]
    arguments += ["--per-image", *per_image, "--reference", *spec.references(sources)]
    arguments += ["--receipts", *receipts]
    for kind in ("csv", "md", "tex", "html"):
        arguments += [f"--{kind}", out / f"{name}.{kind}"]
    arguments += ["--receipt", out / f"{name}.receipt.json"]
    table.main([str(argument) for argument in arguments])
    return read_cells(out / f"{name}.csv")


TRAINED = [
    *CELLS,
    *(f"train_density/digits/{cell}" for cell in made_up.DENSITY),
    "train_gan/digits32/svhn32-w16",
    *(f"probe_pictures/digits32/{row}" for row in ("random", "dcgan")),
    *(f"features/digits32/{row}" for row in ("kmeans", "random", "dcgan")),
]


def make_figure(name, cells=TRAINED, study="demo", out=None):
    """Run the figure command in the working directory; return the folder of its files."""
    wanted = figure_spec(name).files(cells)
    sources = list(dict.fromkeys(source for source, _ in wanted))
    settings = PageSettings(name=name, study=study, effort="demo", sources=sources)
    out = out or Path(f"results/{study}/figures")
    arguments = ["--cell", name, "--settings", settings.model_dump_json()]
    arguments += ["--files", *(Path(folder_of(study, source)) / file for source, file in wanted)]
    arguments += ["--receipts", *(Path(folder_of(study, source)) / receipt_name(file) for source, file in wanted)]
    for kind in ("png", "pdf", "csv"):
        arguments += [f"--{kind}", out / f"{name}.{kind}"]
    arguments += ["--receipt", out / f"{name}.receipt.json"]
    figure.main([str(argument) for argument in arguments])
    return out
