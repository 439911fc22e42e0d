"""Images per second of a DCGAN training step: ours, the usual loop, and what the processor's convolutions allow.

`python benchmarks/dcgan_step.py` takes some minutes; one thread each, processor time, the sides taking turns, so that
the ratios hold on a loaded machine. The usual loop is that of pytorch/examples (dcgan/main.py): both nets on every
minibatch, D's weight gradients also computed in G's step, plain Adam, NCHW; its nets are ours in layout and size, with
torch's batch norm. It takes G's gradient after D's step. Ours, as our default does, takes both gradients at the same
weights, so that D's answer to the fakes is computed once: 10 passes of one net instead of 12, and 11 is the least with
the usual order. So a part of the ratio is fewer products and the rest is their rate; both are printed. The limit is the
arithmetic each side does at the best rate that one convolution reached in the same run.
"""

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from relatent.models.dcgan_nets import net_named
from relatent.training.freed_memory import keep_freed_memory
from relatent.training.gan_data import TrainingSet
from relatent.training.gan_run import GanRun
from relatent.training.gan_schedule import Schedule
from relatent.training.gan_watch import Watch

SIDES = ("usual loop", "ours", "ours bf16")
NETS = ("lsun64-w64-k4", "lsun64-w64", "svhn32-w64")


class UsualLoop:
    """pytorch/examples' training loop on a net of the given name."""

    def __init__(self, name: str, images: torch.Tensor) -> None:
        net = net_named(name)
        pad, extra = (net.kernel - 1) // 2, net.kernel % 2
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(net.latent, net.stem[0] * net.width, net.stem[1], 1, 0, bias=False)
        ]
        maps = net.stem[0] * net.width
        for multiple, stride in net.generator:
            layers += [nn.BatchNorm2d(maps), nn.ReLU(True)]
            layers.append(nn.ConvTranspose2d(maps, multiple * net.width, net.kernel, stride, pad, extra, bias=False))
            maps = multiple * net.width
        layers += [
            nn.BatchNorm2d(maps),
            nn.ReLU(True),
            nn.ConvTranspose2d(maps, 3, net.kernel, 2, pad, extra, bias=False),
        ]
        self.generator = nn.Sequential(*layers, nn.Tanh())
        layers, maps = [], 3
        for index, (multiple, stride) in enumerate(net.discriminator):
            layers.append(nn.Conv2d(maps, multiple * net.width, net.kernel, stride, pad, bias=False))
            maps = multiple * net.width
            layers += ([nn.BatchNorm2d(maps)] if index else []) + [nn.LeakyReLU(0.2, inplace=True)]
        self.discriminator = nn.Sequential(*layers, nn.Conv2d(maps, 1, net.stem[1], 1, 0, bias=False), nn.Sigmoid())
        for module in [*self.generator.modules(), *self.discriminator.modules()]:
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)
        self.loss = nn.BCELoss()
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.adam_g = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.images, self.latent = images, net.latent

    def minibatch(self) -> None:
        """One step of both nets."""
        real = self.images.float() / 127.5 - 1
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        self.discriminator.zero_grad()
        self.loss(self.discriminator(real).view(-1), ones).backward()
        fake = self.generator(torch.randn(len(real), self.latent, 1, 1))
        self.loss(self.discriminator(fake.detach()).view(-1), zeros).backward()
        self.adam_d.step()
        self.generator.zero_grad()
        self.loss(self.discriminator(fake).view(-1), ones).backward()
        self.adam_g.step()


def ours(name: str, images: np.ndarray, precision: str) -> GanRun:
    """Our training of the same net on the same images."""
    schedule = Schedule(1000, 0, len(images), 2e-4, 0.5, 0.999, 1e-8, 0.0, "both", "normal", (), 10**9)
    watch = Watch(1, 0.0, 0.0, 10**9)
    return GanRun(name, TrainingSet(images, np.arange(len(images))), schedule, 0, 1e-5, watch, precision)


flop_registry[torch.ops.aten.addmm_] = flop_registry[torch.ops.aten.addmm]  # torch forgets the one in place


class CountedFlops(TorchDispatchMode):
    """Multiplications and additions of convolutions and products, by torch's own formulas."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def best_rate(precision: str) -> float:
    """FLOP per second of the fastest of a few plain convolutions, channels last."""
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    rates = []
    for channels, side in ((128, 32), (256, 16), (512, 8)):
        layer = nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(dtype)
        layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = torch.randn(32, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            layer(x)
            for _ in range(5):
                start = time.process_time()
                layer(x)
                rates.append(2 * x.numel() * channels * 9 / (time.process_time() - start))
    return max(rates)


def serve(name: str, side: str, images: np.ndarray, pipe: Connection) -> None:
    """One side in a process of its own: asked by its parent, it takes a step and answers with the seconds it took."""
    torch.set_num_threads(1)
    trainer: UsualLoop | GanRun
    if side == "usual loop":
        trainer = UsualLoop(name, torch.from_numpy(images))
    else:
        keep_freed_memory()  # as train_gan does
        trainer = ours(name, images, "bf16" if "bf16" in side else "fp32")
    with CountedFlops() as counted:
        trainer.minibatch()
    pipe.send(counted.flops)
    while pipe.recv():
        start = time.process_time()
        trainer.minibatch()
        pipe.send(time.process_time() - start)


def measured(
    name: str, images: np.ndarray, sides: list[str], rounds: int
) -> tuple[dict[str, int], dict[str, list[float]]]:
    """FLOP of a step and seconds of `rounds` steps per side; the sides take turns."""
    context = multiprocessing.get_context("spawn")
    pipes, children = {}, []
    for side in sides:
        pipes[side], theirs = context.Pipe()
        children.append(context.Process(target=serve, args=(name, side, images, theirs), daemon=True))
        children[-1].start()
    flops = {side: pipe.recv() for side, pipe in pipes.items()}
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, pipe in pipes.items():
            pipe.send(True)
            times[side].append(pipe.recv())
    for pipe, child in zip(pipes.values(), children, strict=True):
        pipe.send(False)
        child.join()
    return flops, times


def main() -> None:
    """Measure every net and print one line per side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="*", default=NETS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--sides", nargs="*", default=SIDES, choices=SIDES, help="the usual loop is always measured")
    arguments = parser.parse_args()
    sides = [side for side in SIDES if side == SIDES[0] or side in arguments.sides]
    torch.set_num_threads(1)
    rates = {precision: best_rate(precision) for precision in ("fp32", "bf16")}
    print(f"best convolution: {rates['fp32'] / 1e9:.0f} GFLOP/s fp32, {rates['bf16'] / 1e9:.0f} bf16; one thread")
    for name in arguments.nets:
        side_px = net_named(name).side
        images = np.random.default_rng(0).integers(0, 256, (arguments.batch, 3, side_px, side_px), dtype=np.uint8)
        flops, times = measured(name, images, sides, arguments.rounds)
        print(f"{name}, batch {arguments.batch}")
        for side, seconds in times.items():
            median = statistics.median(seconds)
            limit = flops[side] / rates["bf16" if "bf16" in side else "fp32"]
            # The ratio within each round is what a loaded machine disturbs least.
            ratio = statistics.median(u / s for u, s in zip(times["usual loop"], seconds, strict=True))
            fewer = flops[SIDES[0]] / flops[side]
            print(
                f"  {side:11s} {arguments.batch / median:7.1f} images/s, {ratio:5.2f} times the usual loop "
                f"({fewer:.2f} by fewer products, {ratio / fewer:.2f} by their rate), "
                f"{flops[side] / 1e9:.0f} GFLOP a step, {limit / median:.2f} of the limit",
                flush=True,
            )


if __name__ == "__main__":
    main()
