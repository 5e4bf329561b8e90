"""The one knob: what a price buys, and which price a wish asks for.

An image goes to the configuration with the greatest utility, ``p_right[k] - price * cost[k]``. The manifest holds the
price curve, measured on held-out images: for each price its accuracy and the share of each route.
"""

import math
from collections.abc import Mapping

from dqmq_deploy.bundle.manifest import Manifest, PricePoint
from dqmq_deploy.errors import InputError


def check_price(price: float) -> float:
    """``price`` itself, if it is a finite number of at least 0.

    Raises:
        InputError: it is not.
    """
    if not math.isfinite(price) or price < 0:
        raise InputError(f"expected a price of at least 0, got {price}; 0 buys the best accuracy")
    return float(price)


def price_for_accuracy(manifest: Manifest, accuracy: float) -> float:
    """The highest price on the curve whose accuracy (0 to 1) is at least ``accuracy``.

    Raises:
        InputError: no point of the curve is that accurate.
    """
    prices = [point.price for point in manifest.price_curve if point.accuracy >= accuracy]
    if not prices:
        best = max(point.accuracy for point in manifest.price_curve)
        worst = min(point.accuracy for point in manifest.price_curve)
        raise InputError(
            f"no price reaches accuracy {accuracy:g}: this bundle offers {worst:.4f} to {best:.4f}; ask for less"
        )
    return max(prices)


def price_for_latency(manifest: Manifest, limit_ms: float, estimator_ms: float, graph_ms: Mapping[str, float]) -> float:
    """The price of the most accurate point of the curve that takes at most ``limit_ms`` per image in the mean.

    ``estimator_ms`` and ``graph_ms`` (``{configuration: ms}``) were measured on the machine that serves. Of equally
    accurate points the fastest counts.

    Raises:
        InputError: no point of the curve is that fast.
    """
    times = [(mean_latency_ms(point, estimator_ms, graph_ms), point) for point in manifest.price_curve]
    within = [(point.accuracy, -time, point.price) for time, point in times if time <= limit_ms]
    if not within:
        raise InputError(
            f"no price reaches {limit_ms:g} ms per image: on this machine this bundle takes "
            f"{min(time for time, _ in times):.3f} to {max(time for time, _ in times):.3f} ms; "
            "allow more, or export on fewer bits"
        )
    return max(within)[2]


def mean_latency_ms(point: PricePoint, estimator_ms: float, graph_ms: Mapping[str, float]) -> float:
    """Mean time per image at a point of the curve: the estimator, and each graph by its share."""
    return estimator_ms + sum(share * graph_ms[name] for name, share in point.mix.items() if share)
