"""The price that a wish asks for."""

import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import InputError
from dqmq_deploy.runtime.price import (
    check_price,
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
