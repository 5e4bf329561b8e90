"""The price curve: what each price buys on held-out images.

An image goes to the configuration with the greatest ``p_right - price * cost``; ties go to the cheaper one. So every
image has a few prices at which its route changes. The curve takes 0, quantiles of those prices over all images, and the
price from which on everything goes to the cheapest: evenly spaced in what happens, not in price.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.manifest import PricePoint
from dqmq_deploy.routing import choose

POINTS = 30

Floats = npt.NDArray[np.float64]


def price_curve(
    names: Sequence[str],
    p_right: npt.ArrayLike,
    right: npt.ArrayLike,
    cost: Sequence[float],
    bitops: Sequence[int],
    latency_ms: Sequence[float],
    estimator_ms: float = 0.0,
) -> list[PricePoint]:
    """About :data:`POINTS` points by rising price.

    Args:
        names: The configurations, cheapest first, K of them.
        p_right: ``[images, K]``, the estimator's probability of a right answer.
        right: ``[images, K]``, 1 where the configuration was right.
        cost: Of each configuration, above 0 and at most 1, rising.
        bitops: Of each configuration.
        latency_ms: Of each configuration; a point's latency is the mix's mean plus ``estimator_ms``.
        estimator_ms: Time of the estimator for an image.
    """
    probabilities = np.asarray(p_right, np.float64)
    hits, costs = np.asarray(right, np.float64), np.asarray(cost, np.float64)
    points = []
    for price in _prices(probabilities, costs):
        route = choose(probabilities, costs, price)
        mix = np.bincount(route, minlength=len(names)) / len(route)
        points.append(
            PricePoint(
                price=float(price),
                accuracy=float(hits[np.arange(len(route)), route].mean()),
                bitops=round(float(mix @ np.asarray(bitops, np.float64))),
                latency_ms=round(float(mix @ np.asarray(latency_ms, np.float64)) + estimator_ms, 4),
                mix=dict(zip(names, mix.tolist(), strict=True)),
            )
        )
    return points


def _prices(p_right: Floats, cost: Floats) -> Floats:
    """0, quantiles of the prices at which a route can change, and one at which all go to the cheapest."""
    dearer, cheaper = np.triu_indices(len(cost), 1)[::-1]
    gap = cost[dearer] - cost[cheaper]
    changes = ((p_right[:, dearer] - p_right[:, cheaper])[:, gap > 0] / gap[gap > 0]).ravel()
    changes = changes[changes > 0]
    if not len(changes):
        return np.zeros(1)
    inner = np.quantile(changes, np.linspace(0, 1, POINTS - 1)[:-1])
    # rounded up, so that no digit of the manifest's number lets an image slip back
    last = np.ceil(changes.max() * 1e4 + 1) / 1e4
    return np.unique(np.concatenate([[0.0], np.round(inner, 6), [last]]))
