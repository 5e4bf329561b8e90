"""Random routing, escalation, the oracle and the price sweep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqmq_deploy.report import routing

BITOPS = np.array([1.0, 4.0, 16.0])
COST = BITOPS / 16


def outcomes(seed: int, images: int = 300) -> tuple[routing.Bools, np.ndarray]:
    """Whether each of three configurations is right, and an estimator that half knows it."""
    rng = np.random.default_rng(seed)
    p_right = rng.uniform(0.2, 1.0, (images, 3)).astype(np.float32)
    return rng.random((images, 3)) < p_right, p_right


def test_random_routing_is_the_mean_of_all_draws() -> None:
    """The exact expectation lies where thousands of draws lie, and the draws keep the mix."""
    right, p_right = outcomes(0)
    route = p_right.argmax(axis=1)
    found = routing.random_routing(right, route, seed=1, draws=2000)

    standard_error = found["std"] / np.sqrt(2000)
    rng = np.random.default_rng(9)
    drawn = np.mean([routing.routed(right, rng.permutation(route)).mean() for _ in range(2000)])
    assert found["expected"] == pytest.approx(drawn, abs=5 * standard_error)
    assert found["low"] < found["expected"] < found["high"]


def test_random_routing_repeats_with_its_seed() -> None:
    """The same seed gives the same spread."""
    right, p_right = outcomes(0)
    route = p_right.argmax(axis=1)
    assert routing.random_routing(right, route, seed=5) == routing.random_routing(right, route, seed=5)


@given(st.integers(0, 10_000))
def test_no_route_beats_the_oracle(seed: int) -> None:
    """The cheapest-right route is right wherever any is, and never dearer than needed."""
    right, p_right = outcomes(seed, 40)
    oracle = routing.cheapest_right(right)

    assert np.array_equal(routing.routed(right, oracle), right.any(axis=1))
    assert routing.routed(right, p_right.argmax(axis=1)).sum() <= right.any(axis=1).sum()
    for image, choice in enumerate(oracle):
        assert not right[image, :choice].any()


@given(st.integers(0, 10_000))
def test_a_higher_price_never_raises_mean_bitops(seed: int) -> None:
    """Along the sweep cost falls, from the most accurate to the cheapest."""
    right, p_right = outcomes(seed, 60)
    sweep = routing.price_sweep(right, p_right, COST, BITOPS, np.geomspace(1e-3, 8, 40))
    spent = [point["bitops"] for point in sweep]
    assert spent == sorted(spent, reverse=True)
    assert all(sum(point["mix"]) == pytest.approx(1.0) for point in sweep)


def test_escalation_spends_its_budget_on_the_least_sure() -> None:
    """A budget of the cheapest and a quarter of the dearest re-runs a quarter: those with the lowest score."""
    right = np.array([[True, True, False], [False, True, True], [True, True, True], [False, True, False]])
    score = np.array([0.9, 0.1, 0.8, 0.7])
    found = routing.escalation(right, score, BITOPS, budget=1.0 + 0.25 * 16.0)

    assert found == {"accuracy": 0.75, "escalated": 0.25, "bitops": 5.0}


@pytest.mark.parametrize(("budget", "escalated"), [(0.5, 0.0), (100.0, 1.0)])
def test_escalation_stays_between_none_and_all(budget: float, escalated: float) -> None:
    """A budget below the cheapest, or above both together, is no reason to stumble."""
    right, p_right = outcomes(1)
    assert routing.escalation(right, p_right[:, 0], BITOPS, budget)["escalated"] == escalated


def test_bands_hold_equally_many() -> None:
    """A hundred different qualities make five bands of twenty, in order."""
    quality = np.random.default_rng(0).permutation(np.linspace(0, 1, 100))
    edges, band = routing.quality_bands(quality)

    assert np.bincount(band).tolist() == [20] * 5
    for index in range(5):
        inside = quality[band == index]
        assert edges[index] <= inside.min() and inside.max() <= edges[index + 1]


def test_equal_qualities_share_a_band() -> None:
    """A saturated estimator makes fewer bands, not empty ones."""
    edges, band = routing.quality_bands(np.full(50, 0.5))
    assert len(edges) == 2 and set(band) == {0}
    edges, band = routing.quality_bands(np.array([0.1] * 30 + [1.0] * 70))
    assert len(edges) - 1 == len(set(band))
