"""Does choosing pay? Every way at the same mean time, on images that no threshold was fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.report.adaptivity import ways
from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap
from dqmq_deploy.report.adaptivity.ways import Point, Settings, Times, Way
from dqmq_deploy.routing import Evidence, best_cascade, choose

FRACTIONS = (0.6, 0.8, 1.0)
"""Of the dearest configuration's time, at which ways are compared."""

PRICES = (0.0, *np.geomspace(1e-3, 3.0, 50).tolist())
"""Where settings are calibrated, beside the bundle's own."""

ROUTER, TRIAL, CASCADE = "router", "escalation", "escalation and estimator"


@dataclass(frozen=True)
class Judged:
    """The images that ways are judged on: what the bundle's graphs say of them, and whose track each belongs to."""

    evidence: Evidence
    names: tuple[str, ...]  # of the configurations, as the manifest lists them
    track: npt.NDArray[np.int64]  # [N]


def calibrate(evidence: Evidence, times: Times) -> Settings:
    """Settings from held-out ``evidence``, for the ``times`` of this machine."""
    cost = times.graph / times.graph.max()
    estimator = times.estimator / float(times.graph.max())
    return Settings(
        prices=PRICES,
        route_cost=cost,
        cascades=tuple(best_cascade(evidence, cost, estimator, price) for price in PRICES),
        trials=tuple(best_cascade(evidence, cost, estimator, price, skips=0) for price in PRICES),
        hull=ways.hull(evidence.right.mean(axis=0), times.graph),
    )


def compare(judged: Judged, times: Times, settings: Settings, default: str, seed: int) -> dict[str, Any]:
    """Curves, rows at equal time, and differences with 95 % intervals, as plain values for a report.

    ``default`` is the way that the bundle takes of itself, one of :data:`ROUTER`, :data:`TRIAL`, :data:`CASCADE`.
    """
    evidence = judged.evidence
    statics = ways.static(evidence, times, judged.names)
    pairs = ways.interpolated(evidence, times, settings.hull)
    adaptive = {
        ROUTER: ways.routed(evidence, times, settings),
        TRIAL: ways.escalated(evidence, times, settings.trials, TRIAL),
        CASCADE: ways.escalated(evidence, times, settings.cascades, CASCADE),
    }
    cascades = settings.trials if default == TRIAL else settings.cascades
    others = [ways.last_word(evidence, times, cascades), ways.random_twin(evidence, times, cascades)]
    if default == ROUTER:
        others = [_random_routes(evidence, times, settings)]
    oracle = ways.oracle(evidence, times)
    curves = [pairs, *adaptive.values(), *others, oracle]
    draws = Bootstrap(judged.track, seed)
    best = max(statics, key=lambda way: way.points[0].accuracy)
    slowest = max(way.points[0].ms for way in statics)
    return {
        "images": len(judged.track),
        "tracks": int(judged.track.max()) + 1,
        "default": default,
        "best_static": best.name,
        "statics": [_told(way.name, way.points[0], draws) for way in statics],
        "curves": {way.name: [{"ms": p.ms, "accuracy": p.accuracy} for p in way.points] for way in curves},
        "equal_time": [
            _at_time(f"{fraction:g} x {_slowest(statics).name}", fraction * slowest, curves, statics, draws)
            for fraction in FRACTIONS
        ]
        + [_at_time(f"time of {best.name}", best.points[0].ms, curves, statics, draws)],
        "differences": _differences(adaptive[default], pairs, others[-1], oracle, best, _slowest(statics), draws),
    }


def _random_routes(evidence: Evidence, times: Times, settings: Settings) -> Way:
    """As many images to each configuration as the router sends there, drawn at random."""
    found = []
    for price in settings.prices:
        route = choose(evidence.p_right, settings.route_cost, price)
        mix = np.bincount(route, minlength=len(times.graph)) / len(route)
        found.append(Point(evidence.right @ mix, float(mix @ times.graph) + times.dispatch + times.estimator))
    return Way("random, same mix", tuple(sorted(found, key=lambda point: point.ms)))


def _slowest(statics: Sequence[Way]) -> Way:
    return max(statics, key=lambda way: way.points[0].ms)


def _told(name: str, point: Point, draws: Bootstrap) -> dict[str, Any]:
    interval = draws.interval(point.right)
    return {
        "name": name,
        "ms": point.ms,
        "accuracy": point.accuracy,
        "low": interval["low"],
        "high": interval["high"],
    }


def _at_time(label: str, ms: float, curves: Sequence[Way], statics: Sequence[Way], draws: Bootstrap) -> dict[str, Any]:
    """What every way gets right within ``ms``; ways that take longer at their cheapest are left out."""
    reached = [(way.name, way.at(ms)) for way in [*statics, *curves]]
    return {"label": label, "ms": ms, "rows": [_told(name, point, draws) for name, point in reached if point]}


def _differences(
    adaptive: Way, pairs: Way, random: Way, oracle: Way, best: Way, slowest: Way, draws: Bootstrap
) -> dict[str, Any]:
    """What the bundle's own way is worth, in shares of images, with 95 % intervals."""
    time, most = best.points[0].ms, slowest.points[0]
    found: dict[str, Any] = {}

    def minus(key: str, ours: Point | None, theirs: Point | None, **facts: Any) -> None:
        if ours is not None and theirs is not None:
            found[key] = {**draws.interval(ours.right - theirs.right), "ms": ours.ms, **facts}

    at_best = adaptive.at(time)
    minus("minus_best_static", at_best, best.points[0], against=best.name)
    for fraction in FRACTIONS[:-1]:
        minus(f"at_{fraction:g}_minus_slowest", adaptive.at(fraction * most.ms), most, against=slowest.name)
        minus(f"at_{fraction:g}_minus_pairs", adaptive.at(fraction * most.ms), pairs.at(fraction * most.ms))
    middle = (pairs.points[0].ms + most.ms) / 2
    minus("minus_random", adaptive.at(middle), random.at(middle))
    minus("minus_pairs", adaptive.at(middle), pairs.at(middle))
    if at_best is not None:
        gained, gap = at_best.right - best.points[0].right, oracle.points[0].right - best.points[0].right
        if gap.mean() > 0:
            found["gap_closed"] = draws.interval_of(lambda mean: mean(gained) / np.maximum(mean(gap), 1e-9))
    return found


def verdict(result: dict[str, Any]) -> str:
    """The whole comparison in one plain sentence."""
    differences = result["differences"]
    found = differences.get("minus_best_static")
    if found is None:
        return (
            f"Routing does not pay on this data: even its fastest setting takes longer than {result['best_static']} "
            "alone, the best configuration for all images."
        )
    said = f"{100 * found['difference']:+.2f} points ({100 * found['low']:+.2f} to {100 * found['high']:+.2f}, 95 %)"
    told = f"at the time of {found['against']}, the best configuration for all images, it differs by {said}"
    pairs = differences.get("minus_pairs")
    if pairs is not None:
        told += (
            f", and half-way between the fastest and the slowest by {100 * pairs['difference']:+.2f} "
            f"({100 * pairs['low']:+.2f} to {100 * pairs['high']:+.2f}) from the best mixture that does not look"
        )
    pays = found["low"] > 0 or (pairs is not None and pairs["low"] > 0 and found["high"] > 0)
    return f"Routing {'pays' if pays else 'does not pay'} on this data: {told}."
