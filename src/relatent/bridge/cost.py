"""What a study will cost: floating-point operations from the settings, time from a short measured product.

Only multiplications and additions of the networks' layers are counted, two per weight and use; a backward pass counts
twice its forward pass. Shares of the measured product are what our training steps reach of it (DESIGN section 7).
"""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from relatent.bridge.programs import environment
from relatent.ledger.jobs import PlannedJob
from relatent.progress import Reading

HIDDEN = (200, 100)  # units of the deterministic layers beside z1 and z2 (Burda et al. 2016, sec. 5)
LATENTS = {1: [50], 2: [100, 50]}
SHARE_BY_K = ((1, 0.5), (5, 0.7), (50, 0.85))  # of the product, in training, from this k on
SHARE_CONVOLUTION = 0.5
SHARE_EVALUATION = 0.5
SHARE_ANNEALING = 0.4
GRADIENTS_PER_MOVE = 11  # of AIS: where the move starts, and after each of ten leaps


@dataclass(frozen=True)
class Cost:
    """Of one job. `flop` is None where nothing was modelled; `seconds` was measured if the job ran here before.

    `reading` is what a job under way last said.
    """

    job: PlannedJob
    flop: float | None
    seconds: float | None
    measured: bool = False
    reading: Reading | None = None

    @property
    def left(self) -> float | None:
        """Seconds still to come."""
        return self.reading.left_s if self.reading else self.seconds


def density_macs(layers: int, latents: Sequence[int] | None, pixels: int) -> tuple[int, int]:
    """Multiply-adds of one image's encoding, and of one sample's way through the rest, (per image, per sample)."""
    z = list(latents or LATENTS[layers])
    h1, h2 = HIDDEN
    encode = pixels * h1 + h1 * h1 + 2 * h1 * z[0]
    decode = z[0] * h1 + h1 * h1 + h1 * pixels
    if layers == 1:
        return encode, decode
    between = z[0] * h2 + h2 * h2 + 2 * h2 * z[1]  # q(z2|z1), and with the sizes turned round p(z1|z2)
    back = z[1] * h2 + h2 * h2 + 2 * h2 * z[0]
    return encode, decode + between + back


def density_epochs(settings: Mapping[str, Any]) -> int:
    """Passes over the data: 3^i in stage i (Burda et al. 2016, sec. 5), of a switched cell those of the last alone."""
    left = settings.get("epochs") or sum(3**i for i in range(settings.get("stages") or 8))
    stages: list[int] = []
    while left > 0:
        stages.append(min(3 ** len(stages), left))
        left -= stages[-1]
    return stages[-1] if settings.get("switched") else sum(stages)


def density_training_flop(settings: Mapping[str, Any], pixels: int, n_images: int) -> float:
    """Of all seeds of a density cell."""
    encode, sample = density_macs(settings["layers"], settings.get("latents"), pixels)
    per_image = 2 * 3 * (encode + settings["k"] * sample)
    return float(per_image * n_images * density_epochs(settings) * len(settings["seeds"]))


def bound_flop(n_images: int, k: int, seeds: Sequence[int], layers: int, pixels: int) -> float:
    """Of L_k of so many images under the models of all seeds."""
    encode, sample = density_macs(layers, None, pixels)
    return float(2 * (encode + k * sample) * n_images * len(seeds))


def images_scored(settings: Mapping[str, Any], sizes: Mapping[str, int]) -> int:
    """By `evaluate_nll`, in all; a number of images that is null is all of its split."""
    test, train = (range(sizes[split])[: settings[f"{split}_images"]] for split in ("test", "train"))
    return len(test) + len(train)


def annealing_flop(settings: Mapping[str, Any], layers: int, pixels: int) -> float:
    """Of AIS: every move takes gradients with respect to z, a way back for each way through the decoder."""
    _, sample = density_macs(layers, None, pixels)
    pilot_and_forward = settings["pilot_chains"] + settings["chains"]
    chains = settings["images"] * pilot_and_forward + settings["simulated"] * (pilot_and_forward + 1)
    return float(2 * sample * (2 * GRADIENTS_PER_MOVE + 1) * chains * settings["temperatures"])


def gan_macs(net: Any, channels: int) -> tuple[int, int]:
    """Multiply-adds of one image in generator and discriminator, from the net's description."""
    area = net.kernel**2
    stem_maps, stem_side = net.stem[0] * net.width, net.stem[1]
    generator, maps, side = net.latent * stem_maps * stem_side**2, stem_maps, stem_side
    layers = [(out * net.width, stride) for out, stride in net.generator] + [(channels, net.image_stride)]
    for out, stride in layers:
        generator += side**2 * area * maps * out  # of a fractionally-strided layer: once per input place
        maps, side = out, side * stride
    discriminator, maps, side = 0, channels, net.side
    for factor, stride in net.discriminator:
        side //= stride
        discriminator += side**2 * area * maps * factor * net.width
        maps = factor * net.width
    return generator, discriminator + side**2 * maps


def gan_training_flop(settings: Mapping[str, Any], net: Any, channels: int, n_images: int) -> float:
    """Of a GAN's run: D forward and back on real and fake, G forward and back through D."""
    generator, discriminator = gan_macs(net, channels)
    per_image = 2 * (8 * discriminator + 3 * generator)
    return float(per_image * n_images * (settings["epochs"] + settings.get("decay_epochs", 0)))


def share_of_product(k: int) -> float:
    """Which part of the measured product training reaches at this k."""
    return max(share for first, share in SHARE_BY_K if k >= first)


def measured_seconds(job: PlannedJob) -> float | None:
    """What the job took when it last ran here, from its benchmark file."""
    for path in job.benchmark:
        try:
            with Path(path).open(newline="") as file:
                return float(next(csv.DictReader(file, delimiter="\t"))["s"])
        except (OSError, StopIteration, KeyError, ValueError):
            continue
    return None


def measured_flops(rows: int = 1000, seconds: float = 0.4) -> float:
    """Operations per second of one thread in float32 products of our shapes, (rows, 200) @ (200, 200).

    The best of many single products, each so short that some run undisturbed on a busy machine too.
    """
    program = (
        "import time, numpy as np\n"
        f"a, b = np.ones(({rows}, 200), np.float32), np.ones((200, 200), np.float32); out = a @ b\n"
        f"best, until = 0.0, time.perf_counter() + {seconds}\n"
        "while time.perf_counter() < until:\n"
        "    start = time.perf_counter(); np.dot(a, b, out=out)\n"
        f"    best = max(best, 2 * {rows} * 200 * 200 / (time.perf_counter() - start))\n"
        "print(best)"
    )
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", program], env={**environment(), **one_thread}, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def wall_seconds(costs: Sequence[Cost], cores: int | None = None) -> float:
    """Least time for jobs of one core each: no less than the longest chain of them, nor than the sum over the cores."""
    maker = {path: number for number, cost in enumerate(costs) for path in cost.job.outputs}

    @cache
    def until_done(number: int) -> float:
        waited_for = {maker[path] for path in costs[number].job.inputs if path in maker}
        return (costs[number].left or 0.0) + max(map(until_done, waited_for), default=0.0)

    shared = sum(cost.left or 0.0 for cost in costs) / (cores or os.cpu_count() or 1)
    return max([shared, *map(until_done, range(len(costs)))])


def in_words(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
