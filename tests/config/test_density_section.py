"""The density section: names of cells, settings of a cell, and one sentence per mistake."""

import pytest

from relatent.config.base import checked
from relatent.config.density import DensityCell, DensityCellName, DensitySection
from relatent.errors import ConfigError


def section(*run, **other) -> DensitySection:
    return DensitySection(run=list(run), **{"stages": 4, **other})


def test_an_empty_section_has_no_cells():
    """A study without density models needs no settings for them."""
    assert DensitySection().cells() == []


def test_a_cells_settings_are_its_names_and_the_sections():
    """Objective, layers and k come from the name; schedule, seeds and threads from the section."""
    cell = section("digits/iwae-L2-k50", seeds=[3, 1], threads=2).settings_of("digits/iwae-L2-k50")
    assert (cell.objective, cell.layers, cell.k) == ("iwae", 2, 50)
    assert (cell.stages, cell.epochs, cell.seeds, cell.threads) == (4, None, [3, 1], 2)
    assert (cell.preset, cell.estimator, cell.latents, cell.switched) == ("paper", "plain", None, False)


def test_settings_of_one_cell_do_not_depend_on_the_other_cells():
    """Or a new cell in the list would re-train the old ones."""
    one, two = section("a/vae-L1-k1"), section("a/vae-L1-k1", "a/vae-L1-k5", adopted=["a/iwae-L1-k5"])
    assert one.settings_of("a/vae-L1-k1") == two.settings_of("a/vae-L1-k1")


def test_suffixes_say_what_departs_from_the_section():
    """Preset, estimator, two latent dimensions, switch."""
    cells = section("m/iwae-L1-k5-code-dreg", "m/iwae-L1-k50-2d", "m/vae-L1-k1", "m/vae-L1-k1-to-iwae-k50")
    assert cells.settings_of("m/iwae-L1-k5-code-dreg").preset == "code"
    assert cells.settings_of("m/iwae-L1-k5-code-dreg").estimator == "dreg"
    assert cells.settings_of("m/iwae-L1-k50-2d").latents == [2]
    switched = cells.settings_of("m/vae-L1-k1-to-iwae-k50")
    assert (switched.objective, switched.k, switched.switched) == ("iwae", 50, True)
    assert cells.starts_from("m/vae-L1-k1-to-iwae-k50") == "m/vae-L1-k1"
    assert cells.starts_from("m/vae-L1-k1") is None


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("digits/vae-L1", "not the name of a density cell"),
        ("digits/vae-L3-k5", "not the name of a density cell"),
        ("vae-L1-k5", "not the name of a density cell"),
        ("digits/iwae-L1-k0", "k is 0; a bound needs at least one sample"),
        ("digits/vae-L1-k1-to-iwae-k0", "k is 0"),
        ("digits/iwae-L1-k1", "IWAE with k=1 is the VAE"),
        ("digits/vae-L1-k5-fast", "suffix 'fast' is unknown"),
        ("digits/vae-L1-k5-stl-kl", "two presets or two estimators"),
        ("digits/vae-L1-k5-dreg", "DReG of the VAE's bound is STL"),
        ("digits/iwae-L1-k5-kl", "analytic KL belongs to the VAE's bound"),
        ("digits/vae-L1-k5-kl-to-iwae-k5", "analytic KL belongs to the VAE's bound"),
        ("digits/iwae-L1-k5-dreg-to-vae-k5", "DReG of the VAE's bound is STL"),
        ("digits/vae-L2-k5-2d", "of one-layer models"),
    ],
)
def test_a_wrong_name_is_one_sentence(cell, sentence):
    """The sentence names the cell and the remedy."""
    with pytest.raises(ConfigError, match=sentence) as error:
        checked(DensitySection, {"run": [cell], "stages": 4}, "study.yaml")
    assert str(error.value).startswith("study.yaml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("objective", "estimator", "other"), [("vae", "dreg", "iwae"), ("iwae", "kl", "vae")])
def test_settings_by_hand_are_refused_in_the_words_of_the_name(objective, estimator, other):
    """An estimator of the other bound would train another thing than it is called."""
    values = {"objective": objective, "layers": 1, "k": 5, "stages": 4, "seeds": [0], "estimator": estimator}
    with pytest.raises(ConfigError) as by_hand:
        checked(DensityCell, values, "--settings")
    with pytest.raises(ValueError) as by_name:
        DensityCellName.parse(f"digits/{objective}-L1-k5-{estimator}")
    sentence = str(by_hand.value).removeprefix("--settings: (top level): ")
    assert str(by_name.value) == f"digits/{objective}-L1-k5-{estimator}: {sentence}"
    assert checked(DensityCell, values | {"objective": other}, "--settings").estimator == estimator


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seeds": [0, 1, 0]}, "seeds: 0 is given twice"),
        ({"seeds": [-1]}, "seeds: one is negative"),
        ({"run": ["a/vae-L1-k1", "a/vae-L1-k1"]}, "a/vae-L1-k1 is listed twice"),
        ({"run": ["a/vae-L1-k1", "a/vae-L1-k1-paper"]}, "a/vae-L1-k1-paper is a/vae-L1-k1 by another name"),
        ({"run": ["a/vae-L1-k05"]}, "not the name of a density cell"),
        ({"adopted": ["a/vae-L1-k1"]}, "a/vae-L1-k1 is listed twice"),
        ({"epochs": 5}, "give either stages or epochs"),
        ({"stages": None}, "give either stages or epochs"),
        ({"stages": 9}, "less than or equal to 8"),
        ({"run": ["a/vae-L1-k1-to-iwae-k5"]}, "goes on from a/vae-L1-k1, which is listed neither"),
        ({"sseds": [0]}, "unknown key"),
    ],
)
def test_a_wrong_section_is_one_sentence(values, sentence):
    """A seed twice, a cell twice, no schedule or two, a switch from nowhere, a misspelt key."""
    with pytest.raises(ConfigError, match=sentence):
        checked(DensitySection, {"run": ["a/vae-L1-k1"], "stages": 4, **values}, "study.yaml")


@pytest.mark.parametrize("estimator", ["stl", "dreg", "single", "kl"])
def test_an_estimator_of_the_cpu_is_not_sent_to_a_gpu(estimator):
    """All seeds at once know the plain one only: told when the study is read, not when the job starts on the GPU."""
    cell = f"m/{'vae' if estimator == 'kl' else 'iwae'}-L1-k5-{estimator}"
    values = {"run": ["m/vae-L1-k1", cell], "stages": 4, "device": "cuda"}
    with pytest.raises(ConfigError, match=rf"study.yaml: .*{cell}: the estimator {estimator} .* device: cpu, or under"):
        checked(DensitySection, values, "study.yaml")
    assert checked(DensitySection, values | {"device": "cpu"}, "study.yaml").settings_of(cell).estimator == estimator
    elsewhere = checked(DensitySection, values | {"run": ["m/vae-L1-k1"], "adopted": [cell]}, "study.yaml")
    assert elsewhere.settings_of(cell).estimator == estimator


def test_a_switch_may_start_from_an_adopted_cell():
    """Its files are there, in Git, with their receipt."""
    cells = section("m/vae-L1-k1-to-iwae-k50", adopted=["m/vae-L1-k1"])
    assert cells.cells() == ["m/vae-L1-k1-to-iwae-k50"]


def test_every_name_the_paper_needs_is_a_name():
    """Table 1 and 3: 2 objectives, 2 depths, 3 k, where k = 1 is one cell."""
    names = [
        f"mnist/{o}-L{n}-k{k}" for o in ("vae", "iwae") for n in (1, 2) for k in (1, 5, 50) if (o, k) != ("iwae", 1)
    ]
    assert len(names) == 10
    assert all(DensityCellName.parse(name).estimator == "plain" for name in names)
