"""Routing on paper: what a table of (image, configuration) outcomes says about any way to choose.

Symbols: ``right`` is bool ``[images, K]``, whether each configuration classifies each image rightly; ``route`` is
int ``[images]``, the configuration chosen for each image; ``bitops`` is ``[K]``, cheapest first.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.routing import choose

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def mix(route: Ints, count: int) -> Floats:
    """Share of the images that go to each of ``count`` configurations."""
    if not len(route):
        return np.zeros(count)
    return np.bincount(route, minlength=count).astype(np.float64) / len(route)


def routed(right: Bools, route: Ints) -> Bools:
    """Whether each image is classified rightly on its route, bool ``[images]``."""
    outcome: Bools = right[np.arange(len(route)), route]
    return outcome


def cheapest_right(right: Bools) -> Ints:
    """The oracle's route: the cheapest configuration that is right; the cheapest of all where none is."""
    first: Ints = np.argmax(right, axis=1).astype(np.int64)
    return first


def random_routing(right: Bools, route: Ints, *, seed: int, draws: int = 200) -> dict[str, float | int]:
    """Accuracy of sending the same numbers of images to each configuration, but picked at random.

    ``expected`` is exact: the mix-weighted mean of the static accuracies. The draws, permutations of ``route``, give
    the spread around it.

    >>> right = np.array([[True, False], [False, True]])
    >>> random_routing(right, np.array([0, 1]), seed=0)["expected"]
    0.5
    """
    expected = float(mix(route, right.shape[1]) @ right.mean(axis=0))
    rng = np.random.default_rng(seed)
    drawn = np.array([routed(right, rng.permutation(route)).mean() for _ in range(draws)])
    low, high = (float(value) for value in np.percentile(drawn, (2.5, 97.5)))
    return {"expected": expected, "draws": draws, "std": float(drawn.std(ddof=1)), "low": low, "high": high}


def escalation(right: Bools, score: npt.NDArray[np.floating], bitops: Floats, budget: float) -> dict[str, float]:
    """Run the cheapest configuration on every image, the dearest again where the cheapest is least confident.

    As many images escalate as ``budget`` (mean BitOPs per image) allows: the baseline a router has to beat at equal
    cost. ``score`` is ``[images]``, the cheapest configuration's softmax score.
    """
    share = float(np.clip((budget - bitops[0]) / bitops[-1], 0.0, 1.0))
    count = round(share * len(score))
    again = np.zeros(len(score), np.bool_)
    again[np.argsort(score, kind="stable")[:count]] = True
    outcome = np.where(again, right[:, -1], right[:, 0])
    return {
        "accuracy": float(outcome.mean()),
        "escalated": float(again.mean()),
        "bitops": float(bitops[0] + again.mean() * bitops[-1]),
    }


def price_sweep(
    right: Bools, p_right: npt.NDArray[np.float32], cost: Floats, bitops: Floats, prices: Floats
) -> list[dict[str, Any]]:
    """Accuracy, mean BitOPs and mix at each price, ascending; neighbours with the same routes are reported once."""
    points: list[dict[str, Any]] = []
    before: Ints | None = None
    for price in np.unique(prices):
        route = choose(p_right, cost, float(price)).astype(np.int64)
        if before is not None and np.array_equal(route, before):
            continue
        before = route
        shares = mix(route, len(cost))
        points.append(
            {
                "price": float(price),
                "accuracy": float(routed(right, route).mean()),
                "bitops": float(shares @ bitops),
                "mix": shares.tolist(),
            }
        )
    return points


def quality_bands(quality: npt.NDArray[np.floating], count: int = 5) -> tuple[Floats, Ints]:
    """Cut images into up to ``count`` bands of equal size by quality: (edges ``[bands + 1]``, band ``[images]``).

    Equal qualities stay together, so there may be fewer bands.
    """
    edges = np.unique(np.quantile(quality.astype(np.float64), np.linspace(0, 1, count + 1)))
    if len(edges) < 2:
        edges = np.array([edges[0], edges[0]])
        return edges, np.zeros(len(quality), np.int64)
    band = np.clip(np.searchsorted(edges, quality, side="right") - 1, 0, len(edges) - 2)
    return edges, band.astype(np.int64)
