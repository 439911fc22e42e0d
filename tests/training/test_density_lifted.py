"""All seeds at once: the arithmetic of the single run, on the CPU; the CUDA graph where there is a GPU."""

import numpy as np
import pytest
import torch

from relatent.data.binarisation import dynamic
from relatent.errors import TrainingError
from relatent.training.density import Trainer, posterior_noise
from relatent.training.density_lifted import BLOCK, LiftedTrainer, train_lifted
from relatent.training.density_state import Run, write_states
from relatent.training.schedule import Stage

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
