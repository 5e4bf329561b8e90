"""Does choosing pay? Every way at the same mean time, on images that no threshold was fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.report.adaptivity import ways
from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap, told
from dqmq_deploy.report.adaptivity.settings import Fold, Times
from dqmq_deploy.report.adaptivity.ways import Way
from dqmq_deploy.routing import Evidence

FRACTIONS = (0.6, 0.8)
"""Of the slowest configuration's time, at which ways are compared beside the time of each configuration."""

BUDGETS = 20
"""Mean times that the figure over the whole range is a mean of."""

ROUTER, TRIAL, CASCADE = "router", "escalation", "router and escalation"

ADAPTIVE = (ROUTER, TRIAL, CASCADE)
"""Ways that a bundle may take of itself."""


@dataclass(frozen=True)
class Judged:
    """The images that ways are judged on: what the bundle's graphs say of them, and whose track each belongs to."""

    evidence: Evidence
    names: tuple[str, ...]  # of the configurations, as the manifest lists them
    track: npt.NDArray[np.int64]  # [N]


@dataclass(frozen=True)
class Rivals:
    """All ways on the same images at the same times; ``default`` is the one that the bundle takes of itself."""

    statics: tuple[Way, ...]
    mixtures: Way
    adaptive: dict[str, Way]
    random: Way
    oracle: Way
    default: str

    @property
    def ours(self) -> Way:
        """The way that is judged."""
        return self.adaptive[self.default]

    @property
    def best(self) -> Way:
        """The most accurate configuration, the fastest of them."""
        return max(self.statics, key=lambda way: (way.points[0].accuracy, -way.fastest))

    @property
    def slowest(self) -> Way:
        """The configuration that takes longest."""
        return max(self.statics, key=lambda way: way.fastest)

    def curves(self) -> list[Way]:
        """Every way but single configurations and the oracle."""
        return [self.mixtures, self.random, *self.adaptive.values()]

    def best_within(self, ms: float) -> Way | None:
        """The most accurate configuration that takes no longer than ``ms``."""
        fitting = [way for way in self.statics if way.fastest <= ms * (1 + 1e-9)]
        return max(fitting, key=lambda way: (way.points[0].accuracy, -way.fastest)) if fitting else None


def rivals(judged: Judged, times: Times, folds: Sequence[Fold], default: str) -> Rivals:
    """Every way to spend time on the images."""
    evidence = judged.evidence
    random = "random, same mix"
    return Rivals(
        statics=tuple(ways.static(evidence, times, judged.names)),
        mixtures=ways.mixtures(evidence, times),
        adaptive={
            ROUTER: ways.routed(evidence, times, folds, ROUTER),
            TRIAL: ways.escalated(evidence, times, folds, "trials", TRIAL),
            CASCADE: ways.escalated(evidence, times, folds, "cascades", CASCADE),
        },
        random=ways.random_routes(evidence, times, folds, random)
        if default == ROUTER
        else ways.random_cascades(evidence, times, folds, "trials" if default == TRIAL else "cascades", random),
        oracle=ways.oracle(evidence, times),
        default=default,
    )


def compare(found: Rivals, draws: Bootstrap) -> dict[str, Any]:
    """Curves, rows at equal time, and differences with 95 % intervals, as plain values for a report."""
    best, slowest = found.best, found.slowest
    at = {f"time of {way.name}": way.fastest for way in found.statics}
    at |= {f"{fraction:g} x the slowest": fraction * slowest.fastest for fraction in FRACTIONS}
    return {
        "default": found.default,
        "best_static": best.name,
        "best_static_ms": best.fastest,
        "slowest_static": slowest.name,
        "statics": [{"name": way.name, **_told(way, way.fastest, draws)} for way in found.statics],
        "oracle": _told(found.oracle, found.oracle.fastest, draws),
        "curves": {
            way.name: [{"ms": point.ms, "accuracy": point.accuracy} for point in way.points] for way in found.curves()
        },
        "equal_time": [
            _equal_time(label, ms, found, draws)
            for label, ms in sorted(at.items(), key=lambda item: item[1])
            if found.best_within(ms)
        ],
        "over_the_range": _over_the_range(found, draws),
    }


def _told(way: Way, ms: float, draws: Bootstrap) -> dict[str, float]:
    """Accuracy within ``ms`` with its interval."""
    point = way.at(ms)
    assert point is not None
    value = told(point.accuracy, draws.accuracy_at(way, ms))
    return {"ms": point.ms, "accuracy": value["value"], "low": value["low"], "high": value["high"]}


def _equal_time(label: str, ms: float, found: Rivals, draws: Bootstrap) -> dict[str, Any]:
    """What every way gets right within ``ms``; ways that take longer at their fastest are left out.

    ``differences`` are those of the bundle's own way, as shares of images: to the best configuration that is no slower,
    to the best mixture, to random choice, and how much of the gap to the oracle it closes.
    """
    reached = [way for way in (*found.statics, *found.curves()) if way.fastest <= ms * (1 + 1e-9)]
    rows = [{"name": way.name, **_told(way, ms, draws)} for way in reached]
    differences: dict[str, dict[str, float]] = {}
    best, ours = found.best_within(ms), found.ours
    if ours in reached and best is not None:
        value, drawn = _at(ours, ms, draws)
        for key, way in (("best_static", best), ("mixture", found.mixtures), ("random", found.random)):
            if way in reached:
                other, others = _at(way, ms, draws)
                differences[key] = told(value - other, drawn - others)
        base, bases = _at(best, ms, draws)
        most, mosts = _at(found.oracle, found.oracle.fastest, draws)
        if np.percentile(mosts - bases, 1) > 0:  # else there is hardly a gap to close
            closed = (drawn - bases) / np.maximum(mosts - bases, 1e-9)
            differences["gap_closed"] = told((value - base) / (most - base), closed)
    return {
        "label": label,
        "ms": ms,
        "best_static": None if best is None else best.name,
        "rows": rows,
        "differences": differences,
    }


def _over_the_range(found: Rivals, draws: Bootstrap) -> dict[str, Any] | None:
    """Ours minus the best mixture, mean over mean times from the fastest to the slowest configuration."""
    low, high = max(found.ours.fastest, found.mixtures.fastest), found.slowest.fastest
    if low >= high:
        return None
    values, drawn = [], []
    for ms in np.linspace(low, high, BUDGETS).tolist():
        (ours, our_draws), (theirs, their_draws) = _at(found.ours, ms, draws), _at(found.mixtures, ms, draws)
        values.append(ours - theirs)
        drawn.append(our_draws - their_draws)
    return {"from_ms": low, "to_ms": high, **told(float(np.mean(values)), np.mean(drawn, axis=0))}


def _at(way: Way, ms: float, draws: Bootstrap) -> tuple[float, npt.NDArray[np.floating]]:
    point = way.at(max(ms, way.fastest))
    assert point is not None
    return point.accuracy, draws.accuracy_at(way, ms)
