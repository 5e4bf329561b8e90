"""The one knob: which price a wish asks for.

The manifest holds a curve for each policy, measured on held-out images: from each of its prices on, what the policy
does and how accurate that is. Times are measured anew on the machine that serves.
"""

import math
from collections.abc import Mapping

from dqmq_deploy.bundle.manifest import PolicyEntry, PricePoint
from dqmq_deploy.errors import InputError


def check_price(price: float) -> float:
    """``price`` itself, if it is a finite number of at least 0.

    Raises:
        InputError: it is not.
    """
    if not math.isfinite(price) or price < 0:
        raise InputError(f"expected a price of at least 0, got {price}; 0 buys the best accuracy")
    return float(price)


def price_for_accuracy(policy: PolicyEntry, accuracy: float) -> float:
    """The highest price on the curve whose accuracy (0 to 1) is at least ``accuracy``.

    Raises:
        InputError: no point of the curve is that accurate.
    """
    prices = [point.price for point in policy.curve if point.accuracy >= accuracy]
    if not prices:
        best = max(point.accuracy for point in policy.curve)
        worst = min(point.accuracy for point in policy.curve)
        raise InputError(
            f"no price reaches accuracy {accuracy:g}: this bundle offers {worst:.4f} to {best:.4f}; ask for less"
        )
    return max(prices)


def price_for_latency(
    policy: PolicyEntry, limit_ms: float, estimator_ms: float, graph_ms: Mapping[str, float]
) -> float:
    """The price of the most accurate point of the curve that takes at most ``limit_ms`` per image in the mean.

    ``estimator_ms`` and ``graph_ms`` (``{configuration: ms}``) were measured on the machine that serves. Of equally
    accurate points the fastest counts.

    Raises:
        InputError: no point of the curve is that fast.
    """
    times = [(mean_latency_ms(point, estimator_ms, graph_ms), point) for point in policy.curve]
    within = [(point.accuracy, -time, point.price) for time, point in times if time <= limit_ms]
    if not within:
        raise InputError(
            f"no price reaches {limit_ms:g} ms per image: on this machine this bundle takes "
            f"{min(time for time, _ in times):.3f} to {max(time for time, _ in times):.3f} ms; "
            "allow more, or export on fewer bits"
        )
    return max(within)[2]


def mean_latency_ms(point: PricePoint, estimator_ms: float, graph_ms: Mapping[str, float]) -> float:
    """Mean time per image at a point: the estimator if it is asked, each graph by its share, escalated images twice."""
    time = estimator_ms if point.asks_estimator else 0.0
    time += sum(share * graph_ms[name] for name, share in point.mix.items() if share)
    if point.first is not None and point.escalated:
        time += point.escalated * graph_ms[point.first]
    return time


def graphs_of(policy: PolicyEntry) -> list[str]:
    """The configurations that some point of the curve runs."""
    used = {name for point in policy.curve for name, share in point.mix.items() if share}
    return sorted(used | {name for point in policy.curve for name in (point.first, point.last) if name is not None})
