"""Who is right how often, at what cost: every configuration, the adaptive whole, and what it has to be compared with.

- **adaptive**: what the dispatcher does at one price, by the bundle's default policy; where it escalates, an image's
  route is the configuration that answered last, and its BitOPs are those of both;
- **random routing**: as many images to each configuration, picked at random. What the estimator is worth is the gap;
- **escalation**: the cheapest on all, the dearest again where the cheapest is unsure, at the adaptive mean BitOPs;
- **oracle**: for each image the cheapest configuration that is right. No router can beat its accuracy.

Bands cut the images by quality (the estimator's highest p_right) into equally many each.
"""

from typing import Any

import numpy as np

from dqmq_deploy.bundle.manifest import ROUTE, Manifest
from dqmq_deploy.report import routing
from dqmq_deploy.report.intervals import mean_interval, paired_difference, wilson
from dqmq_deploy.report.outcomes import Outcomes
from dqmq_deploy.routing import Cascade, choose, run_cascade, run_route

SWEEP_PRICES = np.concatenate([[0.0], np.geomspace(1e-3, 4.0, 60)])
"""Prices at which the adaptive curve is drawn, beside those of the manifest."""


def route_table(outcomes: Outcomes, manifest: Manifest, price: float) -> dict[str, Any]:
    """Quality bands and the share of each configuration in each band; needs no labels."""
    route, spent = _dispatched(outcomes, manifest, price)
    edges, band = routing.quality_bands(outcomes.p_right.max(axis=1))
    names = [entry.name for entry in manifest.configurations]
    rows = []
    for index in range(len(edges) - 1):
        chosen = route[band == index]
        shares = routing.mix(chosen, len(names))
        rows.append(
            {
                "low": float(edges[index]),
                "high": float(edges[index + 1]),
                "images": len(chosen),
                "mix": dict(zip(names, shares.tolist(), strict=True)),
            }
        )
    overall = routing.mix(route, len(names))
    return {
        "price": price,
        "images": len(route),
        "bands": rows,
        "mix": dict(zip(names, overall.tolist(), strict=True)),
        "bitops": float(spent.mean()),
        "decode_ms_mean": float(outcomes.decode_ms.mean()),
        "unreadable": len(outcomes.unreadable),
        "unreadable_first": outcomes.unreadable[:5],
    }


def accuracy_table(outcomes: Outcomes, manifest: Manifest, price: float, seed: int) -> dict[str, Any] | None:
    """Accuracies overall and by band with 95 % intervals, the baselines of routing, and the price sweep.

    ``None`` where the images carry no labels.
    """
    if outcomes.truth is None:
        return None
    truth = outcomes.truth
    right = outcomes.predicted == truth[:, None]
    route, spent = _dispatched(outcomes, manifest, price)
    edges, band = routing.quality_bands(outcomes.p_right.max(axis=1))
    count = len(edges) - 1
    bitops = _bitops(manifest)
    shares = routing.mix(route, len(bitops))
    ours, ours_bitops = adaptive_right(outcomes, manifest, price), float(spent.mean())
    oracle_route = routing.cheapest_right(right)

    rows = [_row("adaptive", "adaptive", ours, band, count, ours_bitops)]
    rows += [
        _row(entry.name, "configuration", right[:, index], band, count, float(entry.bitops))
        for index, entry in enumerate(manifest.configurations)
    ]
    rows += [
        _row(name, "baseline", predicted == truth, band, count, None)
        for name, predicted in outcomes.baseline_predicted.items()
    ]
    best = int(np.argmax(right.mean(axis=0)))
    random = routing.random_routing(right, route, seed=seed)
    return {
        "images": len(truth),
        "price": price,
        "rows": rows,
        "runs": _runs(outcomes, manifest, price),
        "random": {
            **random,
            "bitops": float(shares @ bitops),
            "bands": [float(shares @ right[band == index].mean(axis=0)) for index in range(count)],
        },
        "escalation": routing.escalation(right, outcomes.score[:, 0], bitops, ours_bitops),
        "oracle": {
            **_row("oracle", "oracle", right.any(axis=1), band, count, None),
            "bitops": float(routing.mix(oracle_route, len(bitops)) @ bitops),
        },
        "best_static": manifest.configurations[best].name,
        "adaptive_minus_best_static": paired_difference(ours, right[:, best]),
        "adaptive_minus_random": mean_interval(ours - right @ shares),
        "sweep": _sweep(outcomes, manifest, right, price),
    }


def _sweep(outcomes: Outcomes, manifest: Manifest, right: routing.Bools, price: float) -> list[dict[str, Any]]:
    policy = manifest.policy(manifest.default_policy)
    prices = [point.price for point in policy.curve]
    if policy.name == ROUTE:
        every = np.concatenate([SWEEP_PRICES, prices, [price]])
        swept = routing.price_sweep(right, outcomes.p_right, _cost(manifest), _bitops(manifest), every)
        return [{**point, "runs": point["mix"]} for point in swept]
    points = []
    for at in prices:
        route, spent = _dispatched(outcomes, manifest, at)
        points.append(
            {
                "price": at,
                "accuracy": float(adaptive_right(outcomes, manifest, at).mean()),
                "bitops": float(spent.mean()),
                "mix": routing.mix(route, len(manifest.configurations)).tolist(),
                "runs": _runs(outcomes, manifest, at),
            }
        )
    return points


def _cascade(manifest: Manifest, price: float) -> Cascade | None:
    """What the default policy does at ``price``; None where it routes."""
    if manifest.default_policy == ROUTE:
        return None
    return manifest.cascade(manifest.policy(manifest.default_policy).at(price))


def _dispatched(outcomes: Outcomes, manifest: Manifest, price: float) -> tuple[routing.Ints, routing.Floats]:
    """The configuration that answers each image at last, and the BitOPs of all that it ran."""
    bitops, cascade = _bitops(manifest), _cascade(manifest, price)
    if cascade is None:
        route = choose(outcomes.p_right, _cost(manifest), price).astype(np.int64)
        return route, bitops[route]
    skipped = cascade.skipped(outcomes.p_right)
    again = ~skipped & cascade.escalated(outcomes.score[:, cascade.first])
    route = np.where(skipped | again, cascade.last, cascade.first).astype(np.int64)
    return route, bitops[route] + again * bitops[cascade.first]


def _runs(outcomes: Outcomes, manifest: Manifest, price: float) -> list[float]:
    """The share of images that each configuration's graph is run on; they sum to more than 1 where images escalate."""
    route, _ = _dispatched(outcomes, manifest, price)
    runs = routing.mix(route, len(manifest.configurations))
    cascade = _cascade(manifest, price)
    if cascade is not None and cascade.last != cascade.first:
        runs[cascade.first] = 1 - cascade.skipped(outcomes.p_right).mean()
    return [float(share) for share in runs]


def adaptive_right(outcomes: Outcomes, manifest: Manifest, price: float) -> routing.Bools:
    """Whether the adaptive whole is right; needs labels."""
    cascade, cost = _cascade(manifest, price), _cost(manifest)
    if cascade is None:
        return run_route(outcomes.evidence, cost, 0.0, price).right
    return run_cascade(cascade, outcomes.evidence, cost, 0.0).right


def _cost(manifest: Manifest) -> routing.Floats:
    return np.array([entry.cost for entry in manifest.configurations])


def _bitops(manifest: Manifest) -> routing.Floats:
    return np.array([entry.bitops for entry in manifest.configurations], np.float64)


def _row(
    name: str, kind: str, right: routing.Bools, band: routing.Ints, count: int, bitops: float | None
) -> dict[str, Any]:
    bands = [_share(right[band == index]) for index in range(count)]
    return {"name": name, "kind": kind, **_share(right), "bitops": bitops, "bands": bands}


def _share(right: routing.Bools) -> dict[str, float | int]:
    low, high = wilson(int(right.sum()), len(right))
    return {"accuracy": float(right.mean()) if len(right) else 0.0, "low": low, "high": high, "images": len(right)}
