"""How a bundle dispatches unless told otherwise, and whether that pays: decided on held-out images.

Ways are compared by their accuracy over mean time, averaged over mean times from the cheapest configuration's to the
dearest's, with a paired 95 % interval.

- The default policy is ``escalate``, which mostly does without the estimator, unless ``route`` is surely better.
- The default price is the highest whose accuracy is within 0.1 points of the best configuration's or, where all of the
  default policy's curve is below, of the best on it.
- Where the default policy is not surely better than fixed configurations, mixed by chance to the same mean time, a note
  says so; another where the default price leaves all images to one configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dqmq_deploy.bundle.manifest import PolicyEntry
from dqmq_deploy.export.curve import Calibrated, Expenses, calibrate_escalation, calibrate_route
from dqmq_deploy.routing import Evidence, Outcome
from dqmq_deploy.worth import Gain, mean_gain, over_budgets, static_outcomes

TOLERANCE = 0.001
"""Accuracy that the default price may give up against the best configuration, on held-out images.

On images of kinds that training did not see it comes to more: twice as much gave up 0.7 points on gtsrb-val.
"""

BUDGETS = 20
"""Mean times at which policies are compared."""


@dataclass(frozen=True)
class Calibration:
    """What the manifest says of dispatching."""

    policies: list[PolicyEntry]
    default_policy: str
    default_price: float
    notes: list[str]


def calibrate(evidence: Evidence, expenses: Expenses) -> Calibration:
    """Both policies' curves, the defaults, and a note where adapting does not pay."""
    escalate, route = calibrate_escalation(evidence, expenses), calibrate_route(evidence, expenses)
    chosen = route if _gain(route.outcomes, escalate.outcomes, expenses).is_sure else escalate
    price = default_price(chosen.policy, float(evidence.right.mean(axis=0).max()))
    notes = [*_pays(chosen, evidence, expenses), *_adapts(chosen.policy, price)]
    return Calibration([escalate.policy, route.policy], chosen.policy.name, price, notes)


def default_price(policy: PolicyEntry, best_static: float) -> float:
    """The highest price whose accuracy is within :data:`TOLERANCE` of ``best_static`` or, if less, the curve's best."""
    least = min(best_static, max(point.accuracy for point in policy.curve)) - TOLERANCE
    return max(point.price for point in policy.curve if point.accuracy >= least)


def _gain(one: Sequence[Outcome], other: Sequence[Outcome], expenses: Expenses) -> Gain:
    """What ``one`` way gains on the ``other`` in the same mean times."""
    cheapest, dearest = float(expenses.cost[0]), float(expenses.cost[-1])
    budgets = np.linspace(min(cheapest + expenses.estimator_cost, dearest), dearest, BUDGETS).tolist()
    return mean_gain(over_budgets(one, budgets) - over_budgets(other, budgets))


def _pays(chosen: Calibrated, evidence: Evidence, expenses: Expenses) -> list[str]:
    gain = _gain(chosen.outcomes, static_outcomes(evidence.right, expenses.cost), expenses)
    if gain.is_sure:
        return []
    return [
        f"adapting does not surely pay on {len(evidence.score)} held-out images: policy '{chosen.policy.name}' differs "
        f"by {100 * gain.difference:+.2f} points (95 % interval {100 * gain.low:+.2f} to {100 * gain.high:+.2f}) from "
        "fixed configurations mixed by chance to the same mean time"
    ]


def _adapts(policy: PolicyEntry, price: float) -> list[str]:
    ends = [name for name, share in policy.at(price).mix.items() if share]
    if len(ends) > 1 or policy.at(price).escalated:
        return []
    return [f"at the default price {price:.4g} all images go to configuration '{ends[0]}' alone; a higher one adapts"]
