"""Price curves: what each price buys on held-out images, by either policy.

``route``: every image has a few prices at which its route changes. The curve takes 0, quantiles of those prices over
all images, and the price from which on everything goes to the cheapest: evenly spaced in what happens, not in price.

``escalate``: a cascade is fitted at each of a ladder of prices, to all images. Judged on the same images it would
flatter itself, so its accuracy is told by halves: on each half of the images, of the threshold and the skip that are
fitted to the other half, for the same two configurations.

Costs are measured times over that of the slowest configuration, the estimator's among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.manifest import ESCALATE, ROUTE, PolicyEntry, PricePoint
from dqmq_deploy.routing import Evidence, Outcome, choose, run_cascade, run_route
from dqmq_deploy.worth import sure_cascade, sure_cascades

POINTS = 30

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Expenses:
    """What an image costs: on each configuration, cheapest first, and on the estimator."""

    names: Sequence[str]
    bitops: Sequence[int]
    latency_ms: Sequence[float]
    estimator_ms: float

    @property
    def cost(self) -> Floats:
        """Time of each configuration over that of the slowest; one that is faster than a cheaper one costs as much."""
        return np.maximum.accumulate(np.asarray(self.latency_ms, np.float64)) / max(self.latency_ms)

    @property
    def estimator_cost(self) -> float:
        """Time of the estimator over that of the slowest configuration."""
        return self.estimator_ms / max(self.latency_ms)


@dataclass(frozen=True)
class Calibrated:
    """A policy, and what each point of its curve comes to, image by image."""

    policy: PolicyEntry
    outcomes: list[Outcome]


def calibrate_route(evidence: Evidence, expenses: Expenses) -> Calibrated:
    """Routing by the estimator, about :data:`POINTS` points; nothing is fitted, so all images tell."""
    cost = expenses.cost
    prices = _route_prices(np.asarray(evidence.p_right, np.float64), cost)
    outcomes = [run_route(evidence, cost, expenses.estimator_cost, price) for price in prices]
    points = []
    for price, outcome in zip(prices, outcomes, strict=True):
        seen = _shares(choose(evidence.p_right, cost, price), len(cost))
        points.append(
            PricePoint(
                price=price,
                accuracy=float(outcome.right.mean()),
                bitops=_bitops(expenses, seen),
                latency_ms=_latency_ms(expenses, seen, asks_estimator=True),
                mix=dict(zip(expenses.names, seen.tolist(), strict=True)),
            )
        )
    return Calibrated(PolicyEntry(ROUTE, points), outcomes)


def calibrate_escalation(evidence: Evidence, expenses: Expenses) -> Calibrated:
    """The best cascade at each price, one point where it changes; a lower price never spends less."""
    cost, estimator_cost = expenses.cost, expenses.estimator_cost
    prices = escalation_prices(cost)
    outcomes: list[Outcome] = []
    points: list[PricePoint] = []
    priced = zip(sure_cascades(evidence, cost, estimator_cost, prices), prices, strict=True)
    for cascade, alike in groupby(priced, key=itemgetter(0)):
        at = [price for _, price in alike]
        outcome = told_by_halves(evidence, cost, estimator_cost, at[-1], (cascade.first, cascade.last))
        outcomes.append(outcome)
        skipped = cascade.skipped(evidence.p_right)
        again = ~skipped & cascade.escalated(evidence.score[:, cascade.first])
        ends = _shares(np.where(skipped | again, cascade.last, cascade.first), len(cost))
        seen = ends + _shares(np.full(int(again.sum()), cascade.first), len(cost)) * again.mean()
        points.append(
            PricePoint(
                price=at[0],
                accuracy=float(outcome.right.mean()),
                bitops=_bitops(expenses, seen),
                latency_ms=_latency_ms(expenses, seen, asks_estimator=cascade.asks_estimator),
                mix=dict(zip(expenses.names, ends.tolist(), strict=True)),
                first=expenses.names[cascade.first],
                last=expenses.names[cascade.last],
                threshold=cascade.threshold,
                skip=cascade.skip,
                escalated=float(again.mean()),
                skipped=float(skipped.mean()),
            )
        )
    return Calibrated(PolicyEntry(ESCALATE, points), outcomes)


def escalation_prices(cost: Floats) -> list[float]:
    """At which a cascade is fitted: from 0 to where the time of the cheapest configuration is worth all accuracy."""
    return [0.0, *np.round(np.geomspace(1e-4, 1 / cost[0], POINTS - 1), 6).tolist()]


def told_by_halves(
    evidence: Evidence, cost: Floats, estimator_cost: float, price: float, pair: tuple[int, int]
) -> Outcome:
    """Even and odd images, each answered by the cascade of ``pair`` that suits the others best."""
    count = len(evidence.score)
    right, spent = np.zeros(count, np.bool_), np.zeros(count)
    for half in (0, 1):
        fitted = evidence.take(slice(1 - half, None, 2)) if count > 1 else evidence
        found = run_cascade(
            sure_cascade(fitted, cost, estimator_cost, price, pair),
            evidence.take(slice(half, None, 2)),
            cost,
            estimator_cost,
        )
        right[half::2], spent[half::2] = found.right, found.cost
    return Outcome(right, spent)


def _shares(index: npt.NDArray[np.intp], count: int) -> Floats:
    return np.bincount(index, minlength=count) / max(1, len(index))


def _bitops(expenses: Expenses, seen: Floats) -> float:
    return round(float(seen @ np.asarray(expenses.bitops, np.float64)))


def _latency_ms(expenses: Expenses, seen: Floats, *, asks_estimator: bool) -> float:
    estimator_ms = expenses.estimator_ms if asks_estimator else 0.0
    return round(float(seen @ np.asarray(expenses.latency_ms, np.float64)) + estimator_ms, 4)


def _route_prices(p_right: Floats, cost: Floats) -> list[float]:
    """0, quantiles of the prices at which a route can change, and one at which all go to the cheapest."""
    dearer, cheaper = np.triu_indices(len(cost), 1)[::-1]
    gap = cost[dearer] - cost[cheaper]
    changes = ((p_right[:, dearer] - p_right[:, cheaper])[:, gap > 0] / gap[gap > 0]).ravel()
    changes = changes[changes > 0]
    if not len(changes):
        return [0.0]
    inner = np.quantile(changes, np.linspace(0, 1, POINTS - 1)[:-1])
    # rounded up, so that no digit of the manifest's number lets an image slip back
    last = np.ceil(changes.max() * 1e4 + 1) / 1e4
    found: list[float] = np.unique(np.concatenate([[0.0], np.round(inner, 6), [last]])).tolist()
    return found
