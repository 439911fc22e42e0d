"""What `evaluate_nll` found per image, read again."""

import numpy as np
import pytest

from relatent.cli.evaluation_file import read_activity, read_evaluation
from relatent.errors import DataIntegrityError


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "per_image.npz", seed=np.array([3.0, 1.0]), log_px_hat=np.array([[30.0, 31.0], [10.0, 11.0]]))
    return tmp_path / "per_image.npz"


def test_rows_come_in_the_order_of_the_seeds_asked_for(path):
    assert read_evaluation(path, [1, 3])["log_px_hat"].tolist() == [[10.0, 11.0], [30.0, 31.0]]
    assert read_evaluation(path, [3])["log_px_hat"].tolist() == [[30.0, 31.0]]


def test_a_seed_that_was_not_evaluated_is_named(path):
    with pytest.raises(DataIntegrityError, match=r"seeds \[0\] are not in it, only \[3, 1\]"):
        read_evaluation(path, [3, 0])


def test_a_damaged_file_says_what_to_do(path):
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataIntegrityError, match="run `snakemake"):
        read_evaluation(path, [3])


def test_a_file_of_another_kind_says_what_to_do(tmp_path):
    np.savez(tmp_path / "other.npz", log_px_hat=np.zeros((1, 2)))
    with pytest.raises(DataIntegrityError, match="per-image results of evaluate_nll"):
        read_evaluation(tmp_path / "other.npz", [0])


ACTIVITY = "seed,layer,unit,variance,variance_code\n3,1,0,0.5,0.4\n3,1,1,0.25,0.2\n3,2,0,0.125,0.1\n"


def test_variances_come_by_seed_and_layer(tmp_path):
    (tmp_path / "activity.csv").write_text(ACTIVITY)
    (layers,) = read_activity(tmp_path / "activity.csv", [3], [2, 1]).values()
    assert [layer.tolist() for layer in layers] == [[0.5, 0.25], [0.125]]


@pytest.mark.parametrize(
    ("text", "seeds", "message"),
    [
        (ACTIVITY, [0], "of seed 0 it has 0 units where the model has 3"),
        (ACTIVITY.rpartition("3,2")[0], [3], "of seed 3 it has 2 units where the model has 3"),
        ("unit,variance\n0,0.5\n", [3], "not readable as the units' variances"),
        (ACTIVITY.replace("0.25", "much"), [3], "not readable as the units' variances"),
    ],
)
def test_variances_of_another_model_say_what_to_do(tmp_path, text, seeds, message):
    (tmp_path / "activity.csv").write_text(text)
    with pytest.raises(DataIntegrityError, match=message):
        read_activity(tmp_path / "activity.csv", seeds, [2, 1])
