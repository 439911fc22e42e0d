"""Restricted Boltzmann machines, stacked greedily into a deep belief net; no fine-tuning."""

from collections.abc import Sequence

import numpy as np

from relatent.data.streams import stream_key


def belief_features(
    train: np.ndarray, others: Sequence[np.ndarray], layers: Sequence[int], epochs: int, learning_rate: float,
    batch_size: int, seed: int,
) -> list[np.ndarray]:  # fmt: skip
    """Hidden probabilities of every layer side by side, for the training rows and for the others.

    Scikit-learn's BernoulliRBM (persistent contrastive divergence); its visible units are binary, so pixels are read
    as probabilities, which suits grey pictures of strokes and not colour photographs.

    Args:
        train, others: (image, pixel) in [0, 1].
        layers: hidden units of each layer.
    """
    from sklearn.neural_network import BernoulliRBM

    inputs = [train, *others]
    features: list[list[np.ndarray]] = [[] for _ in inputs]
    for index, units in enumerate(layers):
        machine = BernoulliRBM(
            units, learning_rate=learning_rate, batch_size=batch_size, n_iter=epochs,
            random_state=stream_key(seed, "Boltzmann machine", index) % 2**32,
        ).fit(inputs[0])  # fmt: skip
        inputs = [machine.transform(values) for values in inputs]
        for kept, values in zip(features, inputs, strict=True):
            kept.append(values)
    return [np.concatenate(kept, axis=1).astype(np.float32) for kept in features]
