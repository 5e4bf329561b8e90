"""Ways to spend time: what they cost, what they get right, and what lies between two settings."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqmq_deploy.report.adaptivity import ways
from dqmq_deploy.report.adaptivity.compare import CASCADE, TRIAL, Judged, calibrate, compare, verdict
from dqmq_deploy.report.adaptivity.ways import Point, Settings, Times, Way
from dqmq_deploy.routing import Cascade, Evidence

TIMES = Times(np.array([1.0, 3.0]), estimator=0.5, dispatch=0.1)


def evidence(rows: list[tuple[float, float, bool, bool, bool]]) -> Evidence:
    """Images of ``(p_right of the first, score of the first, first right, second right, both together right)``."""
    pairs = [[[first, both], [both, second]] for _, _, first, second, both in rows]
    p_right = np.array([[p, 0.9] for p, *_ in rows])
    score = np.array([[s, 0.9] for _, s, *_ in rows])
    return Evidence(p_right, score, np.array(pairs, np.bool_))


KNOWN = evidence(
    [
        (0.9, 0.99, True, True, True),
        (0.9, 0.30, False, True, True),
        (0.2, 0.60, False, True, False),
        (0.9, 0.95, False, False, False),
    ]
)


def test_everything_an_image_costs_counts() -> None:
    """The first graph on all, the second where the answer is not trusted, the estimator where it is asked."""
    (point,) = ways.escalated(KNOWN, TIMES, [Cascade(0, 1, 0.7)], "x").points
    assert point.right.tolist() == [1, 1, 0, 0]
    assert point.ms == pytest.approx(1 + 2 / 4 * 3 + 0.1)
    (point,) = ways.escalated(KNOWN, TIMES, [Cascade(0, 1, 0.5, skip=0.5)], "x").points
    assert point.right.tolist() == [1, 1, 1, 0]
    assert point.ms == pytest.approx((1 + 4 + 3 + 1) / 4 + 0.1 + 0.5)


def test_the_last_word_leaves_the_first_answer_out() -> None:
    """Where both together are wrong but the second alone is right, it counts as right."""
    (point,) = ways.last_word(KNOWN, TIMES, [Cascade(0, 1, 0.7)]).points
    assert point.right.tolist() == [1, 1, 1, 0]


def test_the_random_twin_spends_as_much_and_knows_nothing() -> None:
    """Half of the images escalate, whichever they are."""
    cascade = Cascade(0, 1, 0.7)
    (ours,), (twin,) = (
        ways.escalated(KNOWN, TIMES, [cascade], "x").points,
        ways.random_twin(KNOWN, TIMES, [cascade]).points,
    )
    assert twin.ms == ours.ms
    assert twin.right.tolist() == [1.0, 0.5, 0.0, 0.0]


def test_the_oracle_takes_the_fastest_that_is_right() -> None:
    """Right wherever any is; where none is it wastes no time."""
    (point,) = ways.oracle(KNOWN, TIMES).points
    assert point.right.tolist() == [1, 1, 1, 0]
    assert point.ms == pytest.approx((1 + 3 + 3 + 1) / 4)


def test_between_two_settings_images_are_split() -> None:
    """In proportion to time; below the fastest there is nothing, beyond the slowest nothing more."""
    way = Way("x", (Point(np.array([0.0, 1.0]), 1.0), Point(np.array([1.0, 1.0]), 3.0)))
    assert way.at(0.9) is None
    middle = way.at(1.5)
    assert middle is not None and middle.right.tolist() == [0.25, 1.0] and middle.ms == 1.5
    last = way.at(9.0)
    assert last is not None and last.ms == 3.0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=1, max_size=8))
def test_no_mixture_beats_the_hull(found: list[tuple[float, float]]) -> None:
    """At the time of any configuration the hull is at least as accurate, and it rises with time."""
    accuracy, ms = (np.array(column) for column in zip(*found, strict=True))
    kept = list(ways.hull(accuracy, ms))
    assert all(accuracy[a] < accuracy[b] and ms[a] <= ms[b] for a, b in pairwise(kept))
    for k in range(len(ms)):
        assert np.interp(ms[k], ms[kept], accuracy[kept]) >= accuracy[k] - 1e-9


def simulated(images: int, seed: int) -> Evidence:
    """Hard and easy images: the cheap one fails on the hard ones, and its score half tells."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images) < 0.3
    first, second = rng.random(images) < np.where(hard, 0.4, 0.98), rng.random(images) < np.where(hard, 0.9, 0.97)
    score = np.clip(np.where(first, 0.9, 0.5) + rng.normal(0, 0.15, images), 0, 1)
    p_right = np.clip(np.where(hard, 0.5, 0.95) + rng.normal(0, 0.05, images), 0, 1)
    pairs = np.stack([np.stack([first, second], 1), np.stack([second, second], 1)], 1)
    return Evidence(np.stack([p_right, p_right + 0.02], 1), np.stack([score, score], 1), pairs)


def test_choosing_pays_where_scores_tell_and_not_where_they_do_not() -> None:
    """With a telling score the verdict says so, interval above zero; with a shuffled one it does not."""
    judged, held = simulated(4000, 1), simulated(4000, 2)
    track = np.arange(4000)
    settings = calibrate(held, TIMES)
    result = compare(Judged(judged, ("cheap", "dear"), track), TIMES, settings, TRIAL, seed=0)
    assert result["best_static"] == "dear"
    assert result["differences"]["minus_random"]["low"] > 0.01
    assert "Routing pays on this data" in verdict(result)

    rng = np.random.default_rng(0)
    blind = Evidence(rng.permutation(judged.p_right), rng.permutation(judged.score), judged.pair_right)
    useless = Evidence(rng.permutation(held.p_right), rng.permutation(held.score), held.pair_right)
    settings = calibrate(useless, TIMES)
    result = compare(Judged(blind, ("cheap", "dear"), track), TIMES, settings, CASCADE, seed=0)
    assert "Routing does not pay on this data" in verdict(result)


def test_what_is_fitted_on_other_images_is_what_is_judged() -> None:
    """The judged images have no say in thresholds: the same settings come out whatever they are."""
    held = simulated(1000, 3)
    first, second = calibrate(held, TIMES), calibrate(held, TIMES)
    assert isinstance(first, Settings)
    assert first.cascades == second.cascades
    assert all(cascade.skip == 0 for cascade in first.trials)
