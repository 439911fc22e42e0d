"""Datasets: registry, fetch, formats, splits, binarisation, batches. Knows nothing of models."""
