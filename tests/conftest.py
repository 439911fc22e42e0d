"""Skips what this machine cannot run, with the reason."""

import os

import pytest

# Before any test imports numpy or torch: on few cores, several threads on tiny arrays mostly wait for each other.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Tests marked `mirror` need the real datasets, those marked `gpu` a CUDA device."""
    mirror = os.environ.get("RELATENT_MIRROR")
    without_mirror = pytest.mark.skip(reason="RELATENT_MIRROR is not set")
    without_gpu = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if "mirror" in item.keywords and not mirror:
            item.add_marker(without_mirror)
        if "gpu" in item.keywords:
            import torch

            if not torch.cuda.is_available():
                item.add_marker(without_gpu)
