"""The price curves: from the best that money buys to the cheapest, told on images that were not fitted."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqmq_deploy.export.curve import (
    POINTS,
    Expenses,
    calibrate_escalation,
    calibrate_route,
    escalation_prices,
    told_by_halves,
)
from dqmq_deploy.routing import Cascade, Evidence, best_cascade, run_cascade
from dqmq_deploy.worth import sure_cascade, sure_cascades
from tests.test_routing import evidence

NAMES = ["w2", "w4", "w8"]
EXPENSES = Expenses(NAMES, [100, 300, 1000], [0.4, 0.5, 1.0], 0.05)


def sure_evidence(p_right: object, right: object) -> Evidence:
    """Evidence for the router alone."""
    alone = np.asarray(right, np.bool_)
    return Evidence(np.asarray(p_right, np.float64), np.ones(alone.shape), alone)


@given(st.integers(0, 2**32), st.integers(1, 300))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_higher_price_never_costs_more(seed: int, images: int) -> None:
    """From price 0 to where all goes to the cheapest, mean BitOPs and latency only fall."""
    rng = np.random.default_rng(seed)
    found = calibrate_route(sure_evidence(rng.random((images, 3)), rng.random((images, 3)) < 0.8), EXPENSES)
    points = found.policy.curve
    prices = [point.price for point in points]
    assert prices[0] == 0
    assert prices == sorted(set(prices))
    assert len(found.outcomes) == len(points)
    assert len(points) <= POINTS + 1
    for attribute in ("bitops", "latency_ms"):
        values = [getattr(point, attribute) for point in points]
        assert values == sorted(values, reverse=True)
    assert points[-1].mix == {"w2": 1.0, "w4": 0.0, "w8": 0.0}
    assert all(abs(sum(point.mix.values()) - 1) < 1e-9 for point in points)


def test_one_image_by_hand() -> None:
    """0.8 against 0.9 right for a tenth more time: from price 1 on the cheaper one wins, by the tie and beyond."""
    points = calibrate_route(sure_evidence([[0.8, 0.9, 0.0]], [[1, 0, 0]]), EXPENSES).policy.curve
    assert (points[0].price, points[0].accuracy) == (0.0, 0.0)
    assert points[-1].price == pytest.approx(1.0, abs=2e-4) and points[-1].accuracy == 1.0
    assert (points[0].bitops, points[0].latency_ms) == (300, 0.55)


def test_a_single_configuration() -> None:
    """There is nothing to choose: one point a policy, and only routing pays for the estimator."""
    alone = Expenses(["w8"], [1000], [1.0], 0.05)
    found = sure_evidence([[0.9], [0.8]], [[1], [0]])
    (point,) = calibrate_route(found, alone).policy.curve
    assert (point.price, point.accuracy, point.mix, point.latency_ms) == (0.0, 0.5, {"w8": 1.0}, 1.05)
    (point,) = calibrate_escalation(found, alone).policy.curve
    assert (point.first, point.last, point.escalated, point.latency_ms) == ("w8", "w8", 0.0, 1.0)


def test_cost_is_time_and_never_falls() -> None:
    """Over the slowest; a configuration that is faster than a cheaper one costs as much."""
    assert Expenses(NAMES, [1, 2, 3], [1.0, 0.5, 2.0], 0.1).cost.tolist() == [0.5, 0.5, 1.0]
    assert Expenses(NAMES, [1, 2, 3], [1.0, 4.0, 2.0], 0.1).cost.tolist() == [0.25, 1.0, 1.0]
    assert Expenses(NAMES, [1, 2, 3], [1.0, 4.0, 2.0], 0.1).estimator_cost == 0.025


@given(st.integers(0, 2**32 - 1), st.integers(2, 120))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_points_of_escalation_add_up(seed: int, images: int) -> None:
    """Shares, BitOPs and times are those of the cascade on all images and only fall; accuracy is told by halves."""
    found = evidence(seed, images)
    calibrated = calibrate_escalation(found, EXPENSES)
    points = calibrated.policy.curve
    assert points[0].price == 0 and all(a.price < b.price for a, b in pairwise(points))
    pairs = [(NAMES.index(point.first or ""), NAMES.index(point.last or "")) for point in points]
    cascades = [
        Cascade(*pair, point.threshold or 0.0, point.skip or 0.0) for pair, point in zip(pairs, points, strict=True)
    ]
    assert all(before != after for before, after in pairwise(cascades))
    prices = escalation_prices(EXPENSES.cost)
    fitted_at = dict(zip(sure_cascades(found, EXPENSES.cost, EXPENSES.estimator_cost, prices), prices, strict=True))
    for point, cascade in zip(points, cascades, strict=True):
        assert cascade == sure_cascade(found, EXPENSES.cost, EXPENSES.estimator_cost, fitted_at[cascade])
        outcome = run_cascade(cascade, found, EXPENSES.cost, EXPENSES.estimator_cost)
        assert point.latency_ms == pytest.approx(outcome.cost.mean() * 1.0, abs=1e-4)  # the slowest takes 1 ms
        assert sum(point.mix.values()) == pytest.approx(1)
        assert point.escalated is not None and point.skipped is not None and point.last is not None
        if cascade.first < cascade.last:
            assert point.mix[point.last] == pytest.approx(point.escalated + point.skipped)
        pair = (cascade.first, cascade.last)
        told = told_by_halves(found, EXPENSES.cost, EXPENSES.estimator_cost, fitted_at[cascade], pair)
        assert point.accuracy == told.right.mean()
        if cascade.first == cascade.last:
            assert point.accuracy == found.right[:, cascade.first].mean()  # nothing was fitted
    times = [point.latency_ms for point in points]
    assert times == sorted(times, reverse=True)
    assert len(calibrated.outcomes) == len(points) <= POINTS


def test_fitting_on_noise_is_not_rewarded() -> None:
    """Where scores tell nothing, the accuracy that is told is, in the mean, no better than it will be."""
    flattery, told = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        right = rng.random((80, 3)) < 0.8
        noise = Evidence(rng.random((80, 3)), rng.random((80, 3)), right)
        best = best_cascade(noise, EXPENSES.cost, 0.0, 0.0, pair=(0, 1))
        flattery.append(run_cascade(best, noise, EXPENSES.cost, 0.0).right.mean())
        told.append(told_by_halves(noise, EXPENSES.cost, 0.0, 0.0, (0, 1)).right.mean())
    assert np.mean(flattery) > 0.84
    assert np.mean(told) == pytest.approx(0.8, abs=0.02)
