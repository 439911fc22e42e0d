"""Training runs: exact resume, seeds apart, presets, early stops."""

import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from relatent.errors import TrainingError
from relatent.training import density_watch
from relatent.training.density import Trainer, train
from relatent.training.density_state import Run, State, finished_state, read_states, write_states
from relatent.training.density_watch import refuse_k_beyond_memory
from relatent.training.schedule import Stage, schedule


@pytest.fixture(autouse=True)
def one_thread():
    """Bits depend on the number of threads; and products this small only lose time to a second one."""
    torch.set_num_threads(1)


SHORT = (Stage(1, 1e-3), Stage(2, 7e-4))


def images(n=50, side=4):
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 2, (3, side, side)) * 200 + 20
    return prototypes[rng.integers(0, 3, n)][:, None].astype(np.uint8)


def run_of(objective="iwae", k=3, layers=1, stages=SHORT, **other) -> Run:
    return Run(objective, k, layers, stages, batch_size=10, **other)


def same(one: State, other: State) -> bool:
    return (
        all(torch.equal(value, other.parameters[name]) for name, value in one.parameters.items())
        and torch.equal(one.first_moment, other.first_moment)
        and torch.equal(one.second_moment, other.second_moment)
        and (one.step, one.bound_sum, one.history) == (other.step, other.bound_sum, other.history)
    )


@pytest.mark.parametrize("preset", ["paper", "code"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("done", [0, 3, 5, 14])
def test_a_run_resumed_at_any_step_ends_in_the_same_bits(tmp_path, preset, layers, done):
    """Within an epoch, at its end, and one step before the end of the run."""
    run = run_of(layers=layers, preset=preset)
    unbroken = train(images(), run, seed=1)
    broken = Trainer(images(), run, seed=1)
    for _ in range(done):
        broken.advance()
    write_states(tmp_path / "state.safetensors", run, {broken.seed: broken.state()})
    assert same(unbroken, train(images(), run, seed=1, checkpoint=tmp_path / "state.safetensors"))


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_density_training import images, run_of
from relatent.training.density import train
from relatent.training.runtime import configure_torch
from relatent.training.schedule import Stage
configure_torch(1)
train(images(), run_of(stages=[Stage(200, 1e-3)]), 0, Path(sys.argv[1]), checkpoint_every_s=0.0)
"""


def test_a_run_killed_by_sigkill_ends_in_the_same_bits(tmp_path):
    """Killed as it writes state after state: what lies there is always whole."""
    run = run_of(stages=[Stage(200, 1e-3)])
    checkpoint = tmp_path / "state.safetensors"
    command = [sys.executable, "-c", KILLED, str(checkpoint), str(Path(__file__).parent)]
    kept = -1
    for _ in range(2):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 300  # a busy machine takes a minute to import torch
        while time.monotonic() < deadline and process.poll() is None:
            if checkpoint.exists() and read_states(checkpoint, run)[0].step > kept + 20:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run was over before it was killed; make it longer"
        kept = read_states(checkpoint, run)[0].step
    assert same(train(images(), run, 0), train(images(), run, 0, checkpoint))


def test_a_seed_is_the_same_alone_and_after_others():
    """Nothing is drawn from a stream that another seed has moved on."""
    alone = train(images(), run_of(), seed=2)
    train(images(), run_of(), seed=0)
    torch.randn(5)
    assert same(alone, train(images(), run_of(), seed=2))
    assert not same(alone, train(images(), run_of(), seed=1))


@pytest.mark.parametrize("layers", [1, 2])
def test_vae_and_iwae_with_one_sample_are_the_same_algorithm(layers):
    """k = 1: the same bound and the same gradient, so the same bits after any number of steps."""
    vae = train(images(), run_of("vae", k=1, layers=layers), seed=0)
    assert same(vae, train(images(), run_of("iwae", k=1, layers=layers), seed=0))


@pytest.mark.parametrize(
    ("objective", "estimator"), [("iwae", "stl"), ("iwae", "dreg"), ("iwae", "single"), ("vae", "kl")]
)
@pytest.mark.parametrize("layers", [1, 2])
def test_every_estimator_trains_and_resumes(tmp_path, objective, estimator, layers):
    """The bound rises with each, and the picked draws of `single` are keyed by step like all else."""
    run = run_of(objective, k=4, layers=layers, estimator=estimator, stages=(Stage(6, 1e-3),))
    unbroken = train(images(), run, seed=0)
    assert unbroken.history[-1].train_bound_nats > unbroken.history[0].train_bound_nats
    broken = Trainer(images(), run, seed=0)
    for _ in range(8):
        broken.advance()
    write_states(tmp_path / "state.safetensors", run, {broken.seed: broken.state()})
    assert same(unbroken, train(images(), run, 0, tmp_path / "state.safetensors"))


@pytest.mark.parametrize("layers", [1, 2])
def test_single_sample_backward_has_the_plain_gradient_as_its_mean(layers):
    """As the trainer composes it, over many streams of picked draws; picks by 1/k would give the VAE's gradient."""
    estimators = ("plain", "single")
    plain, single = (Trainer(images(), run_of(k=4, layers=layers, estimator=name), seed=0) for name in estimators)
    for trainer in (plain, single):
        trainer.flat.values.mul_(1.3)  # weights so unlike that a pick by 1/k shows
    rng = torch.Generator().manual_seed(0)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (200, 16)).astype(np.float32))
    noise = tuple(torch.randn(4, 200, size, generator=rng) for size in plain.model.latents)
    plain._gradient(x, noise)
    picks = []
    for single.step in range(300):
        single._gradient(x, noise)
        picks.append(single.flat.gradients.clone())
    picked = torch.stack(picks)
    error = picked.std(0) / len(picks) ** 0.5
    assert (picked.mean(0) - plain.flat.gradients).norm() < 3 * error.norm()
    vae = Trainer(images(), run_of("vae", k=4, layers=layers), seed=0)
    vae.flat.values.mul_(1.3)
    vae._gradient(x, noise)
    assert (picked.mean(0) - vae.flat.gradients).norm() > 10 * error.norm()


def test_training_raises_the_bound():
    """Three prototypes are learned: the bound rises well above the independent-pixel start."""
    history = train(images(200), run_of(k=5, stages=schedule("paper", epochs=40)), seed=0).history
    assert history[-1].train_bound_nats > history[0].train_bound_nats + 1
    assert [row.epoch for row in history] == list(range(1, 41))
    assert [row.stage for row in history] == [0] + [1] * 3 + [2] * 9 + [3] * 27


def test_presets_start_and_run_differently():
    """`code` ties equal shapes and does not move in its first step; `paper` does neither."""
    states = {}
    for preset in ("paper", "code"):
        trainer = Trainer(images(), run_of(preset=preset), seed=0)
        before = trainer.state().parameters
        trainer.advance()
        after = trainer.state().parameters
        states[preset] = before, after
    tied = states["code"][0]
    assert torch.equal(tied["q_z1_given_x.mean.weight"], tied["q_z1_given_x.log_sd.weight"])
    assert all(torch.equal(value, states["code"][1][name]) for name, value in tied.items())
    free = states["paper"][0]
    assert not torch.equal(free["q_z1_given_x.mean.weight"], free["q_z1_given_x.log_sd.weight"])
    assert any(not torch.equal(value, states["paper"][1][name]) for name, value in free.items())


def finished(state: State, folder: Path) -> tuple[Path, Path]:
    """The files of a cell with one seed, 0."""
    paths = folder / "model.safetensors", folder / "optimiser.safetensors"
    for path, tensors in zip(paths, (state.parameters, state.optimiser()), strict=True):
        save_file({f"seed0.{name}": value for name, value in tensors.items()}, path)
    return paths


def test_a_switch_goes_on_with_adams_state_and_step(tmp_path):
    """Table 2: the second stage takes moments and step count over, and its history counts stages and epochs on."""
    first = train(images(), run_of("vae", k=1), seed=0)
    model, optimiser = finished(first, tmp_path)
    switched = run_of("iwae", k=3, stages=[Stage(2, 7e-4)])
    start = finished_state(0, 2, model, optimiser)
    trainer = Trainer(images(), switched, 0, start)
    assert trainer.adam.count == first.step == 15
    assert torch.equal(trainer.adam.second_moment, first.second_moment)
    end = train(images(), switched, 0, start=start)
    assert end.step == 25
    assert [(row.stage, row.epoch) for row in end.history] == [(2, 4), (2, 5)]
    with pytest.raises(TrainingError, match="not trained with seed 3"):
        finished_state(3, 2, model, optimiser)
    with pytest.raises(TrainingError, match=r"does not hold Adam's moments and step of seed 0; .* in this order"):
        finished_state(0, 2, optimiser, model)


@pytest.mark.parametrize(
    ("run", "side", "sentence"),
    [
        (run_of(layers=2), 4, r"q_z1_given_x.mean.weight is of shape \(50, 200\) there, \(100, 200\) in this run's"),
        (run_of(layers=2, latents=[50, 50]), 4, r"q_z2_given_z1\..* is of shape none there, \(100, 50\) in this run's"),
        (run_of(latents=[2]), 4, r"q_z1_given_x.mean.weight is of shape \(50, 200\) there, \(2, 200\) in this run's"),
        (run_of(), 5, r"q_z1_given_x.hidden1.weight is of shape \(200, 16\) there, \(200, 25\) in this run's"),
    ],
)
def test_a_start_of_another_model_is_refused(tmp_path, run, side, sentence):
    """Other layers, latents or image size: by its files, the first tensor that differs, and both shapes."""
    paths = finished(Trainer(images(), run_of(), 0).state(), tmp_path)
    start = finished_state(0, 2, *paths)
    with pytest.raises(TrainingError, match=rf"model.safetensors and .*: tensor {sentence} model; go on from"):
        train(images(side=side), run, 0, start=start)


def test_a_start_with_more_than_the_model_has_is_refused():
    """Two layers into one, where all that one has fits; and moments of another model beside parameters of this one."""
    two, one = (Trainer(images(), run_of(layers=n, latents=[50, 9][:n]), 0).state() for n in (2, 1))
    with pytest.raises(TrainingError, match=r"q_z2_given_z1.* is of shape \(100, 50\) there, none in this run's model"):
        Trainer(images(), run_of(latents=[50]), 0, two)
    one.first_moment = two.first_moment
    with pytest.raises(TrainingError, match="tensor first_moment is of shape"):
        Trainer(images(), run_of(latents=[50]), 0, one)


def test_a_switched_run_resumes_too(tmp_path):
    """Its checkpoint, not its start, decides where it goes on."""
    first = train(images(), run_of("vae", k=1), seed=0)
    start = State(first.parameters, first.first_moment, first.second_moment, first.step, stages_before=2)
    run = run_of("iwae", stages=[Stage(2, 7e-4)])
    broken = Trainer(images(), run, 0, start)
    for _ in range(7):
        broken.advance()
    write_states(tmp_path / "state.safetensors", run, {broken.seed: broken.state()})
    resumed = train(images(), run, 0, tmp_path / "state.safetensors", start)
    assert same(train(images(), run, 0, start=start), resumed)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    """By the names of what differs; and a damaged one with its remedy."""
    path = tmp_path / "state.safetensors"
    write_states(path, run_of(), {0: Trainer(images(), run_of(), 0).state()})
    with pytest.raises(TrainingError, match=r"a checkpoint of another run; objective, k differ. Remove it"):
        train(images(), run_of("vae", k=1), 0, path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="not readable as a checkpoint"):
        train(images(), run_of(), 0, path)


def test_a_bound_that_is_not_finite_stops_the_run():
    """With the step, the rate and what to do; not after hours of NaN."""
    trainer = Trainer(images(), run_of(), seed=0)
    trainer.flat.views["q_z1_given_x.mean.bias"].fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the bound is nan at step 0 \(epoch 0, learning rate 0.001\)"):
        trainer.advance()


def test_a_run_that_diverges_is_stopped():
    """A rate a hundred thousand times too high: stopped by its bound long before the schedule ends."""
    with pytest.raises(TrainingError, match=r"the run diverges|the bound is (nan|-inf|inf)"):
        train(images(), run_of(stages=[Stage(3, 1e-3), Stage(300, 100.0)]), seed=0)


@pytest.mark.parametrize("every_s", [1000.0, 0.0])
@pytest.mark.parametrize("preset", ["paper", "code"])
def test_numbers_that_are_not_finite_are_never_kept(tmp_path, monkeypatch, preset, every_s):
    """The last gradient is NaN after a bound that is finite: no checkpoint holds it, no model, and no second run."""
    run = run_of(stages=[Stage(1, 1e-3), Stage(1, 1e-3)], preset=preset)
    gradient = Trainer._gradient

    def spoilt(trainer, x, noise):
        log_w = gradient(trainer, x, noise)
        if trainer.step == 9:
            trainer.flat.gradients[7] = math.nan
        return log_w

    monkeypatch.setattr(Trainer, "_gradient", spoilt)
    checkpoint = tmp_path / "state.safetensors"
    # `released` moves by the moments of the step before: there the parameters are still finite.
    what = {"paper": "parameters", "code": "first moments"}[preset]
    for _ in range(2):
        with pytest.raises(TrainingError, match=rf"after step 10 \(epoch 2\) 1 of the \d+ {what} are not finite"):
            train(images(), run, 0, checkpoint, checkpoint_every_s=every_s)
        kept = read_states(checkpoint, run)[0]
        assert kept.step == (5 if every_s else 9)
        assert kept.first_moment.isfinite().all()
    trainer = Trainer(images(), run, 0)
    trainer.flat.values[0] = math.inf
    write_states(checkpoint, run, {0: trainer.state()})
    with pytest.raises(TrainingError, match=r"after step 0 .* not finite"):
        train(images(), run, 0, checkpoint)


def alike(n=50) -> np.ndarray:
    """Images without any difference, which leave z1 nothing to say."""
    return np.full((n, 1, 4, 4), 255, dtype=np.uint8)


@pytest.mark.parametrize("stages", [3, 4])
def test_a_model_that_ignores_its_latents_is_stopped_each_time(tmp_path, stages):
    """At the end of the last stage or before; the checkpoint before stays, and a second run stops there too."""
    checkpoint = tmp_path / "state.safetensors"
    run = run_of("vae", k=1, stages=schedule("paper", stages=stages))
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"after epoch 13 no unit of z1 is active.*The last checkpoint stays"):
            train(alike(), run, seed=0, checkpoint=checkpoint, checkpoint_every_s=1000)
        assert len(read_states(checkpoint, run)[0].history) == 4


@pytest.mark.parametrize("stages", [3, 4])
def test_a_checkpoint_of_a_dead_model_is_refused(tmp_path, stages):
    """One that stands at a stage's end, the last one's too: the run does not go on from it."""
    run = run_of("vae", k=1, stages=schedule("paper", stages=stages))
    trainer = Trainer(alike(), run, 0)
    while trainer.step < 13 * 5:
        trainer.advance()
    write_states(tmp_path / "state.safetensors", run, {0: trainer.state()})
    with pytest.raises(TrainingError, match="after epoch 13 no unit of z1 is active"):
        train(alike(), run, 0, tmp_path / "state.safetensors")


def test_k_beyond_memory_is_refused_before_the_first_step():
    """With the memory it takes and what is to be had."""
    run = run_of(k=1_000_000)
    with pytest.raises(TrainingError, match=r"k = 1000000 and 10 images needs about .* GiB, 1.0 are free; lower k"):
        refuse_k_beyond_memory(run, pixels=784, available_bytes=2**30)
    refuse_k_beyond_memory(run_of(k=50), pixels=784, available_bytes=2**30)


@pytest.mark.parametrize(("estimator", "objective"), [("stl", "iwae"), ("dreg", "iwae"), ("kl", "vae")])
def test_autograd_takes_more_than_the_hand_written_gradient(estimator, objective):
    """Two steps of two layers at k = 800 held 480 MB with `stl` and 460 MB with `dreg`; the gradient by hand 436."""
    plain, other = (Run(objective, 800, 2, SHORT, estimator=name) for name in ("plain", estimator))
    refuse_k_beyond_memory(plain, 784, available_bytes=480_000_000)
    with pytest.raises(TrainingError, match="a step with k = 800 and 20 images"):
        refuse_k_beyond_memory(other, 784, available_bytes=480_000_000)


@pytest.mark.parametrize(("layers", "latents"), [(1, 50), (2, 150)])
def test_draws_made_ahead_count(layers, latents):
    """Lifted runs hold the images and the noise of 64 steps, 4 bytes a number."""

    def needed(steps_drawn):
        with pytest.raises(TrainingError) as error:
            refuse_k_beyond_memory(run_of(k=1000, layers=layers), 784, 3, steps_drawn, available_bytes=1)
        return float(str(error.value).split(" GiB")[0].split()[-1])

    ahead = 64 * 4 * (1000 * latents + 784) * 10 * 3 / 2**30
    assert needed(64) - needed(0) == pytest.approx(ahead, abs=0.1)


V1 = {
    "memory/memory.limit_in_bytes": "5000",
    "memory/memory.usage_in_bytes": "3000",
    "memory/memory.stat": "active_file 7\ntotal_inactive_file 200\ntotal_active_file 50\n",
}
V2 = {"memory.max": "5000\n", "memory.current": "3000\n", "memory.stat": "anon 9\nactive_file 50\ninactive_file 200\n"}


@pytest.mark.parametrize(
    ("files", "mem_available_kb", "available"),
    [
        ({}, 4, 4096),
        (V2, 4, 2250),
        (V2, 2, 2048),
        (V2, None, 2250),
        (V2 | {"memory.max": "max\n"}, 4, 4096),
        (V1, 4, 2250),
        (V1 | {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, 4, 4096),
        ({}, None, None),
    ],
)
def test_memory_is_the_less_of_the_machines_and_the_containers(
    tmp_path, monkeypatch, files, mem_available_kb, available
):
    """A container is killed at its own limit, however much its host has left; its page cache can be had back."""
    monkeypatch.setattr(density_watch, "CGROUP", tmp_path)
    monkeypatch.setattr(density_watch, "MEMINFO", tmp_path / "meminfo")
    if mem_available_kb is not None:
        (tmp_path / "meminfo").write_text(f"MemTotal: 9999 kB\nMemAvailable: {mem_available_kb} kB\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert density_watch._available_bytes() == available
