"""The price that a wish asks for."""

import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import InputError
from dqmq_deploy.runtime.price import (
    check_price,
    graphs_of,
    mean_latency_ms,
    price_for_accuracy,
    price_for_latency,
)

GRAPH_MS = {"w2": 1.0, "w3": 2.0, "w4": 3.0, "w8": 4.0}


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf")])
def test_wrong_prices(wrong: float) -> None:
    """A price is a finite number from 0 up."""
    with pytest.raises(InputError, match="price of at least 0"):
        check_price(wrong)


def test_highest_price_for_an_accuracy(tiny_bundle: Bundle) -> None:
    """Of the points that are accurate enough the highest price counts; a wish out of reach names the reach."""
    policy = tiny_bundle.manifest.policy("route")
    for wish in (0.5, 0.98, 1.0):
        price = price_for_accuracy(policy, wish)
        assert price == max(point.price for point in policy.curve if point.accuracy >= wish)
    with pytest.raises(InputError, match=r"this bundle offers 0\.9767 to 1\.0000"):
        price_for_accuracy(policy, 1.01)


def test_most_accurate_price_for_a_latency(tiny_bundle: Bundle) -> None:
    """Of the points that are fast enough the most accurate counts, of equals the fastest."""
    policy = tiny_bundle.manifest.policy("route")
    curve = policy.curve
    times = [mean_latency_ms(point, 0.5, GRAPH_MS) for point in curve]
    assert times == sorted(times, reverse=True)
    assert price_for_latency(policy, 100.0, 0.5, GRAPH_MS) == 1.0
    assert price_for_latency(policy, times[-1], 0.5, GRAPH_MS) == curve[-1].price
    with pytest.raises(InputError, match=f"takes {times[-1]:.3f} to {times[0]:.3f} ms"):
        price_for_latency(policy, times[-1] * 0.99, 0.5, GRAPH_MS)


def test_mean_latency_of_a_cascade(tiny_bundle: Bundle) -> None:
    """Both graphs count for what escalates, the estimator only where it is asked."""
    policy = tiny_bundle.manifest.policy("escalate")
    free, asking = policy.at(0.0), policy.at(0.2)
    assert (free.first, free.last, free.asks_estimator, asking.last, asking.asks_estimator) == (
        "w2", "w8", False, "w4", True,
    )  # fmt: skip
    assert free.escalated and asking.escalated and asking.skipped
    assert mean_latency_ms(free, 0.5, GRAPH_MS) == pytest.approx(1.0 + 4.0 * free.escalated)
    seen_last = 3.0 * (asking.escalated + asking.skipped)
    assert mean_latency_ms(asking, 0.5, GRAPH_MS) == pytest.approx(0.5 + (1 - asking.skipped) + seen_last)
    assert graphs_of(policy) == ["w2", "w4", "w8"]
    assert price_for_latency(policy, 100.0, 0.5, GRAPH_MS) == 0.0
