"""Two processes are one process with two batch-norm groups; bf16 is near fp32 and named apart."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed as dist

from relatent.training.gan_data import TrainingSet
from relatent.training.gan_parallel import Replicas, started_by_torchrun
from relatent.training.gan_run import GanRun
from relatent.training.gan_schedule import Schedule
from relatent.training.gan_watch import Watch

STEPS = 4


def run_of(replicas=None, groups=1, precision="fp32", batch_size=8, shared=False):
    schedule = Schedule(
        epochs=2, decay_epochs=0, batch_size=batch_size, learning_rate=2e-4, beta1=0.5, beta2=0.999, adam_eps=1e-8,
        l2=0.0, updates="both", z_prior="uniform", snapshot_epochs=(), history_every=2,
    )  # fmt: skip
    images = np.random.default_rng(0).integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)
    watch = Watch(patience=5, diversity_floor=0.0, won_d_loss=0.0, grace_images=0)
    return GanRun(
        "svhn32-w4", TrainingSet(images, np.arange(24)), schedule, 0, 1e-5, watch, precision=precision,
        replicas=replicas, batch_norm_groups=groups, shared_moments=shared,
    )  # fmt: skip


def trained(run):
    for _ in range(STEPS):
        run.minibatch()
    row = run.close_row()
    weights = {
        f"{part}.{n}": p for part in ("generator", "discriminator") for n, p in getattr(run, part).named_parameters()
    }
    return {name: p.detach().clone() for name, p in weights.items()}, row


def _one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    replicas = Replicas(rank, 2)
    torch.save([trained(run_of(replicas)), trained(run_of(replicas, shared=True))], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def _assert_close(found, expected):
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=2e-5, rtol=1e-3, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.slow
def test_two_processes_are_one_with_two_batch_norm_groups(tmp_path):
    """Same z, same images, averaged gradients: with batch norm over half the batch each, one process with two groups;
    with shared moments, as between GPUs, one process as it is. Equal within float tolerance."""
    torch.multiprocessing.spawn(_one_of_two, (str(tmp_path),), nprocs=2)
    in_groups, alone = trained(run_of(groups=2)), trained(run_of())
    for rank in range(2):
        for found, expected in zip(torch.load(tmp_path / f"{rank}.pt"), (in_groups, alone), strict=True):
            _assert_close(found[0], expected[0])
            assert [found[1][name] for name in ("d_loss", "g_loss")] == pytest.approx(
                [expected[1][name] for name in ("d_loss", "g_loss")], rel=1e-4
            )
    with pytest.raises(AssertionError):  # the two are not the same thing
        _assert_close(in_groups[0], alone[0])


def test_a_batch_is_cut_evenly_or_not_at_all():
    assert [Replicas(rank, 4).part(8) for rank in range(4)] == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)]
    with pytest.raises(ValueError, match="cannot be cut among 3 processes"):
        Replicas(0, 3).part(8)


def test_without_torchrun_a_run_is_alone(monkeypatch):
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    assert started_by_torchrun("cpu") == Replicas(0, 1)
    assert "RANK" not in os.environ


def test_bf16_is_a_mode_of_its_own_near_fp32():
    """Weights and Adam stay fp32; the losses of a step agree to the 8 bits of a bf16 mantissa or so."""
    exact, rough = run_of(), run_of(precision="bf16")
    for run in (exact, rough):
        run.minibatch()
    assert all(p.dtype == torch.float32 for p in rough.generator.parameters())
    assert rough.sums["d_loss"] == pytest.approx(exact.sums["d_loss"], rel=0.05)
    assert rough.sums["d_loss"] != exact.sums["d_loss"]
    assert rough.sums["g_grad_norm"] == pytest.approx(exact.sums["g_grad_norm"], rel=0.1)
