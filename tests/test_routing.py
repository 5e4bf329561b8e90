"""Routing and escalation on made-up evidence: what they cost, and that the best cascade is the best."""

import doctest
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dqmq_deploy import routing
from dqmq_deploy.routing import (
    MEMORIES,
    Cascade,
    Evidence,
    Outcome,
    best_cascade,
    choose,
    evidence_of,
    fit_memory,
    run_cascade,
    run_route,
    together,
    top_score,
)

COST = np.array([0.1, 0.25, 0.4, 1.0])
TABLES = arrays(np.float32, (20, 4), elements=st.floats(0, 1, width=32))
SEEDS = st.integers(0, 2**32 - 1)
PRICES = st.one_of(st.just(0.0), st.floats(1e-4, 3.0))


def evidence(seed: int, images: int = 30, configurations: int = 3, kind: npt.DTypeLike = np.float32) -> Evidence:
    """Random evidence in which chances and scores tell something; half precision makes many of them equal."""
    rng = np.random.default_rng(seed)
    clear = rng.random((images, 1))
    score = np.clip(clear + rng.normal(0, 0.2, (images, configurations)), 1 / 3, 1).astype(kind)
    p_right = np.clip(clear + rng.normal(0, 0.2, (images, configurations)), 0, 1).astype(kind)
    right = rng.random((images, configurations)) < clear
    return Evidence(p_right, score, right, rng.random((images, configurations, configurations)) < clear[:, np.newaxis])


def costs(seed: int, configurations: int = 3) -> npt.NDArray[np.float64]:
    """Costs that rise to 1."""
    rising = np.sort(np.random.default_rng(seed).uniform(0.1, 1.0, configurations))
    return np.asarray(rising / rising[-1])


def test_the_examples_in_the_text() -> None:
    """They run as they stand."""
    result = doctest.testmod(routing)
    assert result.attempted > 0 and result.failed == 0


def test_free_is_most_accurate_and_ties_go_to_the_cheaper() -> None:
    """At price 0 the greatest chance wins; of equals, the cheaper."""
    p_right = np.array([[0.2, 0.9, 0.8, 0.9], [0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]], np.float32)
    assert choose(p_right, COST, 0.0).tolist() == [1, 0, 3]


def test_dear_is_cheapest() -> None:
    """At a price that no gain is worth, all goes to the cheapest."""
    p_right = np.array([[0.0, 0.0, 0.0, 1.0]], np.float32)
    assert choose(p_right, COST, 10.0).tolist() == [0]


@given(TABLES, st.floats(0, 10), st.floats(0, 10))
def test_a_higher_price_never_raises_the_cost(p_right: npt.NDArray[np.float32], one: float, other: float) -> None:
    """Image by image, and so in the mean, a higher price never costs more."""
    low, high = sorted((one, other))
    assert (COST[choose(p_right, COST, high)] <= COST[choose(p_right, COST, low)]).all()


@given(TABLES, st.floats(0, 10))
def test_the_route_has_the_greatest_utility(p_right: npt.NDArray[np.float32], price: float) -> None:
    """No other configuration offers an image more than its route."""
    utility = p_right - price * COST
    routes = choose(p_right, COST, price)
    assert (utility[np.arange(20), routes] == utility.max(axis=1)).all()


@given(arrays(np.float32, (5, 2, 7), elements=st.floats(-50, 50, width=32)))
def test_scores_are_the_softmax_of_the_winner(logits: npt.NDArray[np.float32]) -> None:
    """Against the formula in double precision."""
    plain = np.exp(logits.astype(np.float64))
    softmax = plain / plain.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(top_score(logits), softmax.max(axis=-1), atol=1e-5)


@given(SEEDS)
def test_evidence_holds_scores_and_who_is_right(seed: int) -> None:
    """Of each configuration alone."""
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(12, 3, 4)).astype(np.float32), rng.integers(0, 4, 12)
    memory = np.triu(rng.random((3, 3)), 1)
    found = evidence_of(rng.random((12, 3)), logits, labels, memory)
    assert np.array_equal(found.right, logits.argmax(axis=2) == labels[:, None])
    np.testing.assert_allclose(found.score, top_score(logits), rtol=1e-6)
    for first in range(3):
        for last in range(first + 1, 3):
            expected = together(logits[:, first], logits[:, last], memory[first, last]).argmax(axis=1) == labels
            assert np.array_equal(found.after(first, last), expected)
            assert found.remembered(first, last) == memory[first, last]
        assert np.array_equal(found.after(first, first), found.right[:, first])
    some = found.take(slice(2, 5))
    assert np.array_equal(some.after(0, 2), found.after(0, 2)[2:5]) and np.array_equal(some.right, found.right[2:5])


@given(arrays(np.float32, (2, 7, 4), elements=st.floats(-50, 50, width=32)))
def test_together_is_a_weighted_mean_of_log_softmax(logits: npt.NDArray[np.float32]) -> None:
    """For one image as for many; two that say the same agree."""
    first, last = logits
    memory = 0.2
    wide = logits.astype(np.float64)
    exact = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    expected = memory * exact[0] + (1 - memory) * exact[1]
    found = together(first, last, memory).astype(np.float64)
    np.testing.assert_allclose(top_score(found), top_score(expected), atol=1e-4)
    np.testing.assert_allclose(found - found[:, :1], expected - expected[:, :1], atol=1e-3)
    np.testing.assert_allclose(together(last, last, memory), last, atol=1e-4)
    assert np.array_equal(together(first[3], last[3], memory), together(first, last, memory)[3])


@given(SEEDS)
def test_what_is_remembered_is_what_helps_most(seed: int) -> None:
    """Of the shares to choose from, on the images given; nothing where the first answer says nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 60)
    logits = (rng.normal(size=(60, 3, 4)) + 2 * np.eye(4)[labels][:, np.newaxis]).astype(np.float32)
    logits[:, 1] = 0
    memory = fit_memory(logits, labels)
    assert not np.tril(memory).any() and memory[1, 2] == 0
    right = evidence_of(np.zeros((60, 3)), logits, labels, memory).after(0, 2).sum()
    for other in MEMORIES:
        assert (together(logits[:, 0], logits[:, 2], other).argmax(axis=1) == labels).sum() <= right


def test_evidence_that_does_not_know_what_comes_after() -> None:
    """Then the last word alone counts."""
    found = evidence(3)
    plain = Evidence(found.p_right, found.score, found.right)
    assert np.array_equal(plain.after(0, 2), found.right[:, 2])
    assert plain.take(slice(0, 4)).right_after is None
    assert plain.remembered(0, 2) == 0


@given(SEEDS, st.floats(0, 1.1), st.floats(0, 1))
def test_costs_of_a_cascade_image_by_image(seed: int, threshold: float, skip: float) -> None:
    """Skipped: the last alone. Not trusted: both. Else the first. The estimator counts for all once it is asked."""
    found, cost = evidence(seed), costs(seed)
    outcome = run_cascade(Cascade(0, 2, threshold, skip), found, cost, estimator_cost=0.05)
    for image in range(len(found.score)):
        asked = 0.05 if skip > 0 else 0.0
        if float(found.p_right[image, 0]) < skip:
            right, spent = found.right[image, 2], cost[2]
        elif float(found.score[image, 0]) < threshold:
            right, spent = found.after(0, 2)[image], cost[0] + cost[2]
        else:
            right, spent = found.right[image, 0], cost[0]
        assert outcome.right[image] == right
        assert outcome.cost[image] == pytest.approx(spent + asked)


@given(SEEDS, PRICES)
def test_costs_of_routing(seed: int, price: float) -> None:
    """Each image pays for its configuration and for the estimator."""
    found, cost = evidence(seed), costs(seed)
    outcome = run_route(found, cost, 0.05, price)
    route = choose(found.p_right, cost, price)
    assert outcome.cost == pytest.approx(cost[route] + 0.05)
    assert np.array_equal(outcome.right, found.right[np.arange(len(route)), route])


@settings(max_examples=60, deadline=None)
@given(SEEDS, PRICES, st.sampled_from([np.float16, np.float32]), st.sampled_from([0.0, 0.02, 0.3]))
def test_the_best_cascade_is_the_best(seed: int, price: float, kind: npt.DTypeLike, estimator_cost: float) -> None:
    """No configuration for all, no pair at any threshold, no skip of those tried has a greater utility."""
    found, cost = evidence(seed, kind=kind), costs(seed)
    best = run_cascade(best_cascade(found, cost, estimator_cost, price), found, cost, estimator_cost).utility(price)
    for k in range(3):
        alone = Outcome(found.right[:, k], np.full(len(found.score), cost[k]))
        assert best >= alone.utility(price) - 1e-9
    for first in range(3):
        scores = [0.0, *np.unique(found.score[:, first].astype(np.float64)).tolist(), 1.1]
        skips = np.quantile(found.p_right[:, first].astype(np.float64), np.linspace(0, 0.6, 13)[1:]).tolist()
        for last, threshold, skip in product(range(first + 1, 3), scores, [0.0, *skips[::4]]):
            other = run_cascade(Cascade(first, last, threshold, skip), found, cost, estimator_cost)
            assert best >= other.utility(price) - 1e-9


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_a_higher_price_never_buys_a_dearer_cascade(seed: int) -> None:
    """From the best that money buys down to the cheapest configuration alone."""
    found, cost = evidence(seed), costs(seed)
    prices = [0.0, *np.geomspace(1e-3, 2 / np.diff(cost, prepend=0).min(), 12).tolist()]
    cascades = [best_cascade(found, cost, 0.02, price) for price in prices]
    spent = [run_cascade(cascade, found, cost, 0.02).cost.mean() for cascade in cascades[1:]]  # at price 0 none counts
    assert all(after <= before + 1e-9 for before, after in pairwise(spent))
    assert cascades[-1] == Cascade(0, 0, 0.0)


def test_equal_scores_are_not_torn_apart() -> None:
    """A threshold cannot tell images of one score apart, so the best one does not pretend to."""
    score = np.array([[0.5, 1.0], [0.5, 1.0], [0.5, 1.0], [0.9, 1.0]], np.float16)
    right = np.ones((4, 2), np.bool_)
    right[0, 0] = False  # one of three equals would gain
    found, cost = Evidence(score, score, right), np.array([0.1, 1.0])
    assert best_cascade(found, cost, 0.0, 0.5) == Cascade(0, 0, 0.0)
    cheap = best_cascade(found, cost, 0.0, 0.1)
    assert (cheap.first, cheap.last) == (0, 1) and 0.5 < cheap.threshold <= 0.9


def test_half_precision_does_not_move_a_threshold() -> None:
    """A threshold between two neighbours in half precision stays between them."""
    low = np.float16(0.5)
    high = np.nextafter(low, np.float16(1))
    cascade = Cascade(0, 1, (float(low) + float(high)) / 2, skip=(float(low) + float(high)) / 2)
    assert cascade.escalated(np.array([low, high])).tolist() == [True, False]
    assert cascade.skipped(np.array([[low, 0], [high, 0]], np.float16)).tolist() == [True, False]


@settings(max_examples=40, deadline=None)
@given(SEEDS, PRICES)
def test_the_best_of_a_pair_is_the_best_of_that_pair(seed: int, price: float) -> None:
    """Over all pairs the best of them is the best of all."""
    found, cost = evidence(seed), costs(seed)
    pairs = [(first, last) for first in range(3) for last in range(first, 3)]
    fitted = [best_cascade(found, cost, 0.02, price, pair=pair) for pair in pairs]
    assert [(cascade.first, cascade.last) for cascade in fitted] == pairs
    utilities = [run_cascade(cascade, found, cost, 0.02).utility(price) for cascade in fitted]
    best = run_cascade(best_cascade(found, cost, 0.02, price), found, cost, 0.02).utility(price)
    assert best == pytest.approx(max(utilities), abs=1e-9)


def test_a_cascade_asks_the_estimator_only_to_skip() -> None:
    """Without a skip it is not worth running."""
    assert not Cascade(0, 1, 0.9).asks_estimator
    assert Cascade(0, 1, 0.9, skip=0.1).asks_estimator
