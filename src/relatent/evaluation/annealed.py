"""The gap of L_k, measured: annealed importance sampling of test images, and both bounds on simulated ones."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from relatent.data.binarisation import test_binarisation
from relatent.data.streams import stream
from relatent.evaluation import nll
from relatent.evaluation.ais import Annealer, DensityTarget, Schedule, Start, inverse_temperatures, simulate
from relatent.evaluation.two_phase import drawn_images, regression_estimate
from relatent.models.density import DensityModel

Arrays = dict[str, NDArray[Any]]

IMAGES_AT_ONCE = 20  # between two checkpoints


@dataclass(frozen=True)
class AnnealingEffort:
    """How much is computed.

    Args:
        images: so many test images, drawn.
        simulated: images drawn from the model, on which log p(x) is bounded from above too; 0 for none.
        temperatures: steps from the start to the posterior.
        chains: per image; pilot_chains tune the step sizes.
        start: prior or q.
        schedule: of the temperatures.
        k: samples of the bound that simulated images are also given.
        seed: of all noise.
    """

    images: int
    simulated: int
    temperatures: int
    chains: int
    pilot_chains: int
    start: Start
    schedule: Schedule
    k: int
    seed: int


def annealed_metrics(
    model: DensityModel,
    grey: NDArray[np.uint8],
    bounds: NDArray[np.float64],
    effort: AnnealingEffort,
    done: Mapping[str, Arrays] | None = None,
    keep: Callable[[str, Arrays], None] = lambda _, __: None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[dict[str, dict[str, Any]], Arrays]:
    """Metrics and per-image values.

    Args:
        model: one seed's model.
        grey: (test images, ...) uint8 grey levels; `effort.images` of them are drawn and annealed.
        bounds: (test images,) L_k of the same images under the same model, by which the result is taken to all.
        effort: how much.
        done, keep: parts of an interrupted run, and where to hand them.
        advance: called with the number of images just done.
    """
    done = done or {}
    images = drawn_images(len(bounds), effort.images, effort.seed, "annealed images")
    x = test_binarisation(grey)[images].reshape(len(images), -1)
    test = _anneal(model, x, effort, "test", done.get("test"), keep, advance)
    lower, accepted = test["lower"], test["accepted"]
    estimate = regression_estimate(lower[None], bounds[None, images], bounds[None])
    known = {"stderr": estimate.stderr, "interval": "regression", "unit": "nats", "n_images": len(bounds)}
    sizes = {"n_scored": len(images), **_sizes(effort)}
    metrics: dict[str, dict[str, Any]] = {
        "ais_nll_nats": {"value": -float(estimate.mean[0]), "accepted": float(accepted.mean()), **known, **sizes},
        "ais_above_bound_nats": {"value": float(estimate.mean[0] - bounds.mean()), **known, **sizes},
    }
    per_image: Arrays = {"image": images, "ais_lower": lower, "bound": bounds[images], "accepted": accepted}
    if effort.simulated:
        binary, z = _simulated(model, effort)
        simulated = _anneal(model, binary, effort, "simulated", done.get("simulated"), keep, advance, z)
        below, above = simulated["lower"], simulated["upper"]
        found = nll.evaluate([nll.Scored(model, model.latents)], binary, effort.k, effort.seed, "simulated noise")
        metrics |= {
            "simulated_ais_lower_nats": _metric(below, effort),
            "simulated_ais_upper_nats": _metric(above, effort),
            "simulated_bound_nats": _metric(found["bound"][0], effort),
            "simulated_ais_gap_nats": _metric(above - below, effort),
            "simulated_bound_gap_nats": _metric(above - found["bound"][0], effort),
        }
        per_image |= {"simulated_lower": below, "simulated_upper": above, "simulated_bound": found["bound"][0]}
    return metrics, per_image


def _metric(values: NDArray[np.float64], effort: AnnealingEffort) -> dict[str, Any]:
    """Mean over simulated images; its error holds the chains' noise and the choice of images alike."""
    n = len(values)
    error = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    return {
        "value": float(values.mean()),
        "stderr": error,
        "interval": "test sampling",
        "unit": "nats",
        "n_images": n,
        **_sizes(effort),
    }


def _sizes(effort: AnnealingEffort) -> dict[str, int]:
    return {"chains": effort.chains, "temperatures": effort.temperatures, "k": effort.k}


def _anneal(
    model: DensityModel,
    x: NDArray[np.uint8],
    effort: AnnealingEffort,
    part: str,
    done: Arrays | None,
    keep: Callable[[str, Arrays], None],
    advance: Callable[[int], None],
    exact: torch.Tensor | None = None,
) -> Arrays:
    """Lower bounds and acceptance of every image, (images,) each.

    With `exact`, (images, latents), a draw of each posterior, upper bounds too; of one chain, since one draw is known.
    """
    names = ("lower", "accepted") if exact is None else ("lower", "accepted", "upper")
    results = {name: list(done[name]) if done else [] for name in names}
    betas = inverse_temperatures(effort.temperatures, effort.schedule)
    for start in range(len(results["lower"]), len(x), IMAGES_AT_ONCE):
        images = slice(start, start + IMAGES_AT_ONCE)
        target = DensityTarget(model, x[images], effort.start)
        annealer = Annealer(target, betas, effort.seed, len(x[images]), start, part)
        annealer.tune(effort.pilot_chains)
        annealed = annealer.forward(effort.chains)
        results["lower"].extend(annealed.lower_bound)
        results["accepted"].extend(annealed.accepted)
        if exact is not None:
            results["upper"].extend(annealer.reverse(exact[None, images]).upper_bound)
        keep(part, {name: np.array(values) for name, values in results.items()})
        advance(len(x[images]))
    return {name: np.array(values) for name, values in results.items()}


def _simulated(model: DensityModel, effort: AnnealingEffort) -> tuple[NDArray[np.uint8], torch.Tensor]:
    rng = stream(effort.seed, "simulated images")
    dtype = model.p_x_given_z1.logits.weight.dtype
    noise = [torch.from_numpy(rng.standard_normal((effort.simulated, latent))).to(dtype) for latent in model.latents]
    uniform = torch.from_numpy(rng.random((effort.simulated, model.pixels))).to(dtype)
    x, z = simulate(model, noise, uniform)
    return x.numpy().astype(np.uint8), z
