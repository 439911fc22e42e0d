"""Training a GAN: exact resume, no wasted gradients, the two ways of updating, refusals, the watch."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from relatent.errors import TrainingError
from relatent.objectives.gan import discriminator_loss, generator_loss
from relatent.training import gan as gan_module
from relatent.training.gan import train_gan
from relatent.training.gan_data import TrainingSet, draw_z
from relatent.training.gan_run import COLUMNS, GanRun
from relatent.training.gan_schedule import Schedule
from relatent.training.gan_state import restore, save
from relatent.training.gan_watch import Watch, check_finite, collapsed_filters, diversity

SCHEDULE = Schedule(
    epochs=3,
    decay_epochs=1,
    batch_size=8,
    learning_rate=2e-4,
    beta1=0.5,
    beta2=0.999,
    adam_eps=1e-8,
    l2=0.0,
    updates="both",
    z_prior="uniform",
    snapshot_epochs=(1, 4),
    history_every=3,
)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def images(count=37, side=32, channels=1):
    return np.random.default_rng(0).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def watch():
    return Watch(patience=5, diversity_floor=0.0, won_d_loss=0.0, grace_images=0)


def tiny(schedule=SCHEDULE, name="svhn32-w4", data=None, **options):
    data = data or TrainingSet(images(), np.arange(37))
    return GanRun(name, data, schedule, seed=0, batch_norm_eps=1e-5, watch=watch(), **options)


def bits(trained):
    tensors = {
        f"{part}.{name}": t
        for part in ("generator", "discriminator")
        for name, t in getattr(trained, part).state_dict().items()
    }
    return {name: t.numpy().tobytes() for name, t in (tensors | trained.snapshots).items()}, trained.history


def test_the_same_run_twice_gives_the_same_bits():
    assert bits(train_gan(tiny(), "t")) == bits(train_gan(tiny(), "t"))


@pytest.mark.parametrize("updates", ["both", "alternate"])
@pytest.mark.parametrize("stop", [1, 5, 14])
def test_a_run_resumed_at_any_step_ends_in_the_same_bits(tmp_path, stop, updates):
    """Weights, Adam's moments and the counters are the whole state: z and the order are keyed by step and epoch."""
    schedule = replace(SCHEDULE, updates=updates)
    whole = bits(train_gan(tiny(schedule), "t"))
    first = tiny(schedule)
    for _ in range(stop):
        first.minibatch()
        if first.step % schedule.history_every == 0:
            first.watch.look(first.close_row(), first.data_diversity)
        if first.step == first.steps_per_epoch:
            first.take_snapshot(1)
    save(first, tmp_path / "c.safetensors", "run")
    assert bits(train_gan(tiny(schedule), "t", tmp_path / "c.safetensors", "run")) == whole


def test_weights_move_only_where_they_should():
    """In the paper's way both nets move on a minibatch; in the code's, G on even minibatches and D on odd ones."""
    for updates, moved in (("both", [(True, True)] * 2), ("alternate", [(True, False), (False, True)])):
        run = tiny(replace(SCHEDULE, updates=updates))
        for expected in moved:
            before = run.generator.stem.layer.weight.clone(), run.discriminator.head.weight.clone()
            run.minibatch()
            after = run.generator.stem.layer.weight, run.discriminator.head.weight
            assert tuple(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) == expected


def test_each_net_descends_its_own_loss_at_the_weights_before_the_step():
    """The gradients that Adam is given equal those of the two losses computed apart, by plain autograd."""
    run, plain = tiny(), tiny()
    run.minibatch()
    (x, labels), z = plain._real(0, 0), draw_z(0, "z", 8, plain.net, "uniform")
    fake = plain.generator(z)
    of_g = torch.autograd.grad(generator_loss(plain.discriminator(fake, labels)), list(plain.generator.parameters()))
    logits = plain.discriminator(x, labels), plain.discriminator(fake.detach(), labels)
    of_d = torch.autograd.grad(discriminator_loss(*logits), list(plain.discriminator.parameters()))
    for net, expected in ((run.generator, of_g), (run.discriminator, of_d)):
        for parameter, gradient in zip(net.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


class CountedFlops(TorchDispatchMode):
    """Multiplications and additions of convolutions and products, as torch's own formulas count them."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def test_no_gradient_is_computed_and_thrown_away():
    """G: forward 1, backward 2. D: forward 2, backward 2 for each of real and fake, 1 to reach the fakes. That is 10
    passes of one net where the usual loop takes 12; a forward of both is 2."""
    run = tiny()
    with CountedFlops() as forward:
        run.discriminator(torch.zeros(8, 1, 32, 32))
        run.generator(torch.zeros(8, 100))
    with CountedFlops() as step:
        run.minibatch()
    assert step.flops < 5.1 * forward.flops


def test_first_discriminator_loss_is_near_two_log_two():
    """Fresh weights of N(0, 0.02) make logits near zero: 1/2 everywhere costs 2 log 2."""
    run = tiny()
    run.minibatch()
    assert abs(run.sums["d_loss"] - 2 * np.log(2)) < 0.5


def test_learning_rate_is_lowered_after_each_decay_pass_and_no_pass_runs_at_zero():
    schedule = replace(SCHEDULE, epochs=2, decay_epochs=4)
    rates = [schedule.rate(epoch) / 2e-4 for epoch in range(6)]
    assert rates == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25])


def test_snapshots_and_history_are_where_the_schedule_says():
    trained = train_gan(tiny(), "t")
    assert {name.partition(".")[0] for name in trained.snapshots} == {"epoch1", "epoch4"}
    assert [row["step"] for row in trained.history] == [3, 6, 9, 12, 15, 16]
    assert all(tuple(row) == COLUMNS for row in trained.history)
    final = {f"epoch4.generator.{name}": t for name, t in trained.generator.state_dict().items()}
    assert all(torch.equal(final[name], t) for name, t in trained.snapshots.items() if name.startswith("epoch4"))


def test_snapshots_leave_no_trace_in_the_training():
    """Estimating batch-norm moments changes no weight, so a run with a snapshot ends as one without."""
    without = train_gan(tiny(replace(SCHEDULE, snapshot_epochs=())), "t")
    assert bits(without)[0].items() <= bits(train_gan(tiny(), "t"))[0].items()


def test_only_kept_images_are_seen():
    poisoned = images()
    poisoned[20:] = 255
    kept = np.arange(20)
    clean = TrainingSet(images(), kept)
    assert bits(train_gan(tiny(data=TrainingSet(poisoned, kept)), "t")) == bits(train_gan(tiny(data=clean), "t"))


def test_conditional_net_trains_with_labels():
    data = TrainingSet(images(side=28), np.arange(37), np.arange(37) % 10)
    run = tiny(name="mnist_conditional-w4", data=data)
    for _ in range(3):
        run.minibatch()
    assert np.isfinite(list(run.close_row().values())).all()
    run.finish()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("svhn32-w4", TrainingSet(images(side=28), np.arange(37)), "makes 32×32 images, the data are 28×28"),
        ("svhn32-w4", TrainingSet(images(channels=2), np.arange(37)), "1 or 3 channels"),
        ("svhn32-w4", TrainingSet(images().astype(np.float32), np.arange(37)), "uint8"),  # type: ignore[arg-type]
        ("svhn32-w4", TrainingSet(images(), np.arange(7)), "7 images are too few for one batch of 8"),
        ("svhn32-w4", TrainingSet(images(), np.arange(9) + 30), "kept index goes to 38, there are 37"),
        ("mnist_conditional-w4", TrainingSet(images(side=28), np.arange(37)), "needs the label"),
    ],
)
def test_images_that_are_not_the_nets_are_refused(name, data, message):
    with pytest.raises(ValueError, match=message):
        tiny(name=name, data=data)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    run = tiny()
    run.minibatch()
    save(run, tmp_path / "c.safetensors", "one")
    with pytest.raises(TrainingError, match="of another run"):
        train_gan(tiny(), "t", tmp_path / "c.safetensors", "two")
    (tmp_path / "c.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        train_gan(tiny(), "t", tmp_path / "c.safetensors", "one")


def test_divergence_is_said_and_the_checkpoint_from_before_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(gan_module, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(gan_module, "CHECKPOINT_COST", 0.0)
    run = tiny()
    minibatch = run.minibatch

    def poisoned():
        if run.step == 7:
            with torch.no_grad():
                run.generator.stem.layer.weight[0, 0] = float("nan")
        minibatch()

    monkeypatch.setattr(run, "minibatch", poisoned)
    with pytest.raises(TrainingError, match=r"is nan at step \d+: the run diverged"):
        train_gan(run, "t", tmp_path / "c.safetensors", "run")
    resumed = tiny()
    restore(resumed, tmp_path / "c.safetensors", "run")
    assert resumed.step == 7
    assert bits(train_gan(resumed, "t")) == bits(train_gan(tiny(), "t"))


def test_running_out_of_memory_is_a_sentence(monkeypatch):
    run = tiny()

    def too_large():
        torch.empty(2**50)

    monkeypatch.setattr(run, "minibatch", too_large)
    with pytest.raises(TrainingError, match="out of memory at step 1 with batch_size 8"):
        train_gan(run, "t")


def rows(count, **values):
    base = {"step": 1, "images_seen": 100, "d_loss": 1.0, "diversity": 0.5}
    return [{**base, **values} for _ in range(count)]


def test_a_collapsed_generator_is_stopped_after_patience():
    """Samples all alike, look after look; one healthy look starts the count anew."""
    judge = Watch(patience=3, diversity_floor=0.1, won_d_loss=1e-3, grace_images=0)
    for row in [*rows(2, diversity=0.01), *rows(1), *rows(2, diversity=0.01)]:
        judge.look(row, data_diversity=0.5)
    with pytest.raises(TrainingError, match="the generator has collapsed at step 1"):
        judge.look(rows(1, diversity=0.01)[0], data_diversity=0.5)


def test_a_discriminator_that_has_won_is_stopped_but_not_in_the_grace():
    judge = Watch(patience=1, diversity_floor=0.1, won_d_loss=1e-3, grace_images=50)
    judge.look(rows(1, d_loss=1e-6, images_seen=10)[0], data_diversity=0.5)
    with pytest.raises(TrainingError, match="the discriminator has won"):
        judge.look(rows(1, d_loss=1e-6)[0], data_diversity=0.5)


def test_a_collapse_fails_the_run_or_ends_it_where_it_is_the_result():
    """In an ablation the collapsed net is what is asked for: it ends early, with a snapshot and its history."""
    hopeless = Watch(patience=2, diversity_floor=0.999, won_d_loss=0.0, grace_images=0)
    run = tiny()
    run.watch = hopeless
    with pytest.raises(TrainingError, match="the generator has collapsed at step 6"):
        train_gan(run, "t")
    run = tiny(replace(SCHEDULE, snapshot_epochs=(4,)))
    run.watch = replace(hopeless, collapsed_rows=0)
    trained = train_gan(run, "t", keep_collapsed=True)
    assert [row["step"] for row in trained.history] == [3, 6]
    assert trained.snapshots


def test_values_that_are_not_finite_are_named():
    with pytest.raises(TrainingError, match="g_loss is inf at step 4"):
        check_finite({"step": 4, "g_loss": float("inf")})


def test_diversity_is_the_distance_of_two_images():
    """sqrt(2 var) is the root mean square over all pairs of different images."""
    x = torch.rand(12, 1, 4, 4)
    pairs = torch.cdist(x.flatten(1), x.flatten(1)) ** 2 / 16
    expected = (pairs.sum() / (12 * 11)).sqrt().item()
    assert diversity(x) == pytest.approx(expected, rel=1e-5)


def test_a_filter_that_ignores_z_counts_as_collapsed():
    """One map whose weights from the layer below are zero answers alike for every z."""
    run = tiny()
    z = draw_z(0, "z", 64, run.net, "uniform")
    assert collapsed_filters(run.generator, z) == 0
    with torch.no_grad():
        run.generator.convs[0].layer.weight[:, 0] = 0
    assert collapsed_filters(run.generator, z) == 1 / 4 / 3


def _train_with_checkpoints(path: str) -> None:
    torch.set_num_threads(1)
    gan_module.CHECKPOINT_EVERY_S = gan_module.CHECKPOINT_COST = 0.0
    train_gan(tiny(), "t", Path(path), "run")


@pytest.mark.slow
def test_twenty_kills_leave_no_trace(tmp_path):
    """SIGKILL at random moments, 20 times, then to the end: the same bytes as undisturbed."""
    whole = bits(train_gan(tiny(), "t"))
    path = tmp_path / "c.safetensors"
    context = multiprocessing.get_context("fork")
    rng = np.random.default_rng(1)
    killed = 0
    while killed < 20:
        child = context.Process(target=_train_with_checkpoints, args=(str(path),))
        child.start()
        time.sleep(rng.uniform(0.02, 0.25))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
        if child.exitcode == 0:
            path.unlink()  # it reached the end; start over
    leftover = tmp_path.glob(".c.*")
    for temporary in leftover:  # a kill in the middle of writing leaves a temporary name, never a half checkpoint
        temporary.unlink()
    assert bits(train_gan(tiny(), "t", path if path.exists() else None, "run")) == whole
