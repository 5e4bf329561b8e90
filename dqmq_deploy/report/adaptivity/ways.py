"""Ways to spend time on images, each a curve of what it gets right against the mean time it takes.

Everything an image costs counts: the estimator where it is asked, both graphs where an answer is not trusted, and what
the dispatcher itself takes. Static configurations are charged for their graph alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dqmq_deploy.report.adaptivity.settings import Fold, Settings, Times
from dqmq_deploy.routing import Cascade, Evidence, Outcome, choose, run_cascade, run_route

Shares = npt.NDArray[np.float64]
"""For each image the probability, 0 to 1, that it is classified rightly; 0 or 1 where nothing is drawn at random."""


@dataclass(frozen=True)
class Point:
    """One setting of a way: what it gets right, and what it spends on each image.

    ``index`` is its position among the settings that the way was fitted at.
    """

    right: Shares  # [N]
    spent: npt.NDArray[np.float64]  # [N], milliseconds
    index: int = 0

    @property
    def accuracy(self) -> float:
        """Expected share of right answers."""
        return float(self.right.mean())

    @property
    def ms(self) -> float:
        """Mean milliseconds of an image."""
        return float(self.spent.mean())


@dataclass(frozen=True)
class Way:
    """A way with its settings by rising time."""

    name: str
    points: tuple[Point, ...]

    @property
    def fastest(self) -> float:
        """Mean milliseconds of its fastest setting."""
        return self.points[0].ms

    def at(self, ms: float) -> Point | None:
        """What it gets right within ``ms`` in the mean; None where its fastest setting takes longer.

        Between two settings, images are split at random so that the time is met.
        """
        if ms < self.fastest:
            return None
        for before, after in zip(self.points, self.points[1:], strict=False):
            if before.ms <= ms < after.ms:
                share = (ms - before.ms) / (after.ms - before.ms)
                return Point(
                    (1 - share) * before.right + share * after.right, (1 - share) * before.spent + share * after.spent
                )
        return self.points[-1]


def static(evidence: Evidence, times: Times, names: Sequence[str]) -> list[Way]:
    """Every configuration by itself."""
    return [Way(name, (_alone(evidence, times, k),)) for k, name in enumerate(names)]


def mixtures(evidence: Evidence, times: Times) -> Way:
    """The best that can be had without a look at the image: each goes to one of two configurations at random.

    Which two is chosen in hindsight on the images that are judged, to the disadvantage of all that is fitted elsewhere.
    """
    kept = hull(evidence.right.mean(axis=0), times.graph)
    return way("best mixture of two", [_alone(evidence, times, k) for k in kept])


def routed(evidence: Evidence, times: Times, folds: Sequence[Fold], name: str) -> Way:
    """The quality router at every price."""

    def run(some: Evidence, settings: Settings, index: int) -> Outcome:
        price = settings.prices[index]
        route = choose(some.p_right, settings.route_cost, price)
        right = run_route(some, settings.route_cost, 0.0, price).right
        return Outcome(right, times.graph[route] + times.estimator)

    return way(name, _points(evidence, times, folds, run, len(folds[0].settings.prices)))


def escalated(evidence: Evidence, times: Times, folds: Sequence[Fold], kind: str, name: str) -> Way:
    """The cascades of one ``kind``: ``"cascades"`` or ``"trials"`` of the settings."""

    def run(some: Evidence, settings: Settings, index: int) -> Outcome:
        return run_cascade(settings.of(kind)[index], some, times.graph, times.estimator)

    return way(name, _points(evidence, times, folds, run, len(folds[0].settings.of(kind))))


def random_routes(evidence: Evidence, times: Times, folds: Sequence[Fold], name: str) -> Way:
    """As many images to each configuration as the router sends there, drawn at random."""

    def run(some: Evidence, settings: Settings, index: int) -> tuple[Shares, Shares]:
        route = choose(some.p_right, settings.route_cost, settings.prices[index])
        mix = np.bincount(route, minlength=len(times.graph)) / max(1, len(route))
        return some.right @ mix, np.full(len(route), mix @ times.graph + times.estimator)

    return way(name, _points(evidence, times, folds, run, len(folds[0].settings.prices)))


def random_cascades(evidence: Evidence, times: Times, folds: Sequence[Fold], kind: str, name: str) -> Way:
    """The same cascades with as many images escalated and skipped, but drawn at random."""

    def run(some: Evidence, settings: Settings, index: int) -> tuple[Shares, Shares]:
        cascade = settings.of(kind)[index]
        skipped, again = turns(cascade, some)
        at_once, twice = float(skipped.mean()), float(again.mean())
        right = (1 - at_once - twice) * some.right[:, cascade.first] + at_once * some.right[:, cascade.last]
        right = right + twice * some.after(cascade.first, cascade.last)
        spent = run_cascade(cascade, some, times.graph, times.estimator).cost.mean()
        return right, np.full(len(right), spent)

    return way(name, _points(evidence, times, folds, run, len(folds[0].settings.of(kind))))


def oracle(evidence: Evidence, times: Times) -> Way:
    """For each image the fastest configuration that is right, the fastest of all where none is."""
    order = np.argsort(times.graph, kind="stable")
    right = evidence.right[:, order]
    route = order[np.argmax(right, axis=1)]
    return Way("oracle", (Point(right.any(axis=1).astype(float), times.graph[route]),))


def turns(cascade: Cascade, evidence: Evidence) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which images go to the last configuration at once, and which see both."""
    skipped = cascade.skipped(evidence.p_right)
    return skipped, ~skipped & cascade.escalated(evidence.score[:, cascade.first])


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


def way(name: str, points: Sequence[Point]) -> Way:
    """Points by rising time; of those that take the same time the first counts."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: point.ms):
        if not found or point.ms > found[-1].ms + 1e-9:
            found.append(point)
    return Way(name, tuple(found))


def _slope(accuracy: npt.NDArray[np.float64], ms: npt.NDArray[np.float64], a: int, b: int) -> float:
    return float((accuracy[b] - accuracy[a]) / max(ms[b] - ms[a], 1e-12))


def _alone(evidence: Evidence, times: Times, k: int) -> Point:
    right = evidence.right[:, k].astype(float)
    return Point(right, np.full(len(right), float(times.graph[k])))


Run = Callable[[Evidence, Settings, int], Outcome] | Callable[[Evidence, Settings, int], tuple[Shares, Shares]]


def _points(evidence: Evidence, times: Times, folds: Sequence[Fold], run: Run, count: int) -> list[Point]:
    """Setting after setting, what ``run`` says of each fold, put together."""
    images = len(evidence.score)
    right, spent = np.zeros((count, images)), np.zeros((count, images))
    for fold in folds:
        some = evidence.take(fold.rows)
        for index in range(count):
            found = run(some, fold.settings, index)
            answers, cost = (found.right, found.cost) if isinstance(found, Outcome) else found
            right[index, fold.rows], spent[index, fold.rows] = answers, cost + times.dispatch
    return [Point(right[index], spent[index], index) for index in range(count)]
