from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from relatent.data.batches import Batches, epoch_order
from relatent.data.streams import random_words, stream

IMAGES = np.arange(50, dtype=np.uint8).reshape(50, 1)


def test_an_epoch_visits_every_image_once():
    batches = Batches(IMAGES, batch_size=10, seed=0)
    seen = np.concatenate([batches.at(3 * batches.steps_per_epoch + step) for step in range(5)])
    assert sorted(seen.ravel()) == list(range(50))


def test_each_epoch_has_an_order_of_its_own_and_each_seed_too():
    orders = [tuple(epoch_order(50, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


def test_the_fixed_order_is_the_file_order():
    """The authors' released code never reshuffles."""
    batches = Batches(IMAGES, batch_size=20, seed=0, order="fixed")
    np.testing.assert_array_equal(batches.at(0).ravel(), np.arange(20))
    np.testing.assert_array_equal(batches.at(2).ravel(), np.arange(20))


def test_a_step_is_the_same_whatever_came_before_it():
    """A run resumed in the middle of an epoch sees the batches of an unbroken run."""
    unbroken = Batches(IMAGES, batch_size=7, seed=4)
    seen = [unbroken.at(step).copy() for step in range(30)]
    np.testing.assert_array_equal(Batches(IMAGES, batch_size=7, seed=4).at(23), seen[23])
    np.testing.assert_array_equal(unbroken.at(2), seen[2])


def test_a_remainder_is_left_out():
    assert Batches(IMAGES, batch_size=20, seed=0).steps_per_epoch == 2


@pytest.mark.parametrize("batch_size", [0, 51, -1])
def test_a_batch_must_fit_the_set(batch_size):
    with pytest.raises(ValueError, match="must fit"):
        Batches(IMAGES, batch_size=batch_size, seed=0)


@pytest.mark.parametrize("key", [(0, "order", 1), (7, "a", 2, 3), (123456789, "z")])
def test_words_of_a_stream_are_those_of_a_generator_made_for_it(key):
    """Setting one Philox to the key again and again gives the bits of a fresh one, whatever it did before."""
    random_words(5, 1, "something else")
    np.testing.assert_array_equal(random_words(9, *key), stream(*key).bit_generator.random_raw(9))
    np.testing.assert_array_equal(random_words(9, *key), stream(*key).bit_generator.random_raw(9))


def test_threads_do_not_share_a_generator():
    """Two threads that draw at the same time would mix their streams."""
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda step: random_words(10_000, 0, "x", step), range(40)))
    for step, words in enumerate(drawn):
        np.testing.assert_array_equal(words, random_words(10_000, 0, "x", step))
