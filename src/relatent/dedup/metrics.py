"""The numbers of a de-duplication, in the form of metrics.json (DESIGN section 5)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from relatent.dedup.codes import CodeStatistics, needed_entropy_bits
from relatent.dedup.findings import Found, JudgedPairs, PixelCopies
from relatent.dedup.judge import share_interval
from relatent.dedup.planted import Planted

Metrics = dict[str, dict[str, Any]]

COLLAPSED_BUCKET = 0.01
"""Share of the images on one code from which the codes count as collapsed, whatever their entropy."""


def dedup_metrics(
    found: Found,
    statistics: CodeStatistics,
    planted: Sequence[Planted],
    collisions: JudgedPairs,
    copies: PixelCopies | None,
    n_held_out: int,
    false_share: float,
) -> Metrics:
    """All metrics of a dataset; arguments as the functions of this room return them.

    Precision is null where nothing was removed: there is nothing to be right about.
    """
    n, removed, leaked = len(found.lowest), found.n_removed, found.leaked
    sizes = np.bincount(found.lowest)
    needed = needed_entropy_bits(n, removed, false_share)
    metrics: Metrics = {
        "n_images": _count(n),
        "n_kept": _count(n - removed),
        "n_duplicates": _count(removed),
        "n_clusters": _count(int((sizes > 1).sum())),
        "largest_cluster": _count(int(sizes.max())),
        "radius_bits": _bits(found.radius),
        "precision": _share(found.removals, "of removed images, by the automatic judge"),
        "n_leaked": _count(leaked.total, n_images=n_held_out),
        "leaked_share": {"value": leaked.total / n_held_out if n_held_out else None, "unit": "fraction"},
        "leak_precision": _share(leaked, "of held-out images near a train image, by the automatic judge"),
        "n_leaked_judged_same": _count(int(leaked.verdicts.same.sum())),
        "code_entropy_bits": _bits(statistics.entropy),
        "code_entropy_independent_bits": _bits(statistics.entropy_independent),
        "collision_entropy_bits": collision_entropy(n, collisions),
        "collision_entropy_independent_bits": _bits(statistics.collision_entropy_independent),
        "needed_entropy_bits": _bits(needed),
        "distance_mean_bits": _bits(statistics.distance_mean),
        "distance_sd_bits": _bits(statistics.distance_sd),
        "n_constant_bits": _count(statistics.n_constant_bits),
        "largest_bucket": _count(statistics.largest_bucket),
        "n_colliding_pairs": _count(statistics.colliding_pairs),
    }
    if copies is not None:
        near = int((copies.distance <= found.radius).sum())
        metrics["n_pixel_copies"] = _count(len(copies.a), n_images=n_held_out)
        metrics["leak_recall"] = _found(near, len(copies.a), "of held-out images that a full scan by pixels finds")
    for kind in dict.fromkeys(row.kind for row in planted):
        rows = [row for row in planted if row.kind == kind]
        n_planted = sum(len(row.distance) for row in rows)
        metrics[f"recall_{kind}"] = {
            **_found(sum(row.found(found.radius) for row in rows), n_planted, "of planted copies"),
            "exact_match": sum(row.found(0) for row in rows) / n_planted,
        }
    return metrics


def by_radius(found: Found, planted: Sequence[Planted], copies: PixelCopies | None) -> dict[str, Any]:
    """One row of the ablation over the radius: what it removes, how precisely, and what it finds."""
    precision = _share(found.removals, "")
    row = {
        "radius": found.radius,
        "removed": found.n_removed,
        "largest_cluster": int(np.bincount(found.lowest).max()),
        "precision": precision["value"],
        "precision_low": precision["low"],
        "precision_high": precision["high"],
        "leaked": found.leaked.total,
        "leak_precision": _share(found.leaked, "")["value"],
        "leak_recall": float((copies.distance <= found.radius).mean()) if copies and len(copies.a) else None,
    }
    for kind in dict.fromkeys(part.kind for part in planted):
        parts = [part for part in planted if part.kind == kind]
        row[f"recall_{kind}"] = sum(p.found(found.radius) for p in parts) / sum(len(p.distance) for p in parts)
    return row


def collision_entropy(n: int, collisions: JudgedPairs) -> dict[str, Any]:
    """-log2 of the chance that two *different* pictures have equal codes, among `n` images.

    True copies collide too, so the judge says which share of the colliding pairs shows different pictures. Where it
    saw none, the value is a lower bound at 95 % (rule of three on the pairs drawn, or on all pairs of images if none
    collides) and says so.
    """
    pairs = n * (n - 1) / 2
    drawn, different = len(collisions.a), int((~collisions.verdicts.same).sum())
    if collisions.total == 0:
        return {**_bits(float(np.log2(pairs / 3))), "bound": "at least", "n_pairs": 0}
    share = different / drawn if different else 1 - share_interval(drawn, drawn)[0]
    metric = {**_bits(float(np.log2(pairs / (collisions.total * share)))), "n_pairs": drawn}
    return metric if different else {**metric, "bound": "at least"}


def human_precision(verdicts: Sequence[bool]) -> Metrics:
    """Precision by human verdicts: one per pair, whether it shows one picture."""
    return {"precision_human": _found(sum(verdicts), len(verdicts), "of removed images, by a person")}


def collapse_warnings(metrics: Metrics, code_units: int) -> list[str]:
    """Sentences on what is wrong with the codes; none if they can tell as many images apart as there are."""
    value = {name: metric["value"] for name, metric in metrics.items()}
    found = []
    if value["largest_bucket"] > max(COLLAPSED_BUCKET * value["n_images"], 1):
        found.append(
            f"{value['largest_bucket']} of {value['n_images']} images share one code: the codes have collapsed there "
            "(all bits off is the usual failure), or the set really holds that many copies; see the contact sheet"
        )
    measured = "bound" not in metrics["collision_entropy_bits"]
    if measured and value["collision_entropy_bits"] < value["needed_entropy_bits"]:
        found.append(
            f"collision entropy is {value['collision_entropy_bits']:.1f} bits, {value['n_images']} images need "
            f"{value['needed_entropy_bits']:.1f}: different pictures are removed; see precision, then fit longer"
        )
    if 2 * value["n_constant_bits"] > code_units:
        found.append(f"{value['n_constant_bits']} of {code_units} bits are the same in all images; fit longer")
    return found


def _count(value: float, **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": "count", **more}


def _bits(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "bits"}


def _share(pairs: JudgedPairs, meaning: str) -> dict[str, Any]:
    return _found(int(pairs.verdicts.same.sum()), len(pairs.a), meaning)


def _found(right: int, of: int, meaning: str) -> dict[str, Any]:
    low, high = share_interval(right, of)
    return {
        "value": right / of if of else None,
        "low": low,
        "high": high,
        "interval": "test sampling",
        "unit": "fraction",
        "n_pairs": of,
        "meaning": meaning,
    }
