"""What a dispatcher gains on fixed configurations in the same mean time."""

import doctest

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqmq_deploy import worth
from dqmq_deploy.routing import Outcome
from dqmq_deploy.worth import against_static, best_mix, mean_gain, over_budgets

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


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0, 1))
def test_choosing_at_random_gains_nothing(seed: int, share: float) -> None:
    """A dispatcher that draws its configuration never lies surely above fixed configurations, and not far below."""
    right, _ = drawn(seed)
    route = 2 * (np.random.default_rng(seed + 1).random(len(right)) < share)
    outcome = Outcome(right[np.arange(len(right)), route], COST[route])
    gain, mix = against_static(outcome, right, COST)
    assert gain.low <= 0.01 and abs(gain.difference) < 0.04
    assert COST[mix.lower] <= outcome.cost.mean() + 1e-12


def test_choosing_well_gains_surely() -> None:
    """Hard images to the dearest: the gain is the accuracy above the mix in the same mean cost."""
    right, hard = drawn(0)
    route = np.where((hard > 0.7) & (hard < 0.95), 2, 0)
    outcome = Outcome(right[np.arange(len(right)), route], COST[route])
    gain, mix = against_static(outcome, right, COST)
    accuracy = right.mean(axis=0)
    expected = outcome.right.mean() - ((1 - mix.share) * accuracy[mix.lower] + mix.share * accuracy[mix.upper])
    assert gain.difference == pytest.approx(expected)
    assert gain.is_sure and gain.low > 0.02


def test_one_configuration_for_all_gains_nothing() -> None:
    """It is its own opponent, with no interval at all; a worse and dearer one loses."""
    right, _ = drawn(1)
    gain, mix = against_static(Outcome(right[:, 0], np.full(len(right), 0.2)), right, COST)
    assert (gain.difference, gain.low, gain.high, gain.is_sure) == (0.0, 0.0, 0.0, False)
    assert (mix.lower, mix.share) == (0, 0.0)
    worse, _ = against_static(Outcome(right[:, 0], np.full(len(right), 1.0)), right, COST)
    assert worse.high < 0


def test_intervals_cover_what_they_should() -> None:
    """Of many draws about 95 % hold the true difference, although the mean cost varies from draw to draw."""
    rng = np.random.default_rng(2)
    accuracy = np.array([0.7, 0.9])
    cost = np.array([0.2, 1.0])
    covered = 0
    for _ in range(400):
        right = rng.random((500, 2)) < accuracy
        route = (rng.random(500) < 0.5).astype(int)
        gain, _ = against_static(Outcome(right[np.arange(500), route], cost[route]), right, cost)
        covered += gain.low <= 0 <= gain.high
    assert 0.92 <= covered / 400 <= 0.98


def test_accuracy_over_budgets_is_an_area() -> None:
    """The mean of the per-image values is that of the accuracies that the budgets buy."""
    right, _ = drawn(3)
    outcomes = [Outcome(right[:, k], np.full(len(right), COST[k])) for k in range(3)]
    budgets = [0.2, 0.35, 1.0]
    accuracy = right.mean(axis=0)
    expected = (accuracy[0] + (accuracy[0] + accuracy[1]) / 2 + accuracy[2]) / 3
    values = over_budgets(outcomes, budgets)
    assert values.shape == (len(right),)
    assert values.mean() == pytest.approx(expected, abs=2e-3)
    same = mean_gain(values - over_budgets(outcomes[::-1], budgets))
    assert same.difference == pytest.approx(0, abs=1e-12)
