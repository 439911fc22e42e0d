"""K-means in layers: the similarity finds what belongs together, and the code is its definition, image by image."""

import numpy as np
import pytest

from relatent.data.streams import stream
from relatent.probe.baselines import kmeans_layers
from relatent.probe.baselines.kmeans import learn_dictionary, standardise, triangle_features
from relatent.probe.baselines.kmeans_layers import (
    LayeredNet,
    LayerPlan,
    average_pooled,
    feature_counts,
    layer_code,
    layered_features,
    learn_net,
    quadrant_sums,
    receptive_fields,
    squared_similarity,
    standardise_rows,
    windows_of,
)

PLANS = (LayerPlan(3, 2, 3, 5, 4), LayerPlan(2, 2, 2, 6, 3))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return stream(0, "test images").integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)


def a_net(images: np.ndarray, plans=PLANS, seed: int = 0) -> LayeredNet:
    first = learn_dictionary(images, 7, 6, 300, 3, stream(seed, "K-means"))
    return learn_net(images, first, plans, n_images=8, n_windows=200, iterations=3, seed=seed)


@pytest.fixture(scope="module")
def net(images) -> LayeredNet:
    return a_net(images)


def planted(windows: int = 20_000, groups: int = 4, size: int = 5) -> np.ndarray:
    """Responses of shared size within a group and signs of their own: uncorrelated, yet dependent."""
    rng = np.random.default_rng(0)
    sizes = np.repeat(rng.gamma(1.0, 1.0, (windows, groups)), size, axis=1)
    return (sizes * rng.choice([-1, 1], (windows, groups * size)) * rng.uniform(0.5, 1.5, sizes.shape)).astype("f4")


def test_groups_that_share_their_size_alone_are_found():
    """Plain correlation sees nothing in them; that of squares does, and every seed gets its own group."""
    responses = planted()
    plain = np.corrcoef(responses, rowvar=False) - np.eye(20)
    assert np.abs(plain).max() < 0.05
    shuffled = np.random.default_rng(1).permutation(20)
    fields = receptive_fields(responses[:, shuffled], 12, 5, stream(0, "receptive fields"))
    groups = shuffled[fields] // 5
    assert (groups == groups[:, :1]).all()
    assert set(groups[:, 0]) == {0, 1, 2, 3}


def test_similarity_is_that_of_the_whitened_pair():
    """The moments' way is the direct one: whiten the pair by its own covariance, correlate the squares."""
    rng = np.random.default_rng(2)
    responses = np.exp(0.7 * rng.standard_normal((5000, 4)) @ rng.standard_normal((4, 4))).clip(0, 20).astype("f4")
    found = squared_similarity(responses, np.array([2, 0]))
    z = (responses - responses.mean(axis=0, dtype="f8")) / responses.std(axis=0, dtype="f8")
    for row, j in enumerate((2, 0)):
        for k in {0, 1, 2, 3} - {j}:
            values, axes = np.linalg.eigh(np.cov(z[:, [j, k]], rowvar=False, bias=True))
            pair = z[:, [j, k]] @ (axes / np.sqrt(values)) @ axes.T
            assert found[row, k] == pytest.approx(np.corrcoef(pair**2, rowvar=False)[0, 1], abs=2e-3)


def test_a_response_that_never_varies_is_no_seed_and_comes_last():
    responses = planted(2000)
    responses[:, :3] = 1
    fields = receptive_fields(responses, 17, 17, stream(0, "receptive fields"))
    assert not np.isin(fields, [0, 1, 2]).any()
    with pytest.raises(ValueError, match="18 receptive fields of 5 asked of 20 responses, 17 of which vary"):
        receptive_fields(responses, 18, 5, stream(0, "receptive fields"))


def test_a_later_layers_code_is_its_definition(images, net):
    """Window by window and field by field: even contrast, whiten, then max(0, mean distance - distance)."""
    layer = net.later[0]
    below = average_pooled(net.maps(images[0])[0], 3)
    assert below.shape == (9, 9, 7)
    np.testing.assert_allclose(below[1, 2], net.maps(images[0])[0][3:6, 6:9].mean(axis=(0, 1)), rtol=1e-5)
    found = layer_code(layer, below)
    assert found.shape == (8, 8, 3 * 4)
    for y in (0, 3, 7):
        for x in (0, 5, 7):
            window = below[y : y + 2, x : x + 2].reshape(-1).astype(np.float64)
            expected = []
            for field in range(3):
                part = window[layer.members[field]]
                part = (part - part.mean()) / np.sqrt(part.var() + layer.contrast[field, 0, 0])
                white = (part - layer.mean[field, 0]) @ layer.whitening[field]
                distance = np.linalg.norm(white - layer.centroids[field], axis=1)
                expected.append(np.maximum(0, distance.mean() - distance))
            np.testing.assert_allclose(found[y, x], np.concatenate(expected), rtol=1e-3, atol=1e-3)


def test_the_first_layer_is_the_one_layer_row(images, net):
    """The same dictionary gives the same features, before anything is stacked on them."""
    expected = np.empty((3, 4 * 7), np.float32)
    triangle_features(net.first, images[:3], expected)
    found = np.stack([quadrant_sums(net.maps(image)[0]) for image in images[:3]])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_an_images_features_do_not_depend_on_its_company(images, net):
    """Bit for bit, so that any part of a set can be made by itself; all layers stand side by side."""
    counts = feature_counts(net, images[0])
    assert counts == [4 * 7, 4 * 12, 4 * 6]
    together, alone = np.empty((12, sum(counts)), np.float32), np.empty((2, sum(counts)), np.float32)
    layered_features(net, images, together)
    layered_features(net, images[5:7], alone)
    np.testing.assert_array_equal(together[5:7], alone)
    last = np.empty((12, 24), np.float32)
    layered_features(net, images, last, joined=False)
    np.testing.assert_array_equal(last, together[:, -24:])


def test_rows_taken_some_at_a_time_leave_no_trace(monkeypatch):
    """Standardised features and similarities are those of all rows at once, up to rounding."""
    rng = np.random.default_rng(3)
    train, test = rng.gamma(2, 1, (70, 5)).astype("f4"), rng.gamma(2, 1, (30, 5)).astype("f4")
    expected, similarity = (train.copy(), test.copy()), squared_similarity(train, np.arange(5))
    standardise(*expected)
    monkeypatch.setattr(kmeans_layers, "BLOCK_ROWS", 16)
    np.testing.assert_allclose(squared_similarity(train, np.arange(5)), similarity, atol=1e-4)
    standardise_rows(train, test)
    np.testing.assert_allclose(train, expected[0], atol=1e-5)
    np.testing.assert_allclose(test, expected[1], atol=1e-5)


def test_a_seed_decides_every_layer(images, net):
    again, other = a_net(images), a_net(images, seed=1)
    for name in ("members", "contrast", "mean", "whitening", "centroids"):
        for layer, same in zip(net.later, again.later, strict=True):
            np.testing.assert_array_equal(getattr(layer, name), getattr(same, name))
    assert any((a.members != b.members).any() for a, b in zip(net.later, other.later, strict=True))


def test_whole_maps_are_members_at_every_position_of_the_window(images):
    net = a_net(images, [LayerPlan(3, 2, 3, 4, 4, whole_maps=True)])
    members = net.later[0].members
    assert members.shape == (3, 4 * 4)
    maps = members.reshape(3, 4, 4) % 7
    assert (maps == maps[:, :1]).all()
    places = np.arange(2 * 2 * 7).reshape(1, 1, -1)
    np.testing.assert_array_equal(windows_of(places.repeat(2, 0).repeat(2, 1)[..., :7], 2)[0] % 7, places[0, 0] % 7)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (LayerPlan(14, 2, 2, 2, 2), "layer 2 has windows of 2 positions a side on maps of 1; pool less"),
        (LayerPlan(3, 2, 40, 2, 2), "40 receptive fields of 2 asked of 28 responses"),
        (LayerPlan(3, 2, 2, 2, 300), "300 centroids asked"),
    ],
)
def test_what_does_not_fit_is_said(images, plan, words):
    with pytest.raises(ValueError, match=words):
        a_net(images, [plan])
