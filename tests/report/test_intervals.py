"""Confidence intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqmq_deploy.report.intervals import mean_interval, paired_difference, wilson


@pytest.mark.parametrize(("right", "total", "low", "high"), [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611)])
def test_wilson_gives_published_values(right: int, total: int, low: float, high: float) -> None:
    """Values as statistics packages print them."""
    assert wilson(right, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_holds_the_share_and_stays_a_share(counts: tuple[int, int]) -> None:
    """For any counts the interval lies within 0 to 1 and around the share."""
    right, total = counts
    low, high = wilson(right, total)
    assert 0 <= low <= high <= 1
    if total:
        assert low <= right / total <= high


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    """One per cent of disagreement, all for us, is told from chance where separate intervals would overlap."""
    theirs = np.arange(2000) < 1800
    ours = np.arange(2000) < 1820
    found = paired_difference(ours, theirs)

    assert found["difference"] == pytest.approx(0.01)
    assert found["low"] > 0
    assert wilson(1820, 2000)[0] < wilson(1800, 2000)[1]
    assert paired_difference(theirs, ours)["high"] == pytest.approx(-found["low"])


def test_no_disagreement_is_not_certainty() -> None:
    """Two classifiers that agree on twenty images may still differ."""
    same = np.ones(20, np.bool_)
    found = paired_difference(same, same)
    assert found["low"] < 0 < found["high"]


def test_a_mean_has_the_normal_interval() -> None:
    """1.96 standard errors to each side."""
    values = np.random.default_rng(0).normal(0.3, 1.0, 400)
    found = mean_interval(values)
    assert found["high"] - found["difference"] == pytest.approx(1.96 * values.std(ddof=1) / 20, rel=1e-3)
