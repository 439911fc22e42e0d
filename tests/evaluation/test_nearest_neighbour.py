"""1-NN trained on samples: the streamed search is the plain one, and a checkpoint leaves no trace."""

import numpy as np
import pytest
import torch

from relatent.evaluation.nearest_neighbour import Nearest, error_of_real, errors_by_samples
from relatent.models.dcgan import build_generator, estimate_statistics, initialise
from relatent.training.gan_data import draw_labels, draw_z


def real(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8), rng.integers(0, 10, count)


@pytest.fixture
def generator():
    net = build_generator("mnist_conditional-w2", 1)
    initialise(net, torch.Generator().manual_seed(0))
    estimate_statistics(net, [(draw_z(0, "r", 64, net.net, "uniform"), draw_labels(0, "r", 64, net.net))])
    return net


def test_streamed_nearest_is_the_plain_nearest():
    tests, images = real(40, 0)[0], real(90, 1)[0]
    labels = torch.arange(90)
    nearest = Nearest.of(tests)
    for part in torch.arange(90).split(7):
        nearest.add(torch.from_numpy(images)[part], labels[part])
    plain = torch.cdist(torch.from_numpy(tests).flatten(1).double(), torch.from_numpy(images).flatten(1).double())
    assert torch.equal(nearest.label, plain.argmin(1))


def test_real_images_classify_themselves():
    """Tested on its own training images, 1-NN makes no error; at half of them it must."""
    images, labels = real(60, 0)
    assert error_of_real(images, labels, images, labels, 60, seed=0) == 0
    assert 0.2 < error_of_real(images, labels, images, labels, 30, seed=0) < 0.6
    with pytest.raises(ValueError, match="60 real training images, not 61"):
        error_of_real(images, labels, images, labels, 61, seed=0)


def test_counts_are_nested_and_a_checkpoint_leaves_no_trace(generator, tmp_path, monkeypatch):
    """The first n of more samples are the n samples alone, so 50k and 10M come from one pass."""
    monkeypatch.setattr("relatent.evaluation.nearest_neighbour.BLOCK", 50)
    tests, labels = real(30, 0)
    both = errors_by_samples(generator, tests, labels, [100, 2600], 0, "uniform")
    assert errors_by_samples(generator, tests, labels, [100], 0, "uniform") == {100: both[100]}
    checkpoint = tmp_path / "nearest.safetensors"
    errors_by_samples(generator, tests, labels, [100, 2500], 0, "uniform", checkpoint)  # leaves one at 2,500
    assert checkpoint.exists()
    assert errors_by_samples(generator, tests, labels, [100, 2600], 0, "uniform", checkpoint)[2600] == both[2600]
