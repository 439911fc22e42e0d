"""The probe section: what it resolves to, and what it refuses, by name."""

import pytest

from relatent.config.base import checked
from relatent.config.probe import ProbeSection
from relatent.errors import ConfigError

SECTION = {
    "run": ["digits32/pixels", "digits32/random", "digits32/dcgan"],
    "targets": {"digits32": {"few": {"labels_per_class": 10, "draws": 20}, "compare": [["dcgan", "random"]]}},
    "rows": {
        "pixels": {"kind": "pixels"},
        "random": {"kind": "discriminator", "weights": "random", "net": "svhn32-w16"},
        "dcgan": {"kind": "discriminator", "weights": "digits32/svhn32-w16"},
    },
}


def test_a_cell_gets_what_it_depends_on_and_no_more():
    """Another row or another pair to compare leaves a cell's settings, and so its receipt, alone."""
    section = checked(ProbeSection, SECTION, "demo.yaml")
    assert section.feature_settings_of("digits32/dcgan").row.net_name == "svhn32-w16"
    assert (
        section.feature_settings_of("digits32/dcgan").row.weights_file
        == "train_gan/digits32/svhn32-w16/model.safetensors"
    )
    assert section.feature_settings_of("digits32/random").row.weights_file is None
    assert "compare" not in section.settings_of("digits32/pixels").model_dump()
    assert section.compare_settings_of("digits32").pairs == [("dcgan", "random")]


def test_a_dear_rival_takes_part_in_the_first_draws_only():
    """Draw i is the same whoever uses it, so that its first draws are paired with everyone's."""
    rows = {**SECTION["rows"], "swwae": {"kind": "swwae", "draws": 3}, "knn": {"kind": "knn", "features": "pixels"}}
    section = checked(ProbeSection, changed(rows=rows, run=[*SECTION["run"], "digits32/swwae", "digits32/knn"]), "x")
    assert section.rival_settings_of("digits32/swwae").few.draws == 3
    assert section.rival_settings_of("digits32/knn").few.draws == 20
    assert section.rivals() == [("digits32", "swwae"), ("digits32", "knn")]
    assert ("digits32", "swwae") not in section.features(learned=False)


def test_layers_of_k_means_are_learned_features_with_the_papers_sizes():
    rows = {**SECTION["rows"], "kmeans-3layer": {"kind": "kmeans-layers"}}
    section = checked(ProbeSection, changed(rows=rows, run=[*SECTION["run"], "digits32/kmeans-3layer"]), "x")
    assert section.features(learned=True) == [("digits32", "kmeans-3layer")]
    assert ("digits32", "kmeans-3layer") in section.probed()
    row = section.feature_settings_of("digits32/kmeans-3layer").row
    assert [row.centroids, *(layer.fields * layer.centroids for layer in row.layers)] == [1600, 3200, 3200]
    assert {(layer.fields, layer.size) for layer in row.layers} == {(32, 200)}


def layered(**values):
    return changed(rows={**SECTION["rows"], "x": {"kind": "kmeans-layers", **values}})


def changed(**values):
    return {**SECTION, **values}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (changed(run=["digits32/pixels", "digits32/pixels"], targets={"digits32": {}}), "twice"),
        (changed(run=["pixels"]), "write <target>/<row>"),
        (changed(run=["svhn/pixels"]), "no target 'svhn'"),
        (changed(run=["digits32/knn"]), "no row 'knn'"),
        (changed(run=["digits32/pixels"]), "run has no digits32/"),
        (changed(targets={"digits32": {"C_values": [0.1, 0.1]}}), "a C twice"),
        (changed(targets={"digits32": {"C_values": [0.0]}}), "positive and finite"),
        (changed(targets={"digits32": {"C_values": []}}), "C_values is empty"),
        (changed(targets={"digits32": {"all_labels": False}}), "nothing to do"),
        (changed(targets={"digits32": {"curve": [1]}}), "curve needs few"),
        (changed(targets={"digits32": {"few": {"labels_per_class": 2, "draws": 3}}}), "honest_folds 5"),
        (changed(rows={**SECTION["rows"], "pixels": {"kind": "pixel"}}), "rows.pixels"),
        (changed(rows={**SECTION["rows"], "random": {"kind": "discriminator", "weights": "random"}}), "name of a net"),
        (changed(rows={**SECTION["rows"], "dcgan": {"kind": "discriminator", "weights": "svhn32"}}), "neither random"),
        (changed(colour="red"), "unknown key"),
        (
            changed(run=["digits32/knn"], targets={"digits32": {}}, rows={"knn": {"kind": "knn", "features": "x"}}),
            "uses few labels",
        ),
        (
            changed(
                run=["digits32/knn"],
                targets={"digits32": {"few": SECTION["targets"]["digits32"]["few"]}},
                rows={"knn": {"kind": "knn", "features": "knn"}},
            ),
            "no row that makes features",
        ),
        (layered(centroids=10), "layer 2: 32 fields of 200 are asked of 40 responses"),
        (layered(centroids=10, members="maps"), "are asked of 10 maps"),
        (layered(patches=100), "1600 centroids need as many patches; patches is 100"),
        (layered(layers=[{"pool": 3, "centroids": 500}], windows=400), "layer 2: 500 centroids of 400 windows"),
        (layered(layers=[]), "rows.x"),
        (layered(layers=[{"pool": 0}]), "pool"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(section, words):
    with pytest.raises(ConfigError) as caught:
        checked(ProbeSection, section, "demo.yaml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("demo.yaml: ")
