"""The paper's schedule, both presets."""

import pytest

from relatent.training.schedule import Stage, learning_rate, schedule, switch_schedule, total_epochs


def test_stages_end_where_the_paper_says():
    """3^i passes in stage i: 1, 4, 13, 40, 121, 364, 1,093 and 3,280 epochs in all (Burda et al. 2016, sec. 5)."""
    ends = [total_epochs(schedule("paper", stages=n)) for n in range(1, 9)]
    assert ends == [1, 4, 13, 40, 121, 364, 1093, 3280]


def test_learning_rates_fall_from_1e_3_to_1e_4():
    """0.001 * 10^(-i/7) in the paper; the released code rounds to one decimal of 1e-4."""
    assert learning_rate(0, "paper") == pytest.approx(1e-3, rel=1e-15)
    assert learning_rate(7, "paper") == pytest.approx(1e-4, rel=1e-15)
    assert learning_rate(3, "paper") == pytest.approx(1e-3 * 10 ** (-3 / 7), rel=1e-15)
    rounded = [10, 7.2, 5.2, 3.7, 2.7, 1.9, 1.4, 1.0]
    assert [stage.learning_rate for stage in schedule("code", stages=8)] == pytest.approx(
        [rate * 1e-4 for rate in rounded], rel=1e-15
    )


def test_epochs_cut_the_schedule_short():
    """30 epochs are stages 0 to 2 and 17 of the 27 epochs of stage 3."""
    assert [stage.epochs for stage in schedule("paper", epochs=30)] == [1, 3, 9, 17]
    assert schedule("paper", epochs=13) == schedule("paper", stages=3)


def test_a_switch_repeats_the_last_stage():
    """Table 2: 2,187 more passes at 1e-4."""
    (stage,) = switch_schedule(schedule("code", stages=8))
    assert stage == Stage(2187, pytest.approx(1e-4))


def test_impossible_schedules_are_refused():
    """One way to say how long, and no longer than the paper."""
    with pytest.raises(ValueError, match="either stages or epochs"):
        schedule("paper")
    with pytest.raises(ValueError, match="1 to 8"):
        schedule("paper", stages=9)
    with pytest.raises(ValueError, match="ends 20 epochs earlier"):
        schedule("paper", epochs=3300)
