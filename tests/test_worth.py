"""What a dispatcher gains on fixed configurations in the same mean time."""

import doctest

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqmq_deploy import worth
from dqmq_deploy.routing import Cascade, Evidence, Outcome, best_cascade, run_cascade
from dqmq_deploy.worth import (
    Gain,
    best_mix,
    mean_gain,
    mending,
    over_budgets,
    static_outcomes,
    sure_cascade,
    sure_cascades,
)

SEEDS = st.integers(0, 2**32 - 1)
COST = np.array([0.2, 0.5, 1.0])


def test_the_examples_in_the_text() -> None:
    """They run as they stand."""
    result = doctest.testmod(worth)
    assert result.attempted > 0 and result.failed == 0


@given(SEEDS, st.floats(0.0, 2.0))
def test_no_mix_within_the_budget_is_better(seed: int, budget: float) -> None:
    """Against a fine grid of shares of every two; the slope is what a little more budget buys."""
    rng = np.random.default_rng(seed)
    accuracy, cost = rng.random(5), rng.choice([0.1, 0.2, 0.4, 0.7, 1.0], 5)
    mix = best_mix(accuracy, cost, budget)
    found = (1 - mix.share) * accuracy[mix.lower] + mix.share * accuracy[mix.upper]
    spent = (1 - mix.share) * cost[mix.lower] + mix.share * cost[mix.upper]
    within = max(budget, cost.min())
    assert spent <= within + 1e-9
    for i in range(5):
        for j in range(5):
            shares = np.linspace(0, 1, 101)
            fits = (1 - shares) * cost[i] + shares * cost[j] <= within
            reached = (1 - shares) * accuracy[i] + shares * accuracy[j]
            assert not fits.any() or found >= reached[fits].max() - 1e-9
    if mix.slope:
        more = best_mix(accuracy, cost, within + 1e-6)
        gain = (1 - more.share) * accuracy[more.lower] + more.share * accuracy[more.upper] - found
        assert gain == pytest.approx(1e-6 * mix.slope, rel=0.05, abs=1e-9)


def drawn(seed: int, images: int = 4000) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Configurations of rising accuracy, and how hard each image is."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images)
    return hard[:, None] < np.array([0.80, 0.86, 0.92]) + rng.normal(0, 0.05, (images, 3)), hard


BUDGETS = np.linspace(0.2, 1.0, 10).tolist()


def gain_on_static(right: npt.NDArray[np.bool_], routes: list[npt.NDArray[np.intp]]) -> Gain:
    """What ways that send each image to one configuration gain on fixed configurations."""
    ways = [Outcome(right[np.arange(len(right)), route], COST[route]) for route in routes]
    return mean_gain(over_budgets(ways, BUDGETS) - over_budgets(static_outcomes(right, COST), BUDGETS))


def test_choosing_at_random_is_no_gain() -> None:
    """Of many dispatchers that draw their configurations, 2.5 % or fewer seem surely better, and none by much."""
    sure = []
    for seed in range(200):
        right, _ = drawn(seed, 600)
        rng = np.random.default_rng(seed + 1)
        routes = [np.where(rng.random(len(right)) < share, 2, 0) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        gain = gain_on_static(right, routes)
        sure.append(gain.is_sure)
        assert gain.low <= gain.difference <= gain.high < 0.05
    assert np.mean(sure) <= 0.025


def test_choosing_well_is() -> None:
    """Images of middling difficulty to the dearest, the others to the cheapest."""
    right, hard = drawn(0)
    routes = [np.where((hard > low) & (hard < 0.95), 2, 0) for low in (0.95, 0.85, 0.75, 0.65)]
    assert gain_on_static(right, routes).low > 0.01
    routes = [np.where(hard < share, 2, 0) for share in (0.0, 0.3, 0.6)]  # to those that need it least
    assert gain_on_static(right, routes).high < 0


def test_fixed_configurations_gain_nothing_on_themselves() -> None:
    """Not even an interval is left."""
    right, _ = drawn(1)
    everywhere = [np.full(len(right), k) for k in range(3)]
    gain = gain_on_static(right, everywhere)
    assert (gain.difference, gain.low, gain.high, gain.is_sure) == (0.0, 0.0, 0.0, False)


def test_accuracy_over_budgets_is_an_area() -> None:
    """The mean of the per-image values is that of the accuracies that the budgets buy."""
    right, _ = drawn(3)
    outcomes = static_outcomes(right, COST)
    budgets = [0.2, 0.35, 1.0]
    accuracy = right.mean(axis=0)
    expected = (accuracy[0] + (accuracy[0] + accuracy[1]) / 2 + accuracy[2]) / 3
    values = over_budgets(outcomes, budgets)
    assert values.shape == (len(right),)
    assert values.mean() == pytest.approx(expected, abs=2e-3)
    same = mean_gain(values - over_budgets(outcomes[::-1], budgets))
    assert same.difference == pytest.approx(0, abs=1e-12)


def test_the_estimator_is_asked_where_it_surely_helps() -> None:
    """What it says by chance of the images at hand is no reason."""

    def asked(knows: bool, seed: int) -> tuple[bool, bool]:
        rng = np.random.default_rng(seed)
        right = rng.random((400, 2)) < np.array([0.5, 0.9])  # worth the same at the price of 0.8
        found = Evidence(np.where(right, 0.9, 0.1) if knows else rng.random((400, 2)), np.ones((400, 2)), right)
        ways = sure_cascade, best_cascade
        sure, best = (way(found, np.array([0.5, 1.0]), 0.0, 0.8).asks_estimator for way in ways)
        return sure, best

    by_chance, with_reason = (np.mean([asked(knows, seed) for seed in range(40)], axis=0) for knows in (False, True))
    assert with_reason.tolist() == [1, 1]
    assert by_chance[0] <= 0.1 < 0.3 < by_chance[1]


def test_of_first_looks_the_cheaper_unless_another_surely_pays() -> None:
    """Two that are right as often as each other differ by chance alone; one that knows more is worth its time."""

    def first_of(sure_of: float, seed: int) -> tuple[int, int]:
        rng = np.random.default_rng(seed)
        right = rng.random((800, 3)) < np.array([0.8, 0.8, 0.9])
        knows = rng.random((800, 3)) < np.array([0.5, sure_of, 0])  # whether its score tells that it is wrong
        score = np.where(knows & ~right, 0.3, 0.6) + 0.2 * rng.random((800, 3))
        found = Evidence(np.ones((800, 3)), score, right)
        cost = np.array([0.2, 0.3, 1.0])
        sure, best = (way(found, cost, 0.0, 0.05, skips=0) for way in (sure_cascade, best_cascade))
        assert sure.last == 2
        return sure.first, best.first

    alike, better = (np.mean([first_of(share, seed) for seed in range(120)], axis=0) for share in (0.5, 0.95))
    assert better.tolist() == [1, 1]
    assert alike[0] <= 0.2 < 0.35 < alike[1]


def test_the_dearest_looks_last_unless_another_surely_pays() -> None:
    """Two that are right as often as each other on few images; one that costs so much less that it surely pays."""

    def last_of(price: float, seed: int) -> tuple[int, int]:
        rng = np.random.default_rng(seed)
        right = rng.random((800, 3)) < np.array([0.8, 0.9, 0.9])
        knows = rng.random((800, 3)) < np.array([0.9, 0, 0])
        score = np.where(knows & ~right, 0.3, 0.6) + 0.2 * rng.random((800, 3))
        found = Evidence(np.ones((800, 3)), score, right)
        cost = np.array([0.1, 0.7, 1.0])
        sure, best = (way(found, cost, 0.0, price, skips=0) for way in (sure_cascade, best_cascade))
        return sure.last, best.last

    near, far = (np.mean([last_of(price, seed) for seed in range(40)], axis=0) for price in (0.005, 0.6))
    assert near[0] >= 1.95 > 1.7 > near[1]
    assert far[0] <= 1.1


def doubtful(seed: int, mends: float, count: int = 900) -> Evidence:
    """First answers that are right as often as their score says; a second look mends a share of the wrong ones."""
    rng = np.random.default_rng(seed)
    score = 1 - 0.6 * rng.random(count) ** 4
    first = rng.random(count) < score
    second = first | (rng.random(count) < mends)
    return Evidence(np.ones((count, 2)), np.stack([score, np.ones(count)], 1), np.stack([first, second], 1))


def test_a_threshold_from_all_that_is_mended() -> None:
    """An image is worth a second look where the share that is mended, of its own doubt, is more than the price."""
    found = doubtful(0, 0.5, 200_000)
    assert mending(found, np.array([0.2, 1.0]), 0.02, Cascade(0, 1, 0.5)).threshold == pytest.approx(0.96, abs=0.002)
    assert mending(found, np.array([0.2, 1.0]), 0.9, Cascade(0, 1, 0.5)).threshold == 0
    assert mending(doubtful(0, 0.0), np.array([0.2, 1.0]), 0.1, Cascade(0, 1, 0.5)).threshold == 0
    assert mending(found, np.array([0.2, 1.0]), 0.1, Cascade(0, 0, 0.0)) == Cascade(0, 0, 0.0)


def test_thresholds_from_few_images_are_smoothed() -> None:
    """Nearer to the right one than the best of the images at hand, on new ones no less accurate; never the lower."""
    cost, price = np.array([0.2, 1.0]), 0.01
    sure, best, gains = [], [], []
    new = doubtful(99, 0.5, 50_000)
    for seed in range(40):
        found = doubtful(seed, 0.5)
        ways = [way(found, cost, 0.0, price, skips=0) for way in (sure_cascade, best_cascade)]
        assert ways[0].threshold >= ways[1].threshold
        sure.append(ways[0].threshold)
        best.append(ways[1].threshold)
        right = [run_cascade(way, new, cost, 0.0).right.mean() for way in ways]
        gains.append(right[0] - right[1])
    assert np.abs(np.array(sure) - 0.98).mean() < 0.9 * np.abs(np.array(best) - 0.98).mean()
    assert np.mean(gains) > 0


def test_a_lower_price_never_spends_less() -> None:
    """Where the best cascade at each price would, it takes that of the higher one; elsewhere it is the best."""
    cost, prices, bent = np.array([0.2, 1.0]), [0.0, *np.geomspace(1e-4, 5, 29).tolist()], 0
    for seed in range(30):
        found = doubtful(seed, 0.5, 400)
        plain = [sure_cascade(found, cost, 0.0, price, skips=0) for price in prices]
        even = sure_cascades(found, cost, 0.0, prices, skips=0)
        spent = [run_cascade(way, found, cost, 0.0).cost.mean() for way in even]
        assert spent == sorted(spent, reverse=True)
        assert all(way in plain[at:] for at, way in enumerate(even))
        bent += plain != even
    assert 0 < bent < 30


def test_where_nothing_is_worth_a_second_look_there_is_none() -> None:
    """One configuration, no other beside it that would have to be loaded."""
    cascade = sure_cascade(doubtful(0, 0.5), np.array([0.2, 1.0]), 0.0, 5.0)
    assert (cascade.first, cascade.last, cascade.threshold) == (0, 0, 0)
