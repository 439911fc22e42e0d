"""Toy: the working function."""

import numpy as np

from relatent.ledger.files import atomic_path, write_text


def fit(images, weights, history, seed, scale):
    rng = np.random.Generator(np.random.Philox(seed))
    with atomic_path(weights) as path:
        np.save(path, scale * np.load(images).mean() + rng.standard_normal(1000))
    write_text(history, "epoch,train_bound_nats\n1,-3.0\n2,-2.0\n")
