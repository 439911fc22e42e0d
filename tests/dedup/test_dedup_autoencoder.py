"""The autoencoder: the paper's shape, the same bits whenever it was interrupted, codes that know a copy."""

import numpy as np
import pytest
import torch

from relatent.dedup.codes import distances, pack_bits
from relatent.errors import TrainingError
from relatent.models.autoencoder import Autoencoder
from relatent.training.autoencoder import encoded_bits, fit_autoencoder
from relatent.training.runtime import configure_torch

SETTINGS = {
    "code_units": 128,
    "masking_noise": 0.3,
    "dropout": 0.5,
    "learning_rate": 1e-3,
    "batch_size": 32,
    "epochs": 4,
    "seed": 0,
}


def digits() -> np.ndarray:
    """300 real digits, uint8 (300, 1, 8, 8)."""
    from sklearn.datasets import load_digits

    return np.rint(load_digits().images[:300, None] * (255 / 16)).astype(np.uint8)


def test_the_network_is_3072_128_3072():
    """Radford et al. 2016, sec. 3.1, for 32x32 colour: two layers, untied."""
    model = Autoencoder(3 * 32 * 32)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes == {
        "encoder.weight": (128, 3072),
        "encoder.bias": (128,),
        "decoder.weight": (3072, 128),
        "decoder.bias": (3072,),
    }


def test_brightness_added_to_a_picture_changes_no_bit():
    """An image's own mean is taken away first."""
    model = Autoencoder(64)
    model.initialise(torch.Generator().manual_seed(0))
    images = torch.from_numpy(digits() // 2)
    torch.testing.assert_close(model.pixels(images), model.pixels(images + 60))


@pytest.mark.parametrize("stop", [1, 3])
def test_a_fit_resumed_after_any_epoch_ends_in_the_same_bits(stop):
    """Order and noise are keyed by epoch and step, and the state holds all that Adam knows."""
    configure_torch(1)
    kept = {}

    def keep(state):
        kept[int(state["epochs_done"])] = state

    whole = fit_autoencoder(digits(), **SETTINGS, keep=keep)
    resumed = fit_autoencoder(digits(), **SETTINGS, state=kept[stop])
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_fitting_makes_copies_nearer_than_strangers():
    """What it is for: an image with a little noise keeps nearly all of its bits, another image half."""
    images = digits()
    model = fit_autoencoder(images, **{**SETTINGS, "epochs": 30})
    noise = np.random.default_rng(0).integers(-12, 13, images.shape)
    noisy = np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)
    codes, copies = (pack_bits(encoded_bits(model, x, 0.0)) for x in (images, noisy))
    assert np.median(distances(codes, copies)) < 8
    assert np.median(distances(codes, np.roll(codes, 1, axis=0))) > 30


def test_batches_of_any_size_give_the_same_codes():
    model = Autoencoder(64)
    model.initialise(torch.Generator().manual_seed(0))
    small, large = (pack_bits(encoded_bits(model, digits(), 0.0, batch_size=size)) for size in (50, 300))
    assert (distances(small, large) <= 1).all()  # a unit at its threshold may round either way


def test_a_diverging_fit_says_what_to_change():
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch \d; lower learning_rate"):
        fit_autoencoder(digits(), **{**SETTINGS, "learning_rate": 1e30, "dropout": 0.0})


def test_a_checkpoint_of_another_network_is_refused():
    kept = {}
    fit_autoencoder(digits(), **{**SETTINGS, "epochs": 2, "code_units": 16}, keep=kept.update)
    with pytest.raises(TrainingError, match="checkpoint is of another network"):
        fit_autoencoder(digits(), **SETTINGS, state=kept)


def test_no_image_is_no_fit():
    with pytest.raises(ValueError, match="no image"):
        fit_autoencoder(digits()[:0], **SETTINGS)
