"""All seeds at once: the arithmetic of the single run, on the CPU; the CUDA graph where there is a GPU."""

import math

import numpy as np
import pytest
import torch

from relatent.data.binarisation import dynamic
from relatent.errors import TrainingError
from relatent.training.density import Trainer, posterior_noise
from relatent.training.density_lifted import BLOCK, LiftedTrainer, train_lifted
from relatent.training.density_state import Run, read_states, write_states
from relatent.training.density_watch import refuse_k_beyond_memory
from relatent.training.schedule import Stage, schedule

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    """Bits depend on the number of threads."""
    torch.set_num_threads(1)


def images(n=60, side=4):
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 2, (3, side, side)) * 200 + 20
    return prototypes[rng.integers(0, 3, n)][:, None].astype(np.uint8)


def run_of(layers=1, preset="paper", objective="iwae", k=3, **other) -> Run:
    stages = (Stage(2, 1e-3), Stage(13, 7e-4))
    return Run(objective, k, layers, stages, batch_size=10, preset=preset, **other)


class SameDraws(LiftedTrainer):
    """Draws what the single runs draw."""

    def draw(self, block: int) -> None:
        for place in range(BLOCK):
            step = block * BLOCK + place
            for index, seed in enumerate(self.seeds):
                binary = dynamic(self.batches[index].at(step), seed, step)
                self.x[place, index] = torch.from_numpy(binary)
                noise = posterior_noise(seed, step, self.run.k, self.run.batch_size, self.models[0].latents)
                for lifted, single in zip(self.noise, noise, strict=True):
                    lifted[place, index] = single


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("preset", ["paper", "code"])
@pytest.mark.parametrize("objective", ["vae", "iwae"])
def test_lifted_is_the_single_run_to_float_tolerance(layers, preset, objective):
    """Given the same draws, the same parameters, moments and history after 30 steps."""
    run = run_of(layers, preset, objective)
    lifted = SameDraws(images(), run, [0, 3], CPU)
    while lifted.step < 30:
        lifted.advance()
    states = lifted.states()
    for seed in (0, 3):
        single = Trainer(images(), run, seed)
        for _ in range(30):
            single.advance()
        alone = single.state()
        for name, value in alone.parameters.items():
            torch.testing.assert_close(states[seed].parameters[name], value, rtol=1e-3, atol=2e-5)
        torch.testing.assert_close(states[seed].second_moment, alone.second_moment, rtol=2e-3, atol=1e-5)
        for ours, theirs in zip(states[seed].history, alone.history, strict=True):
            assert ours[:3] == theirs[:3]
            assert ours.train_bound_nats == pytest.approx(theirs.train_bound_nats, rel=1e-4)


@pytest.mark.parametrize("done", [1, 2, 11])
def test_lifted_runs_resume_in_the_same_bits(tmp_path, done):
    """Blocks and epochs end at different steps; the draws of a begun block come back."""
    run = run_of(2)
    unbroken = train_lifted(images(), run, [0, 1], "cpu")
    broken = LiftedTrainer(images(), run, [0, 1], CPU)
    for _ in range(done):
        broken.advance()
    write_states(tmp_path / "state.safetensors", run, broken.states())
    resumed = train_lifted(images(), run, [0, 1], "cpu", tmp_path / "state.safetensors")
    for seed, state in unbroken.items():
        assert all(torch.equal(value, resumed[seed].parameters[name]) for name, value in state.parameters.items())
        assert state.history == resumed[seed].history
        assert len(state.history) == 15


def test_a_seeds_draws_do_not_depend_on_the_others():
    """Each seed has generators of its own."""
    pair, alone = (LiftedTrainer(images(), run_of(), seeds, CPU) for seeds in ([0, 1], [1]))
    pair.draw(2)
    alone.draw(2)
    assert torch.equal(pair.x[:, 1], alone.x[:, 0])
    assert torch.equal(pair.noise[0][:, 1], alone.noise[0][:, 0])
    assert not torch.equal(pair.noise[0][:, 0], alone.noise[0][:, 0])


def test_lifted_draws_turn_pixels_on_as_often_as_they_are_grey():
    """Over one block the mean of x is the mean grey level, to four standard errors."""
    trainer = LiftedTrainer(images(), run_of(), [0], CPU)
    trainer.draw(0)
    rows = np.stack([trainer.batches[0].indices(step) for step in range(BLOCK)])
    expected = trainer.images.numpy()[rows].mean() / 255
    assert trainer.x.mean().item() == pytest.approx(expected, abs=4 * 0.5 / trainer.x.numel() ** 0.5)


def test_what_cannot_be_lifted_says_so():
    """Before anything is computed."""
    with pytest.raises(TrainingError, match="'dreg' trains on the CPU only"):
        LiftedTrainer(images(), run_of(estimator="dreg"), [0], CPU)
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="no CUDA device"):
            LiftedTrainer(images(), run_of(), [0], torch.device("cuda"))


@pytest.mark.parametrize("stages", [3, 4])
def test_lifted_models_that_ignore_their_latents_are_stopped_each_time(tmp_path, stages):
    """As single runs: a second run does not start past the stop, nor from a checkpoint that stands at it."""
    alike = np.full((60, 1, 4, 4), 255, dtype=np.uint8)
    checkpoint = tmp_path / "state.safetensors"
    run = Run("vae", 1, 1, schedule("paper", stages=stages), batch_size=10)
    for _ in range(2):
        with pytest.raises(TrainingError, match="after epoch 13 no unit of z1 is active"):
            train_lifted(alike, run, [0, 1], "cpu", checkpoint, checkpoint_every_s=1000)
        assert len(read_states(checkpoint, run)[1].history) == 4
    trainer = LiftedTrainer(alike, run, [0, 1], CPU)
    while trainer.step < 13 * 6:
        trainer.advance()
    write_states(checkpoint, run, trainer.states())
    with pytest.raises(TrainingError, match="after epoch 13 no unit of z1 is active"):
        train_lifted(alike, run, [0, 1], "cpu", checkpoint)


def test_lifted_numbers_that_are_not_finite_are_never_kept(tmp_path, monkeypatch):
    """The last gradient of one seed is NaN after bounds that are finite."""
    run = Run("vae", 1, 1, [Stage(1, 1e-3), Stage(1, 1e-3)], batch_size=10)
    step = LiftedTrainer._step

    def spoilt(trainer):
        step(trainer)
        if trainer.place == 12:
            trainer.flat.values[1, 7] = math.nan

    monkeypatch.setattr(LiftedTrainer, "_step", spoilt)
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"after step 12 \(epoch 2\) 1 of the \d+ parameters are not finite"):
            train_lifted(images(), run, [0, 1], "cpu", tmp_path / "state.safetensors")
        assert read_states(tmp_path / "state.safetensors", run)[1].step == 6


def test_a_lifted_start_of_another_model_is_refused():
    """By its tensor and both shapes."""
    starts = LiftedTrainer(images(), run_of(2), [0, 1], CPU).states()
    with pytest.raises(TrainingError, match=r"q_z1_given_x.mean.weight is of shape \(100, 200\) there, \(50, 200\) in"):
        train_lifted(images(), run_of(1), [0, 1], "cpu", starts=starts)


def test_memory_counts_the_draws_of_a_block(monkeypatch):
    """A lifted run asks for a block of them, and for all its seeds."""
    asked = []
    monkeypatch.setattr(
        "relatent.training.density_lifted.refuse_k_beyond_memory",
        lambda *arguments: asked.append(arguments) or refuse_k_beyond_memory(*arguments[:4], available_bytes=1),
    )
    run = run_of(2)
    with pytest.raises(TrainingError, match="k = 3 and 10 images needs about"):
        train_lifted(images(), run, [0, 1], "cpu")
    assert asked == [(run, 16, 2, BLOCK, None)]


@pytest.mark.gpu
def test_a_captured_step_is_the_eager_one():
    """Replayed from a graph, and undone warm-up steps aside, the same as on the CPU with the same draws."""
    run = run_of(2)
    on_gpu, on_cpu = SameDraws(images(), run, [0, 3], torch.device("cuda")), SameDraws(images(), run, [0, 3], CPU)
    for trainer in (on_gpu, on_cpu):
        while trainer.step < 30:
            trainer.advance()
    for name, value in on_cpu.states()[3].parameters.items():
        torch.testing.assert_close(on_gpu.states()[3].parameters[name], value, rtol=1e-2, atol=1e-4)
