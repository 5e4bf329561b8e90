"""The price curve: from the best that money buys to the cheapest, never dearer for a higher price."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dqmq_deploy.bundle.manifest import PricePoint
from dqmq_deploy.export.curve import POINTS, price_curve
from dqmq_deploy.routing import choose

NAMES = ["w2", "w4", "w8"]
COST = [0.1, 0.3, 1.0]
BITOPS = [100, 300, 1000]
LATENCY_MS = [0.4, 0.5, 1.0]


def curve(p_right: object, right: object) -> list[PricePoint]:
    """The curve of three configurations."""
    return price_curve(NAMES, np.asarray(p_right), np.asarray(right), COST, BITOPS, LATENCY_MS, estimator_ms=0.05)


@given(st.integers(0, 2**32), st.integers(1, 300))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_higher_price_never_costs_more(seed: int, images: int) -> None:
    """From price 0 to where all goes to the cheapest, mean BitOPs and latency only fall."""
    rng = np.random.default_rng(seed)
    points = curve(rng.random((images, 3)), rng.random((images, 3)) < 0.8)
    prices = [point.price for point in points]
    assert prices[0] == 0
    assert prices == sorted(set(prices))
    assert len(points) <= POINTS + 1
    for attribute in ("bitops", "latency_ms"):
        values = [getattr(point, attribute) for point in points]
        assert values == sorted(values, reverse=True)
    assert points[-1].mix == {"w2": 1.0, "w4": 0.0, "w8": 0.0}
    assert all(abs(sum(point.mix.values()) - 1) < 1e-9 for point in points)


def test_one_image_by_hand() -> None:
    """0.8 against 0.9 right for 0.2 more cost: from price 0.5 on the cheaper one wins, at 0.5 by the tie."""
    p_right, cost = np.array([[0.8, 0.9, 0.0]]), np.array(COST)
    assert choose(p_right, cost, 0.4).tolist() == [1]
    assert choose(np.array([[0.75, 1.0, 0.0]]), np.array([0.25, 0.5, 1.0]), 1.0).tolist() == [0]
    points = curve(p_right, [[1, 0, 0]])
    assert (points[0].accuracy, points[0].bitops, points[0].latency_ms) == (0.0, 300, 0.55)
    assert (points[-1].accuracy, points[-1].bitops, points[-1].latency_ms) == (1.0, 100, 0.45)
    assert 0.5 <= points[-1].price < 0.501


def test_an_estimator_that_sees_no_difference() -> None:
    """Where nothing is to be gained, one point at price 0 says it all: everything goes to the cheapest."""
    points = curve(np.full((5, 3), 0.9), np.ones((5, 3)))
    assert [(point.price, point.mix["w2"], point.accuracy) for point in points] == [(0.0, 1.0, 1.0)]


def test_a_single_configuration() -> None:
    """No choice, one point."""
    (point,) = price_curve(["w8"], [[0.9], [0.8]], [[1], [0]], [1.0], [1000], [1.0])
    assert (point.price, point.accuracy, point.mix) == (0.0, 0.5, {"w8": 1.0})
