"""What `evaluate_nll` found per image, read again."""

import numpy as np
import pytest

from relatent.cli.evaluation_file import read_evaluation
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
