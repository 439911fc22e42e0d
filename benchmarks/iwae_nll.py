"""Milliseconds per image of L_5000: ours, its peers, and what products of these shapes allow.

`python benchmarks/iwae_nll.py` takes about two minutes on a quiet core: one thread, processor time, all sides
interleaved in one run, the best of many rounds, so that the ratios hold on a loaded machine. Ours is all that
`evaluate_nll` does for an image: noise, encoder, weights, the summary with its error, ESS and Pareto shape; once with
one model and once with three that share the noise, as the seeds of a cell do. The mode bfloat16 has a column of its
own; iwae_accuracy.py shows how far it moves L_5000 on trained nets. Peers:

- pythae's `get_nll` with the paper's nets (`pip install -c constraints.txt pythae`; left out where it is missing), with
  the better of its batch sizes 100 (its default) and 1,000;
- the usual loop, as in most public reproductions: every image repeated at the input, probabilities and their
  logarithms, blocks of 1,000.

The limit is the exact list of matrix products of the decoder, in numpy and in torch and whichever is faster, in blocks
of the size that suits it best, and nothing else.
"""

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from relatent.data.streams import stream
from relatent.evaluation.fast_weights import Precision
from relatent.evaluation.nll import ImageScorer, Scored, one_blas_thread
from relatent.models.density import DensityModel
from relatent.training.runtime import configure_torch

K = 5000


def model_of(pixels: int, layers: int, seed: int = 0) -> DensityModel:
    """A model at its initialisation; the cost does not depend on the weights."""
    model = DensityModel(pixels, layers)
    model.initialise(lambda name: stream(seed, name), np.full(pixels, 0.13))
    return model


def image(pixels: int) -> np.ndarray:
    """A binary image."""
    return (np.random.default_rng(0).random(pixels) < 0.13).astype(np.uint8)


def ours(pixels: int, layers: int, models: int, precision: Precision = "float32") -> Callable[[], object]:
    """One image under so many models."""
    scored = [Scored(model, model.latents) for model in (model_of(pixels, layers, seed) for seed in range(models))]
    scorer, x = ImageScorer(scored, K, 0, "benchmark", precision), image(pixels)
    return lambda: scorer.score(x, 0)


def shapes(pixels: int, layers: int) -> list[tuple[int, int]]:
    """(outputs, inputs) of every product that a sample needs."""
    if layers == 1:
        return [(200, 50), (200, 200), (pixels, 200)]
    q_z2, p_z1 = [(100, 100), (100, 100), (100, 100)], [(100, 50), (100, 100), (200, 100)]
    return [*q_z2, *p_z1, (200, 100), (200, 200), (pixels, 200)]


def numpy_products(pixels: int, layers: int, block: int) -> Callable[[], object]:
    """The products alone, (feature, k)."""
    rng = np.random.default_rng(0)
    made = [
        [rng.standard_normal(size, dtype=np.float32) for size in ((m, n), (n, block), (m, block))]
        for m, n in shapes(pixels, layers)
    ]

    def step() -> None:
        for _ in range(K // block):
            for weight, inputs, out in made:
                np.matmul(weight, inputs, out=out)

    return step


def torch_products(pixels: int, layers: int, block: int) -> Callable[[], object]:
    """The products alone, (k, feature)."""
    made = [[torch.randn(size) for size in ((block, n), (n, m), (block, m))] for m, n in shapes(pixels, layers)]

    @torch.inference_mode()
    def step() -> None:
        for _ in range(K // block):
            for inputs, weight, out in made:
                torch.mm(inputs, weight, out=out)

    return step


def usual_loop(pixels: int) -> Callable[[], object]:
    """One layer only, as most public reproductions are written."""
    model = model_of(pixels, 1)
    encoder, decoder = model.q_z1_given_x, model.p_x_given_z1
    x = torch.from_numpy(image(pixels)).float().expand(1000, pixels)

    @torch.no_grad()
    def step() -> float:
        parts = []
        for _ in range(K // 1000):
            hidden = torch.tanh(encoder.hidden2(torch.tanh(encoder.hidden1(x))))
            mean, sd = encoder.mean(hidden), torch.exp(encoder.log_sd(hidden))
            noise = torch.randn_like(mean)
            z = mean + sd * noise
            hidden = torch.tanh(decoder.hidden2(torch.tanh(decoder.hidden1(z))))
            p = torch.sigmoid(decoder.logits(hidden))
            log_px = (x * torch.log(p + 1e-7) + (1 - x) * torch.log(1 - p + 1e-7)).sum(-1)
            parts.append(log_px - 0.5 * z.square().sum(-1) + (0.5 * noise.square() + torch.log(sd)).sum(-1))
        return float(torch.logsumexp(torch.cat(parts), 0)) - math.log(K)

    return step


def pythae(pixels: int, batch: int) -> Callable[[], object]:
    """pythae's get_nll; raises ImportError where it is not installed."""
    from pythae.models import IWAE, IWAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    source = model_of(pixels, 1)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            net = source.q_z1_given_x
            self.trunk = nn.Sequential(net.hidden1, nn.Tanh(), net.hidden2, nn.Tanh())
            self.mean, self.log_sd = net.mean, net.log_sd

        def forward(self, x: Tensor) -> ModelOutput:
            hidden = self.trunk(x.reshape(-1, pixels))
            return ModelOutput(embedding=self.mean(hidden), log_covariance=2 * self.log_sd(hidden))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            net = source.p_x_given_z1
            self.net = nn.Sequential(net.hidden1, nn.Tanh(), net.hidden2, nn.Tanh(), net.logits, nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z))

    config = IWAEConfig(input_dim=(pixels,), latent_dim=50, number_samples=1, reconstruction_loss="bce")
    model = IWAE(config, Encoder(), Decoder())
    x = torch.from_numpy(image(pixels)).float()[None]

    @torch.no_grad()
    def step() -> float:
        return float(model.get_nll(x, n_samples=K, batch_size=batch))

    return step


def best_times(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds of processor time per image, the best round of each side; the sides take turns."""
    times = dict.fromkeys(steps, math.inf)
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            step()
            times[name] = min(times[name], (time.process_time() - start) * 1e3)
    return times


def main() -> None:
    """Print a row per image size and depth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pixels", type=int, nargs="*", default=[784, 64])
    options = parser.parse_args()
    configure_torch(threads=1)
    print(
        "| pixels | layers | ours, ms | ours, each of 3 | pythae | usual loop | limit "
        "| best peer / ours | limit / ours | limit / ours of 3 | ours bfloat16, ms |"
        "\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for pixels in options.pixels:
        for layers in (1, 2):
            steps = {"ours": ours(pixels, layers, 1), "three": ours(pixels, layers, 3)}
            steps["bfloat16"] = ours(pixels, layers, 1, "bfloat16")
            for block in (250, 500, 1000):
                steps[f"limit numpy {block}"] = numpy_products(pixels, layers, block)
                steps[f"limit torch {block}"] = torch_products(pixels, layers, block)
            if layers == 1:
                steps["usual"] = usual_loop(pixels)
                try:
                    steps |= {f"pythae {batch}": pythae(pixels, batch) for batch in (100, 1000)}
                except ImportError:
                    print("pythae is not installed: its column stays empty")
            with one_blas_thread():
                times = best_times(steps, options.rounds)
            limit = min(value for name, value in times.items() if name.startswith("limit"))
            pythae_ms = min((value for name, value in times.items() if name.startswith("pythae")), default=math.nan)
            peer = np.nanmin([pythae_ms, times.get("usual", math.nan)]) if layers == 1 else math.nan
            mine, each = times["ours"], times["three"] / 3
            row = [
                mine,
                each,
                pythae_ms,
                times.get("usual", math.nan),
                limit,
                peer / mine,
                limit / mine,
                limit / each,
                times["bfloat16"],
            ]
            shown = ["" if math.isnan(value) else f"{value:.3g}" for value in row]
            print(f"| {pixels} | {layers} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
