"""Bounds, gradient estimators, GAN losses: tensors in, tensors out."""
