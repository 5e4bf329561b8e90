"""The price: routes, and the price that a wish asks for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import InputError
from dqmq_deploy.runtime.price import (
    check_price,
    choose,
    mean_latency_ms,
    price_for_accuracy,
    price_for_latency,
)
from dqmq_deploy.runtime.sessions import Floats

COST = np.array([0.1, 0.25, 0.4, 1.0])
TABLES = arrays(np.float32, (20, 4), elements=st.floats(0, 1, width=32))
GRAPH_MS = {"w2": 1.0, "w3": 2.0, "w4": 3.0, "w8": 4.0}


def test_free_is_most_accurate_and_ties_go_to_the_cheaper() -> None:
    """At price 0 the greatest chance wins; of equals, the cheaper."""
    p_right = np.array([[0.2, 0.9, 0.8, 0.9], [0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]], np.float32)
    assert choose(p_right, COST, 0.0).tolist() == [1, 0, 3]


def test_dear_is_cheapest() -> None:
    """At a price that no gain is worth, all goes to the cheapest."""
    p_right = np.array([[0.0, 0.0, 0.0, 1.0]], np.float32)
    assert choose(p_right, COST, 10.0).tolist() == [0]


@given(TABLES, st.floats(0, 10), st.floats(0, 10))
def test_a_higher_price_never_raises_the_cost(p_right: Floats, one: float, other: float) -> None:
    """Image by image, and so in the mean, a higher price never costs more."""
    low, high = sorted((one, other))
    assert (COST[choose(p_right, COST, high)] <= COST[choose(p_right, COST, low)]).all()


@given(TABLES, st.floats(0, 10))
def test_the_route_has_the_greatest_utility(p_right: Floats, price: float) -> None:
    """No other configuration offers an image more than its route."""
    utility = p_right - price * COST
    routes = choose(p_right, COST, price)
    assert (utility[np.arange(20), routes] == utility.max(axis=1)).all()


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf")])
def test_wrong_prices(wrong: float) -> None:
    """A price is a finite number from 0 up."""
    with pytest.raises(InputError, match="price of at least 0"):
        check_price(wrong)


def test_highest_price_for_an_accuracy(tiny_bundle: Bundle) -> None:
    """Of the points that are accurate enough the highest price counts; a wish out of reach names the reach."""
    curve = tiny_bundle.manifest.price_curve
    for wish in (0.5, 0.98, 1.0):
        price = price_for_accuracy(tiny_bundle.manifest, wish)
        assert price == max(point.price for point in curve if point.accuracy >= wish)
    with pytest.raises(InputError, match=r"this bundle offers 0\.9767 to 1\.0000"):
        price_for_accuracy(tiny_bundle.manifest, 1.01)


def test_most_accurate_price_for_a_latency(tiny_bundle: Bundle) -> None:
    """Of the points that are fast enough the most accurate counts, of equals the fastest."""
    curve = tiny_bundle.manifest.price_curve
    times = [mean_latency_ms(point, 0.5, GRAPH_MS) for point in curve]
    assert times == sorted(times, reverse=True)
    assert price_for_latency(tiny_bundle.manifest, 100.0, 0.5, GRAPH_MS) == 1.0
    assert price_for_latency(tiny_bundle.manifest, times[-1], 0.5, GRAPH_MS) == curve[-1].price
    with pytest.raises(InputError, match=f"takes {times[-1]:.3f} to {times[0]:.3f} ms"):
        price_for_latency(tiny_bundle.manifest, times[-1] * 0.99, 0.5, GRAPH_MS)
