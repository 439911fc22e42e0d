"""Protocols: who sees which label, how C is chosen, and what the intervals say."""

import numpy as np
import pytest

from relatent.data.streams import stream
from relatent.probe.comparisons import paired_difference, sentence
from relatent.probe.diagnostics import confusion, draw_interval, per_class, wilson
from relatent.probe.protocols import (
    Labelled,
    all_labels,
    best_of,
    draw_labels,
    few_labels,
    few_labels_honest,
    fold_of,
    held_out,
)

C_VALUES = [1e-3, 1e-1]


def split(n: int, seed: int, noise: float = 1.0) -> Labelled:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return Labelled((np.eye(3)[labels] * 2 + noise * rng.standard_normal((n, 3))).astype(np.float32), labels)


def test_a_draw_holds_the_same_number_of_every_class_and_its_seed_says_which():
    labels = np.repeat([0, 1, 2], [20, 30, 50])
    drawn = draw_labels(labels, 7, stream(5, "labelled draw", 0))
    assert np.bincount(labels[drawn]).tolist() == [7, 7, 7]
    assert len(set(drawn.tolist())) == 21
    np.testing.assert_array_equal(drawn, draw_labels(labels, 7, stream(5, "labelled draw", 0)))
    assert not np.array_equal(drawn, draw_labels(labels, 7, stream(5, "labelled draw", 1)))
    with pytest.raises(ValueError, match="class 0 has 20 images"):
        draw_labels(labels, 21, stream(5, "labelled draw", 0))


def test_a_held_out_split_keeps_the_class_shares_and_loses_nobody():
    labels = np.repeat([0, 1, 2], [50, 31, 20])
    fit, validation = held_out(labels, 20, np.random.default_rng(0))
    assert np.bincount(labels[validation]).tolist() == [10, 6, 4]
    assert sorted([*fit, *validation]) == list(range(101))


def test_folds_deal_every_class_out_evenly():
    labels = np.repeat([0, 1], [10, 15])
    part = fold_of(labels, 5, np.random.default_rng(0))
    for fold in range(5):
        assert np.bincount(labels[part == fold]).tolist() == [2, 3]


def test_the_smaller_C_wins_a_tie():
    assert best_of({1.0: 0.9, 0.1: 0.9, 0.01: 0.8}).C == 0.1


def test_test_labels_are_never_looked_at():
    """The answers are the same when the test labels are nonsense."""
    train, validation, test = split(90, 0), split(60, 1), split(60, 2)
    nonsense = Labelled(test.features, np.full(60, 99))
    for given in (test, nonsense):
        full = all_labels(train, validation, given, C_VALUES, True, 1e-10)
        few = few_labels(train, validation, given, C_VALUES, 4, 3, 2, 0, 1e-10)
        honest = few_labels_honest(train, given, C_VALUES, 4, 3, 2, 0, 1e-10)
        if given is test:
            first = full, few, honest
    np.testing.assert_array_equal(full.predictions, first[0].predictions)
    np.testing.assert_array_equal(few.predictions, first[1].predictions)
    np.testing.assert_array_equal(honest.predictions, first[2].predictions)


def test_the_honest_variant_sees_only_the_labels_of_its_draw():
    """Labels outside every draw may be anything."""
    train, test = split(90, 0), split(30, 1)
    honest = few_labels_honest(train, test, C_VALUES, 4, 2, 2, 0, 1e-10)
    hidden = train.labels.copy()
    outside = np.setdiff1d(np.arange(90), honest.rows.ravel())
    hidden[outside] = np.roll(hidden[outside], 0)
    shuffled = Labelled(train.features.copy(), hidden)
    shuffled.features[outside] = 1e3
    again = few_labels_honest(shuffled, test, C_VALUES, 4, 2, 2, 0, 1e-10)
    np.testing.assert_array_equal(again.predictions, honest.predictions)
    assert again.C_per_draw == honest.C_per_draw


def test_both_variants_use_the_same_draws_and_choosing_draws_are_others():
    train, validation, test = split(90, 0), split(60, 1), split(30, 2)
    few = few_labels(train, validation, test, C_VALUES, 4, 3, 2, 0, 1e-10)
    honest = few_labels_honest(train, test, C_VALUES, 4, 3, 2, 0, 1e-10)
    np.testing.assert_array_equal(few.rows, honest.rows)
    fewer = few_labels(train, validation, test, C_VALUES, 4, 2, 2, 0, 1e-10)
    np.testing.assert_array_equal(fewer.rows, few.rows[:2])  # draw i does not depend on how many there are


def test_refitting_uses_the_validation_images_too():
    """A class that only validation has can be predicted after the refit alone."""
    train, validation, test = split(90, 0, 0.1), split(60, 1, 0.1), split(30, 2, 0.1)
    seen = train[train.labels != 2]
    without = all_labels(seen, validation, test, [0.1], False, 1e-10)
    refit = all_labels(seen, validation, test, [0.1], True, 1e-10)
    assert 2 not in without.predictions
    assert (refit.predictions == test.labels).all()


def test_a_row_against_itself_is_no_difference():
    labels = np.arange(50) % 3
    predictions = np.where(np.arange(50) % 7 == 0, 0, labels)
    same = paired_difference(predictions, predictions, labels, 200, np.random.default_rng(0))
    assert (same.value, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert "cannot be told apart" in sentence("a", "b", "all labels", same)


def test_the_interval_covers_the_true_difference_as_often_as_it_says():
    """Of 200 made-up pairs of rows with a true difference of 10 points, about 95 % of the intervals hold it."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        labels = np.zeros(200, int)
        first, second = (np.where(rng.random(200) < share, 0, 1) for share in (0.8, 0.7))
        found = paired_difference(first, second, labels, 200, rng)
        covered += found.low <= 0.1 <= found.high
    assert 180 <= covered <= 199


def test_mcnemar_counts_only_disagreements():
    """7 images against 1: the two-sided exact p is 2 (1 + 8) / 2^8."""
    labels = np.zeros(100, int)
    first, second = np.zeros(100, int), np.zeros(100, int)
    second[:7], first[50] = 1, 1
    found = paired_difference(first, second, labels, 200, np.random.default_rng(0))
    assert (found.only_first, found.only_second) == (7, 1)
    assert found.p_value == pytest.approx(2 * (1 + 8) / 2**8)


def test_the_sentence_says_which_way_it_fell():
    labels = np.zeros(400, int)
    better, worse = np.zeros(400, int), (np.arange(400) % 4 == 0).astype(int)
    for first, second, words in ((better, worse, "is more accurate than"), (worse, better, "is less accurate than")):
        found = paired_difference(first, second, labels, 300, np.random.default_rng(0))
        assert words in sentence("trained D", "random D", "all labels", found)


def test_draws_widen_the_interval():
    """When rows differ from draw to draw, the draw is resampled with the images."""
    rng = np.random.default_rng(0)
    labels = np.zeros(500, int)
    first = (rng.random((10, 500)) < np.linspace(0.1, 0.3, 10)[:, None]).astype(int)
    second = (rng.random((10, 500)) < 0.2).astype(int)
    found = paired_difference(first, second, labels, 400, rng)
    assert found.interval == "draws and test sampling"
    assert found.high - found.low > 1.96 * 2 * 0.06 / np.sqrt(10) * 0.8
    with pytest.raises(ValueError, match="pair equal draws"):
        paired_difference(first[:5], second, labels, 10, rng)


def test_confusion_and_classes_add_up():
    labels, predictions = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    table = confusion(predictions, labels)
    assert table == {"classes": [0, 1, 2], "counts": [[1, 1, 0], [0, 1, 0], [1, 0, 0]]}
    assert per_class(predictions, labels) == {"0": 0.5, "1": 1.0, "2": 0.0}


def test_wilsons_interval_is_the_textbooks():
    """8 of 10: 0.490 to 0.943 (Brown, Cai, DasGupta 2001)."""
    assert wilson(0.8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
    assert draw_interval(np.array([0.5])) == (None, None)
