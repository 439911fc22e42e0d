"""Images per second of an IWAE training step at batch 20: ours, its peers, and what products of these shapes allow.

`python benchmarks/iwae_step.py` takes about two minutes on a quiet core: one thread, processor time, all sides
interleaved in one run, the best of many rounds, so that the ratios hold on a loaded machine. A step of ours is all of
it: order, binarisation, noise, gradient, Adam. Peers:

- pythae's IWAE with the paper's nets (`pip install -c constraints.txt pythae`; left out where it is missing), its
  forward, loss and backward, torch's Adam, and torch.bernoulli of the batch;
- the usual loop, as in most public reproductions: every image repeated k times at the input, probabilities and
  their logarithms, autograd, torch's Adam.

The limit is the exact list of matrix products of a step (encoder once per image) and one fused Adam step, nothing else.
"""

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from relatent.models.density import DensityModel
from relatent.training.density import Trainer
from relatent.training.density_state import Run
from relatent.training.freed_memory import keep_freed_memory
from relatent.training.runtime import configure_torch
from relatent.training.schedule import schedule

BATCH, PIXELS = 20, 784
SIZES = {1: (50,), 2: (100, 50)}


def images() -> np.ndarray:
    """Grey images with the sparsity of MNIST."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (2000, 1, 28, 28)) * (rng.random((2000, 1, 28, 28)) < 0.19)
    return grey.astype(np.uint8)


def ours(layers: int, k: int) -> Callable[[], object]:
    """One step of `relatent.training.density`."""
    return Trainer(images(), Run("iwae", k, layers, schedule("paper", stages=8)), seed=0).advance


def limit(layers: int, k: int) -> Callable[[], object]:
    """The products of one step and Adam over as many parameters."""
    first, second = SIZES[layers][0], SIZES[layers][-1]
    encoder = [(PIXELS, 200), (200, 200), (200, first), (200, first)]
    per_sample = [(first, 200), (200, 200), (200, PIXELS)]
    if layers == 2:
        per_sample += [(first, 100), (100, 100), (100, second), (100, second)]
        per_sample += [(second, 100), (100, 100), (100, first), (100, first)]
    products = []
    for rows, nets in ((BATCH, encoder), (BATCH * k, per_sample)):
        for place, (inputs, outputs) in enumerate(nets):
            x, w, y = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)
            products += [(x, w.t()), (y.t(), x)]
            if nets is not encoder or place > 0:  # no gradient to x
                products.append((y, w))
    values = nn.Parameter(torch.randn(sum(value.numel() for value in DensityModel(PIXELS, layers).parameters())))
    values.grad = torch.randn_like(values)
    adam = torch.optim.Adam([values], lr=1e-5, fused=True)

    def step() -> None:
        with torch.inference_mode():
            for left, right in products:
                torch.mm(left, right)
        adam.step()

    return step


def usual_loop(layers: int, k: int) -> Callable[[], object]:
    """One layer only, as most public reproductions are written."""
    model = DensityModel(PIXELS, layers)
    encoder, decoder = model.q_z1_given_x, model.p_x_given_z1
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-4)
    grey = torch.from_numpy(images()).float().view(-1, PIXELS) / 255

    def step() -> None:
        x = torch.bernoulli(grey[torch.randint(len(grey), (BATCH,))]).expand(k, BATCH, PIXELS)
        hidden = torch.tanh(encoder.hidden2(torch.tanh(encoder.hidden1(x))))
        mean, sd = encoder.mean(hidden), torch.exp(encoder.log_sd(hidden))
        noise = torch.randn_like(mean)
        z = mean + sd * noise
        hidden = torch.tanh(decoder.hidden2(torch.tanh(decoder.hidden1(z))))
        p = torch.sigmoid(decoder.logits(hidden))
        log_px = (x * torch.log(p + 1e-7) + (1 - x) * torch.log(1 - p + 1e-7)).sum(-1)
        log_w = log_px - 0.5 * z.square().sum(-1) + (0.5 * noise.square() + torch.log(sd)).sum(-1)
        weights = torch.softmax(log_w, 0).detach()
        loss = -(weights * log_w).sum(0).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def pythae(layers: int, k: int) -> Callable[[], object]:
    """pythae's IWAE; raises ImportError where it is not installed."""
    from pythae.models import IWAE, IWAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(PIXELS, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh())
            self.mean, self.log_variance = nn.Linear(200, 50), nn.Linear(200, 50)

        def forward(self, x: torch.Tensor) -> ModelOutput:
            hidden = self.trunk(x.reshape(-1, PIXELS))
            return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            hidden = [nn.Linear(50, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh()]
            self.net = nn.Sequential(*hidden, nn.Linear(200, PIXELS), nn.Sigmoid())

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z))

    config = IWAEConfig(input_dim=(PIXELS,), latent_dim=50, number_samples=k, reconstruction_loss="bce")
    model = IWAE(config, Encoder(), Decoder())
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-4)
    grey = torch.from_numpy(images()).float().view(-1, PIXELS) / 255

    def step() -> None:
        x = torch.bernoulli(grey[torch.randint(len(grey), (BATCH,))])
        loss = model({"data": x}).loss
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def best_times(steps: dict[str, Callable[[], object]], rounds: int, round_s: float) -> dict[str, float]:
    """Seconds of processor time per step, the best round of each side; the sides take turns."""
    times = dict.fromkeys(steps, math.inf)
    repeats = {}
    for name, step in steps.items():
        step()
        start = time.process_time()
        for _ in range(5):
            step()
        repeats[name] = max(3, round(round_s / ((time.process_time() - start) / 5)))
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            for _ in range(repeats[name]):
                step()
            times[name] = min(times[name], (time.process_time() - start) / repeats[name])
    return times


def main() -> None:
    """Print a row per depth and k."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--round-s", type=float, default=0.3)
    options = parser.parse_args()
    configure_torch(threads=1)
    keep_freed_memory()  # as train_density does
    print("| layers | k | ours, images/s | pythae | usual loop | limit | ours / best peer | ours / limit |")
    print("|---|---|---|---|---|---|---|---|")
    for layers in (1, 2):
        for k in (1, 5, 50):
            steps = {"ours": ours(layers, k), "limit": limit(layers, k)}
            if layers == 1:
                steps["usual loop"] = usual_loop(layers, k)
                try:
                    steps["pythae"] = pythae(layers, k)
                except ImportError:
                    print("pythae is not installed: its column stays empty")
            rates = {name: BATCH / t for name, t in best_times(steps, options.rounds, options.round_s).items()}
            peers = [rates[name] for name in ("pythae", "usual loop") if name in rates]
            shown = [
                f"{rates[name]:,.0f}" if name in rates else "" for name in ("ours", "pythae", "usual loop", "limit")
            ]
            faster = f"{rates['ours'] / max(peers):.2f}" if peers else ""
            print(
                f"| {layers} | {k} | {' | '.join(shown)} | {faster} | {rates['ours'] / rates['limit']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
