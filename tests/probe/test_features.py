"""Features: what they hold, how many there are, and what they do not depend on."""

import numpy as np
import pytest
import torch

from relatent.data.streams import stream, stream_key
from relatent.models.dcgan import build_discriminator, build_generator, initialise
from relatent.models.dcgan_nets import net_named
from relatent.probe.baselines.components import fit_components
from relatent.probe.baselines.kmeans import (
    Dictionary,
    contrast_normalised,
    learn_dictionary,
    patches_of,
    standardise,
    triangle_features,
)
from relatent.probe.features import (
    discriminator_features,
    layer_sizes,
    pooled,
    reestimate_statistics,
)
from relatent.probe.pixels import filter_pictures, pixels


def some_images(n: int, channels: int = 1, side: int = 32) -> np.ndarray:
    return stream(0, "test images").integers(0, 256, (n, channels, side, side), dtype=np.uint8)


def small_net(seed: int = 0):
    net = build_discriminator("svhn32-w4", 1)
    initialise(net, torch.Generator().manual_seed(seed))
    return net


@pytest.mark.parametrize(("name", "count"), [("imagenet32", 28_672), ("svhn32", 7_168), ("lsun64", 30_720)])
def test_the_named_nets_give_the_papers_numbers_of_features(name, count):
    """28,672 is Table 1's; 7,168 is the released SVHN script's (specs, section 0, findings 1 and 3)."""
    net = net_named(name)
    assert net.feature_units == count
    x = torch.zeros(1, 3, net.side, net.side)
    with torch.no_grad():
        small = build_discriminator(f"{name}-w1", 3).train()
        got = sum(pooled(maps).shape[1] for maps in small.feature_maps(x.repeat(2, 1, 1, 1)))
    assert got * net.width == count


def test_pooling_takes_the_largest_of_each_window():
    """8x8 maps go to 4x4 by windows of 2; 4x4 and smaller maps stay."""
    maps = torch.arange(64.0).view(1, 1, 8, 8)
    assert pooled(maps)[0].tolist() == [
        maps[0, 0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].max() for y in range(4) for x in range(4)
    ]
    small = torch.randn(2, 3, 4, 4)
    assert torch.equal(pooled(small), small.flatten(1))


def test_features_do_not_depend_on_the_company_of_an_image():
    """With statistics fixed, an image's features are its own, whatever batch it is in."""
    images = some_images(40)
    net = small_net()
    reestimate_statistics(net, images, 16)
    together, alone = (np.empty((40, net.net.feature_units), np.float32) for _ in range(2))
    discriminator_features(net, images, together, 40)
    discriminator_features(net, images, alone, 7)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert sum(layer_sizes(net)) == net.net.feature_units


def test_statistics_are_the_average_over_minibatches_of_the_target():
    """Of the first normalised layer: the mean over batches of each batch's own moments."""
    images = some_images(48)
    net = small_net()
    reestimate_statistics(net, images, 16)
    with torch.no_grad():
        first = net.convs[0](torch.from_numpy(images).float() / 127.5 - 1)
        second = net.convs[1].layer(first)
    batches = [second[start::3] for start in range(3)]
    norm = net.convs[1].norm
    torch.testing.assert_close(
        norm.mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0), atol=1e-5, rtol=1e-4
    )
    variance = torch.stack([b.var((0, 2, 3), unbiased=False) for b in batches]).mean(0)
    torch.testing.assert_close(norm.variance, variance, atol=1e-5, rtol=1e-4)


def test_features_are_not_written_into_an_array_of_another_shape():
    net = small_net()
    with pytest.raises(ValueError, match="features, out is"):
        discriminator_features(net, some_images(3), np.empty((3, 5), np.float32), 3)


def test_the_random_discriminator_is_where_training_starts():
    """The control has the very weights that the training with its seed began with: the generator's are drawn first."""
    from relatent.training.gan_data import TrainingSet
    from relatent.training.gan_run import GanRun
    from relatent.training.gan_schedule import Schedule
    from relatent.training.gan_watch import Watch

    schedule = Schedule(
        epochs=1, decay_epochs=0, batch_size=4, learning_rate=2e-4, beta1=0.5, beta2=0.999, adam_eps=1e-8, l2=0.0,
        updates="both", z_prior="uniform", snapshot_epochs=(), history_every=1,
    )  # fmt: skip
    watch = Watch(patience=10, diversity_floor=0.1, won_d_loss=1e-3, grace_images=20_000)
    run = GanRun("svhn32-w4", TrainingSet(some_images(8), np.arange(8), None), schedule, 3, 1e-5, watch)
    rng = torch.Generator().manual_seed(stream_key(3, "initial weights") % 2**63)
    initialise(build_generator("svhn32-w4", 1), rng)
    net = build_discriminator("svhn32-w4", 1)
    initialise(net, rng)
    for name, tensor in run.discriminator.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name]), name


def test_pixels_run_from_minus_one_to_one():
    images = np.array([[[[0, 255]]]], np.uint8)
    assert pixels(images).tolist() == [[-1.0, 1.0]]


def test_all_components_keep_all_distances():
    """An orthonormal change of basis; fewer components keep the directions of largest variance."""
    data = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32) * np.arange(1, 7, dtype=np.float32)
    every = fit_components(data, 6)
    turned = every.transform(data)
    np.testing.assert_allclose(np.linalg.norm(turned[0] - turned[1]), np.linalg.norm(data[0] - data[1]), rtol=1e-5)
    assert every.explained == pytest.approx(1.0)
    assert (np.diff(turned.var(axis=0)) <= 1e-4).all()
    whitened = fit_components(data, 3, whiten=True).transform(data)
    np.testing.assert_allclose(np.cov(whitened, rowvar=False), np.eye(3) * 50 / 49, atol=1e-2)
    with pytest.raises(ValueError, match="components asked"):
        fit_components(data, 7)


def test_components_are_the_same_from_either_side():
    """Few images of many pixels and the same images with pixels repeated: images against images, or pixels."""
    data = np.random.default_rng(1).standard_normal((20, 30)).astype(np.float32) * np.arange(1, 31, dtype=np.float32)
    few = fit_components(data, 5)
    many = fit_components(np.repeat(data, 2, axis=0), 5)  # 40 images now: the other side
    np.testing.assert_allclose(np.abs(np.sum(few.axes * many.axes, axis=0)), np.ones(5), atol=1e-4)
    assert few.explained == pytest.approx(many.explained, rel=1e-4)


def test_triangle_code_is_its_definition():
    """f_k = max(0, mean distance - distance to k), summed over quadrants (Coates et al. 2011)."""
    rng = np.random.default_rng(0)
    images = some_images(2, channels=3, side=9)
    dictionary = Dictionary(
        4,
        rng.standard_normal(48).astype(np.float32),
        rng.standard_normal((48, 48)).astype(np.float32) / 7,
        rng.standard_normal((5, 48)).astype(np.float32),
    )
    found = np.empty((2, 20), np.float32)
    triangle_features(dictionary, images, found)
    for index, image in enumerate(images):
        expected = np.zeros((2, 2, 5))
        for y in range(6):
            for x in range(6):
                patch = image[:, y : y + 4, x : x + 4].astype(np.float64).reshape(-1)
                patch = (patch - patch.mean()) / np.sqrt(patch.var() + 10)
                white = (patch - dictionary.mean) @ dictionary.whitening
                distance = np.linalg.norm(white - dictionary.centroids, axis=1)
                expected[y // 3, x // 3] += np.maximum(0, distance.mean() - distance)
        np.testing.assert_allclose(found[index], expected.reshape(-1), rtol=1e-3, atol=1e-3)


def test_learned_centroids_are_means_of_what_is_nearest_to_them():
    """Two kinds of patches, two centroids: each ends at the mean of its kind."""
    images = np.zeros((40, 1, 8, 8), np.uint8)
    images[::2, :, :, ::2] = 200  # upright stripes
    images[1::2, :, ::2, :] = 200  # lying stripes
    dictionary = learn_dictionary(images, 4, 4, 400, 20, stream(0, "K-means"))
    patches = contrast_normalised(patches_of(images[:2], 4).reshape(-1, 16))
    white = (patches - dictionary.mean) @ dictionary.whitening
    nearest = ((white[:, None] - dictionary.centroids) ** 2).sum(-1).min(axis=1)
    assert nearest.max() < 1e-2  # stripes of either phase: four kinds, four centroids
    with pytest.raises(ValueError, match="cut more patches"):
        learn_dictionary(images, 50, 4, 20, 1, stream(0, "K-means"))


def test_standardising_uses_the_training_rows_alone():
    train, test = np.array([[0.0], [2.0]], np.float32), np.array([[3.0]], np.float32)
    standardise(train, test)
    np.testing.assert_allclose(test, [[2 / np.sqrt(1.01)]], rtol=1e-6)


def test_filters_are_shown_around_grey_by_their_own_largest_weight():
    """Zero is grey, the largest weight of each filter at an end of the scale, whatever its size."""
    weights = np.array([[0.0, 1.0, -0.5, 0.0], [-4.0, 0.0, 4.0, 2.0]], np.float32).reshape(2, 1, 2, 2)
    pictures = np.array(filter_pictures(weights))
    np.testing.assert_array_equal(pictures.reshape(2, 4), [[128, 255, 64, 128], [1, 128, 255, 192]])
    assert len(filter_pictures(np.ones((70, 3, 5, 5)))) == 64
