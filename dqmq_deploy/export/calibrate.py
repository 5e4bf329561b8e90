"""How a bundle dispatches unless told otherwise, and whether that pays: decided on held-out images.

The default policy is ``escalate``, which mostly does without the estimator, unless ``route`` is surely more accurate in
the same mean time: its accuracy over mean time, averaged from the cheapest configuration's time to the dearest's, lies
above that of ``escalate`` with the whole of its paired 95 % interval.

The default price is the highest whose accuracy is within 0.2 points of the best on the default policy's curve.
"""

from dataclasses import dataclass, field

import numpy as np

from dqmq_deploy.bundle.manifest import PolicyEntry
from dqmq_deploy.export.curve import Calibrated, Expenses, calibrate_escalation, calibrate_route
from dqmq_deploy.routing import Evidence
from dqmq_deploy.worth import against_static, mean_gain, over_budgets

TOLERANCE = 0.002
"""Accuracy that the default price may give up against the best."""

BUDGETS = 20
"""Mean times at which policies are compared."""


@dataclass(frozen=True)
class Calibration:
    """What the manifest says of dispatching."""

    policies: list[PolicyEntry]
    default_policy: str
    default_price: float
    notes: list[str] = field(default_factory=list)


def calibrate(evidence: Evidence, expenses: Expenses) -> Calibration:
    """Both policies' curves, the defaults, and a note where adapting does not pay."""
    escalate, route = calibrate_escalation(evidence, expenses), calibrate_route(evidence, expenses)
    chosen = route if _is_better(route, escalate, expenses) else escalate
    price = default_price(chosen.policy)
    return Calibration(
        [escalate.policy, route.policy], chosen.policy.name, price, _notes(chosen, price, evidence, expenses)
    )


def default_price(policy: PolicyEntry) -> float:
    """The highest price whose accuracy is within :data:`TOLERANCE` of the best on the curve."""
    least = max(point.accuracy for point in policy.curve) - TOLERANCE
    return max(point.price for point in policy.curve if point.accuracy >= least)


def _is_better(one: Calibrated, other: Calibrated, expenses: Expenses) -> bool:
    cheapest, dearest = float(expenses.cost[0]), float(expenses.cost[-1])
    budgets = np.linspace(min(cheapest + expenses.estimator_cost, dearest), dearest, BUDGETS).tolist()
    return mean_gain(over_budgets(one.outcomes, budgets) - over_budgets(other.outcomes, budgets)).is_sure


def _notes(chosen: Calibrated, price: float, evidence: Evidence, expenses: Expenses) -> list[str]:
    outcome = chosen.outcomes[chosen.prices.index(price)]
    gain, mix = against_static(outcome, evidence.right, expenses.cost)
    if gain.is_sure:
        return []
    names = [expenses.names[index] for index in sorted({mix.lower, mix.upper} if mix.share else {mix.lower})]
    accuracy = 100 * outcome.right.mean()
    return [
        f"on {len(outcome.right)} held-out images adapting does not surely pay: at price {price:.4g} policy "
        f"'{chosen.policy.name}' is right on {accuracy:.2f} %, {100 * gain.difference:+.2f} points (95 % interval "
        f"{100 * gain.low:+.2f} to {100 * gain.high:+.2f}) from what {' and '.join(names)} reach by chance in the same "
        f"mean time; compare with --config {names[-1]}"
    ]
