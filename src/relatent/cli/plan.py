"""Before running a study: its jobs, downloads, disk, operations and the time they will take on this device.

While it runs: how far each job under way has come, and the time left for the whole study.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from relatent.bridge.cost import (
    SHARE_ANNEALING,
    SHARE_CONVOLUTION,
    SHARE_EVALUATION,
    Cost,
    annealing_flop,
    bound_flop,
    density_training_flop,
    gan_training_flop,
    images_scored,
    in_words,
    measured_flops,
    measured_seconds,
    share_of_product,
    wall_seconds,
)
from relatent.bridge.graph import DEMO, expand, phase_names, study_place
from relatent.cli.job import run
from relatent.config.registry import Registry, load_registry
from relatent.errors import ConfigError
from relatent.ledger.files import read_json
from relatent.ledger.jobs import PlannedJob
from relatent.models.dcgan_nets import net_named
from relatent.progress import under_way


def main(argv: Sequence[str] | None = None) -> None:
    """Print the plan; nothing is run but a product of half a second."""
    parser = argparse.ArgumentParser(prog="relatent plan", description=__doc__)
    parser.add_argument("study", nargs="?", default=DEMO)
    place = study_place(parser.parse_args(argv).study)
    jobs = expand(place)
    to_do = {job.outputs for job in expand(place, force=False)}
    registry = load_registry()
    flops = measured_flops()
    costs = [cost_of(job, registry, flops, job.outputs in to_do) for job in jobs]
    print(f"{place.name}: {len(jobs)} jobs, {len(to_do)} to do")
    print(f"{'phase':<15}{'jobs':>6}{'to do':>7}{'operations':>14}{'one core':>12}")
    for phase in phase_names(jobs):
        print(_line(phase, [cost for cost in costs if cost.job.phase == phase], to_do))
    left = [cost for cost in costs if cost.job.outputs in to_do]
    cores = os.cpu_count() or 1
    for reading in [cost.reading for cost in left if cost.reading]:
        print(f"under way, {reading.share:.0%}: {reading.line}")
    print(f"this device: {flops / 1e9:.0f} GFLOP/s on one core (float32 products of our shapes), {cores} cores")
    print("\n".join(time_to_do(left, cores)))
    if any(cost.job.settings().get("device") == "cuda" for cost in left):
        print("some cells want a GPU (device: cuda); the time above is for this CPU")
    print("\n".join(_downloads(jobs, registry)))
    print(_disk(jobs))


def time_to_do(left: Sequence[Cost], cores: int) -> Iterator[str]:
    """How long the jobs to do will take, as far as it is known; of unknown ones no time is made up."""
    if not left:
        yield "to do: nothing"
        return
    unknown = [cost.job for cost in left if cost.left is None]
    n_known = len(left) - len(unknown)
    if n_known:
        of = "all jobs" if not unknown else f"{n_known} of {len(left)} jobs"
        yield (
            f"to do: about {in_words(wall_seconds(left, cores))} on {cores} cores for {of}, good to a factor of two; "
            f"{sum(cost.measured for cost in left)} were timed here before"
        )
    if unknown:
        phases = ", ".join(phase_names(unknown))
        yield (
            f"{'not counted' if n_known else 'to do'}: {len(unknown)} jobs of {phases}, of which no time is known "
            "before they have run here"
        )


def cost_of(job: PlannedJob, registry: Registry, flops: float, to_do: bool) -> Cost:
    """What one job costs, as far as it is known; of one to do also how far it has come, if it is under way."""
    flop, share = _flop(job, registry)
    modelled = flop / flops / share if flop is not None else None
    timed = measured_seconds(job)
    reading = under_way(Path(job.log[0])) if to_do and job.log else None
    return Cost(job, flop, modelled if timed is None else timed, timed is not None, reading)


def _flop(job: PlannedJob, registry: Registry) -> tuple[float | None, float]:
    """Operations, and the share of the measured product that such work reaches; None if not modelled."""
    settings = job.settings()
    parts = Path(job.outputs[0]).parts
    try:
        dataset = parts[3]
        channels, height, width = registry[dataset].prepare.shape
        pixels = channels * height * width
        sizes = n_images(dataset, registry)
        found = re.search(r"-L(\d)", parts[4])
        layers = int(found[1]) if found else 1
        if job.rule == "train_density":
            n_trained = sizes["train"] + (sizes["validation"] if settings["with_validation"] else 0)
            flop = density_training_flop(settings, pixels, n_trained)
            return flop, share_of_product(settings["k"])
        if job.rule == "evaluate_nll":
            n_scored = images_scored(settings, sizes)
            return bound_flop(n_scored, settings["k"], settings["seeds"], layers, pixels), SHARE_EVALUATION
        if job.rule in ("repeat_nll", "remove_units"):
            n_drawn = len(range(sizes["test"])[: settings["images"]])
            flop = bound_flop(n_drawn, settings["k"], settings["seeds"], layers, pixels)
            return flop, SHARE_EVALUATION
        if job.rule == "train_minus_test":
            k = settings["control_k"]
            return bound_flop(sizes["train"], k, settings["seeds"], layers, pixels), share_of_product(k)
        if job.rule == "anneal_density":
            return annealing_flop(settings, layers, pixels), SHARE_ANNEALING
        if job.rule == "train_gan":
            net = net_named(settings["net"])
            return gan_training_flop(settings, net, channels, sizes["train"]), SHARE_CONVOLUTION
    except (IndexError, KeyError, TypeError, ValueError, ConfigError):
        pass
    return None, 1.0


def n_images(dataset: str, registry: Registry) -> Mapping[str, int]:
    """Images per split: from the prepared manifest, or from the registry before there is one."""
    manifest = Path("data/prepared") / dataset / "manifest.json"
    if manifest.is_file():
        return {name: split["n"] for name, split in read_json(manifest)["splits"].items()}
    prepare = registry[dataset].prepare
    sizes: dict[str, int] = {}
    for name, split in prepare.splits.items():
        whole = prepare.parts[split.part].n_images
        stop = split.stop or whole
        if whole is not None and split.share is not None:
            sizes[name] = round(whole * (split.share[1] - split.share[0]))
        elif stop is not None:
            sizes[name] = stop - split.start
    return sizes


def _line(phase: str, costs: Sequence[Cost], to_do: set[tuple[str, ...]]) -> str:
    flop = sum(cost.flop or 0.0 for cost in costs)
    seconds = sum(cost.seconds or 0.0 for cost in costs)
    waiting = sum(cost.job.outputs in to_do for cost in costs)
    operations = f"{flop:.2g}" if flop else "-"
    return f"{phase:<15}{len(costs):>6}{waiting:>7}{operations:>14}{in_words(seconds) if seconds else '-':>12}"


def _downloads(jobs: Sequence[PlannedJob], registry: Registry) -> list[str]:
    lines, total = [], 0
    for job in jobs:
        if job.phase == "fetch" and job.dataset:
            for file in registry[job.dataset].files:
                path = Path("data/raw") / job.dataset / file.name
                size = file.size_bytes or 0
                if path.is_file():
                    continue
                bundled = getattr(file, "bundled", None)
                lines.append(f"  {path}: {size / 1e6:,.1f} MB{', bundled' if bundled else ''}")
                total += 0 if bundled else size
    mirror = os.environ.get("RELATENT_MIRROR")
    source = f", from RELATENT_MIRROR={mirror} first" if mirror else ""
    return [f"downloads: {total / 1e6:,.1f} MB{source}", *lines]


def _disk(jobs: Sequence[PlannedJob]) -> str:
    there = sum(Path(path).stat().st_size for job in jobs for path in job.outputs if Path(path).is_file())
    free = shutil.disk_usage(".").free
    return f"disk: {there / 1e6:,.0f} MB made so far, {free / 1e9:,.0f} GB free here (DVC's cache keeps a second copy)"


if __name__ == "__main__":
    sys.exit(run(main))
