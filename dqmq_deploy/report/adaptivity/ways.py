"""Ways to spend time on images, each a curve of what it gets right against the mean time it takes.

Everything an image costs counts: the estimator where it is asked, both graphs where an answer is not trusted, and what
the dispatcher itself takes. Static configurations are charged for their graph alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dqmq_deploy.routing import Cascade, Evidence, Outcome, choose, run_cascade, run_route

Shares = npt.NDArray[np.float64]
"""For each image the probability, 0 to 1, that it is classified rightly; 0 or 1 where nothing is drawn at random."""


@dataclass(frozen=True)
class Times:
    """Mean milliseconds of one image on one thread."""

    graph: npt.NDArray[np.float64]  # [K], each configuration's graph
    estimator: float
    dispatch: float  # the dispatcher's own work, where it chooses


@dataclass(frozen=True)
class Point:
    """One setting of a way: what it gets right, and the mean time it takes."""

    right: Shares  # [N]
    ms: float

    @property
    def accuracy(self) -> float:
        """Expected share of right answers."""
        return float(self.right.mean())


@dataclass(frozen=True)
class Way:
    """A way with its settings by rising time."""

    name: str
    points: tuple[Point, ...]

    def at(self, ms: float) -> Point | None:
        """What it gets right within ``ms`` in the mean; None where its cheapest setting takes longer.

        Between two settings, images are split at random so that the time is met.
        """
        if ms < self.points[0].ms:
            return None
        for before, after in zip(self.points, self.points[1:], strict=False):
            if before.ms <= ms < after.ms:
                share = (ms - before.ms) / (after.ms - before.ms)
                return Point((1 - share) * before.right + share * after.right, ms)
        return self.points[-1]


@dataclass(frozen=True)
class Settings:
    """What was calibrated on other images than those that are judged: prices to route at, cascades to run."""

    prices: tuple[float, ...]
    route_cost: npt.NDArray[np.float64]  # [K], the unit that prices count in
    cascades: tuple[Cascade, ...]
    trials: tuple[Cascade, ...]  # the same without the estimator
    hull: tuple[int, ...]  # configurations that no mixture of two others beat


def static(evidence: Evidence, times: Times, names: Sequence[str]) -> list[Way]:
    """Every configuration by itself."""
    right = evidence.right
    return [Way(name, (Point(right[:, k].astype(float), float(times.graph[k])),)) for k, name in enumerate(names)]


def interpolated(evidence: Evidence, times: Times, hull: Sequence[int]) -> Way:
    """Random mixtures of neighbouring configurations of the calibrated ``hull``: what needs no look at the image."""
    right = evidence.right
    return _way("static pairs", [Point(right[:, k].astype(float), float(times.graph[k])) for k in hull])


def routed(evidence: Evidence, times: Times, settings: Settings) -> Way:
    """The quality router at every price."""
    found = []
    for price in settings.prices:
        outcome = run_route(evidence, settings.route_cost, 0.0, price)
        route = choose(evidence.p_right, settings.route_cost, price)
        found.append(Point(outcome.right.astype(float), _paid(times, times.graph[route], asked=True)))
    return _way("router", found)


def escalated(evidence: Evidence, times: Times, cascades: Sequence[Cascade], name: str) -> Way:
    """Cascades, each as it was calibrated; both answers count."""
    return _way(
        name, [_point(run_cascade(cascade, evidence, times.graph, 0.0), times, cascade) for cascade in cascades]
    )


def last_word(evidence: Evidence, times: Times, cascades: Sequence[Cascade]) -> Way:
    """The same cascades where the dearer answer alone counts: what putting both together is worth."""
    pairs = evidence.pair_right.copy()
    count = pairs.shape[1]
    for i in range(count):
        for j in range(i + 1, count):
            pairs[:, i, j] = evidence.pair_right[:, j, j]
    alone = Evidence(evidence.p_right, evidence.score, pairs)
    return escalated(alone, times, cascades, "escalation, last word")


def random_twin(evidence: Evidence, times: Times, cascades: Sequence[Cascade]) -> Way:
    """The same cascades with as many images escalated and skipped, but drawn at random."""
    found = []
    for cascade in cascades:
        first, last = cascade.first, cascade.last
        skipped = cascade.skipped(evidence.p_right)
        again = ~skipped & cascade.escalated(evidence.score[:, first])
        skip, more = float(skipped.mean()), float(again.mean())
        pairs = evidence.pair_right.astype(float)
        right = skip * pairs[:, last, last] + more * pairs[:, first, last] + (1 - skip - more) * pairs[:, first, first]
        found.append(Point(right, _point(run_cascade(cascade, evidence, times.graph, 0.0), times, cascade).ms))
    return _way("random, same mix", found)


def oracle(evidence: Evidence, times: Times) -> Way:
    """For each image the fastest configuration that is right, the fastest of all where none is."""
    order = np.argsort(times.graph, kind="stable")
    right = evidence.right[:, order]
    route = order[np.argmax(right, axis=1)]
    return Way("oracle", (Point(right.any(axis=1).astype(float), float(times.graph[route].mean())),))


def hull(accuracy: npt.NDArray[np.float64], ms: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """Configurations on the upper hull of accuracy over time, fastest first: no mixture of two others beats them.

    >>> hull(np.array([0.8, 0.81, 0.9]), np.array([1.0, 2.0, 3.0]))
    (0, 2)
    """
    kept: list[int] = []
    for k in sorted(range(len(ms)), key=lambda k: (ms[k], -accuracy[k])):
        if kept and accuracy[k] <= accuracy[kept[-1]]:
            continue
        while len(kept) > 1 and _slope(accuracy, ms, kept[-2], k) >= _slope(accuracy, ms, kept[-2], kept[-1]):
            kept.pop()
        kept.append(k)
    return tuple(kept)


def _slope(accuracy: npt.NDArray[np.float64], ms: npt.NDArray[np.float64], a: int, b: int) -> float:
    return float((accuracy[b] - accuracy[a]) / max(ms[b] - ms[a], 1e-12))


def _paid(times: Times, graphs: npt.NDArray[np.float64], asked: bool) -> float:
    return float(graphs.mean()) + times.dispatch + (times.estimator if asked else 0.0)


def _point(outcome: Outcome, times: Times, cascade: Cascade) -> Point:
    return Point(outcome.right.astype(float), _paid(times, outcome.cost, cascade.asks_estimator))


def _way(name: str, points: list[Point]) -> Way:
    """Points by rising time; of those that take the same time the first counts."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: point.ms):
        if not found or point.ms > found[-1].ms + 1e-9:
            found.append(point)
    return Way(name, tuple(found))
