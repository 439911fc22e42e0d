"""Readers of published formats: each gives the images of one part of a dataset, as a `parts.Part`."""
