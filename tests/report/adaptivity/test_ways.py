"""Ways to spend time: what they cost, what they get right, and what lies between two settings."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqmq_deploy.report.adaptivity import ways
from dqmq_deploy.report.adaptivity.settings import Fold, Settings, Times, for_all
from dqmq_deploy.report.adaptivity.ways import Point, Way
from dqmq_deploy.routing import Cascade, Evidence

TIMES = Times(np.array([1.0, 3.0]), estimator=0.5, dispatch=0.1)


def evidence(rows: list[tuple[float, float, bool, bool]]) -> Evidence:
    """Images of ``(p_right of the first, score of the first, first right, second right)``."""
    p_right = np.array([[p, 0.9] for p, *_ in rows])
    score = np.array([[s, 0.9] for _, s, *_ in rows])
    return Evidence(p_right, score, np.array([row[2:] for row in rows], np.bool_))


KNOWN = evidence(
    [
        (0.9, 0.99, True, True),
        (0.9, 0.30, False, True),
        (0.2, 0.60, False, True),
        (0.9, 0.95, False, False),
    ]
)


def settings(cascade: Cascade, price: float = 0.0) -> Settings:
    """Settings with one point for every way."""
    return Settings((price,), np.array([1 / 3, 1.0]), (cascade,), (cascade,))


def folds(cascade: Cascade, price: float = 0.0) -> list[Fold]:
    """The same for all images."""
    return for_all(settings(cascade, price), 4)


def test_everything_an_image_costs_counts() -> None:
    """The first graph on all, the second where the answer is not trusted, the estimator where it is asked."""
    (point,) = ways.escalated(KNOWN, TIMES, folds(Cascade(0, 1, 0.7)), "trials", "x").points
    assert point.right.tolist() == [1, 1, 1, 0]
    assert point.ms == pytest.approx(1 + 2 / 4 * 3 + 0.1)
    (point,) = ways.escalated(KNOWN, TIMES, folds(Cascade(0, 1, 0.5, skip=0.5)), "cascades", "x").points
    assert point.right.tolist() == [1, 1, 1, 0]
    assert point.ms == pytest.approx((1 + 4 + 3 + 1) / 4 + 0.1 + 0.5)


def test_the_random_twin_spends_as_much_and_knows_nothing() -> None:
    """Half of the images escalate, whichever they are."""
    cascade = Cascade(0, 1, 0.7)
    (ours,), (twin,) = (
        ways.escalated(KNOWN, TIMES, folds(cascade), "trials", "x").points,
        ways.random_cascades(KNOWN, TIMES, folds(cascade), "trials", "y").points,
    )
    assert twin.ms == pytest.approx(ours.ms)
    assert twin.right.tolist() == [1.0, 0.5, 0.5, 0.0]


def test_the_router_pays_the_estimator_and_one_graph() -> None:
    """Each image goes where the estimator promises most for the price; at random the same mix knows nothing."""
    found = folds(Cascade(0, 0, 0.0), price=0.5)  # 0.9 - 0.17 against 0.9 - 0.5; the third 0.2 - 0.17 against 0.4
    (ours,), (random,) = (
        ways.routed(KNOWN, TIMES, found, "x").points,
        ways.random_routes(KNOWN, TIMES, found, "y").points,
    )
    assert ours.right.tolist() == [1, 0, 1, 0]
    assert ours.ms == pytest.approx((3 * 1 + 3) / 4 + 0.5 + 0.1) == pytest.approx(random.ms)
    assert random.right.tolist() == [1.0, 0.25, 0.25, 0.0]


def test_each_fold_is_judged_by_its_own_settings() -> None:
    """Two halves with different thresholds are put together image by image."""
    halves = [
        Fold(np.array([0, 2]), settings(Cascade(0, 1, 0.0))),
        Fold(np.array([1, 3]), settings(Cascade(0, 1, 2.0))),
    ]
    (point,) = ways.escalated(KNOWN, TIMES, halves, "trials", "x").points
    assert point.right.tolist() == [1, 1, 0, 0]
    assert point.spent == pytest.approx([1.1, 4.1, 1.1, 4.1])


def test_mixtures_leave_out_what_a_mixture_beats() -> None:
    """Of three configurations the middle one lies below the line between the others."""
    right = np.arange(10)[:, None] < np.array([2, 3, 10])
    some = Evidence(np.zeros((10, 3)), np.zeros((10, 3)), right)
    found = ways.mixtures(some, Times(np.array([1.0, 2.0, 3.0]), 0.0, 0.0))
    middle = found.at(2.0)
    assert [point.ms for point in found.points] == [1.0, 3.0]
    assert middle is not None and middle.accuracy == pytest.approx(0.6)


def test_the_oracle_takes_the_fastest_that_is_right() -> None:
    """Right wherever any is; where none is it wastes no time."""
    (point,) = ways.oracle(KNOWN, TIMES).points
    assert point.right.tolist() == [1, 1, 1, 0]
    assert point.ms == pytest.approx((1 + 3 + 3 + 1) / 4)


def test_between_two_settings_images_are_split() -> None:
    """In proportion to time; below the fastest there is nothing, beyond the slowest nothing more."""
    way = Way("x", (Point(np.array([0.0, 1.0]), np.array([0.5, 1.5])), Point(np.array([1.0, 1.0]), np.full(2, 3.0))))
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
