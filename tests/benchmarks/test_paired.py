"""Ratios between candidates that take turns."""

import time

import pytest

from benchmarks.paired import beside_peak, gmacs, settled, single_runs, speedup, spread


def test_a_speedup_is_taken_round_by_round() -> None:
    """A round in which the machine was five times slower leaves it alone, where a ratio of medians would move."""
    found = speedup([1.0, 5.0, 1.0], [2.0, 10.0, 2.0])
    assert found == {"median": 2.0, "low": 2.0, "high": 2.0, "rounds": 3}


def test_a_spread_leaves_out_the_outermost_tenths() -> None:
    """Of 11 rounds, the one before the last at each end."""
    assert spread([float(value) for value in range(11)]) == {"median": 5.0, "low": 1.0, "high": 9.0, "rounds": 11}


def test_times_of_different_rounds_make_no_ratio() -> None:
    """They would not have met the same machine."""
    with pytest.raises(ValueError, match="same rounds, got 1 and 2"):
        speedup([1.0], [1.0, 2.0])


def test_speed_counts_multiply_accumulates() -> None:
    """115.6 M in half a millisecond are 231 thousand million a second."""
    assert gmacs(115_605_504, [0.5]) == pytest.approx([231.211008])


def test_the_peak_is_measured_in_every_round() -> None:
    """As often as each candidate has a block."""
    block_ms, peaks = beside_peak({"a": lambda: time.sleep(1e-4), "b": lambda: time.sleep(1e-4)}, lambda: 7.0, 3)
    assert [len(times) for times in block_ms.values()] == [3, 3]
    assert peaks == [7.0, 7.0, 7.0]
    assert beside_peak({"a": lambda: time.sleep(1e-4)}, None, 2)[1] == []


def test_a_candidate_waits_only_after_another() -> None:
    """So that the wait falls on the first run of a block, which is not recorded."""
    calls = settled({"a": lambda: None, "b": lambda: None}, pause_seconds=0.05)

    def waits(name: str) -> bool:
        start = time.perf_counter()
        calls[name]()
        return time.perf_counter() - start >= 0.05

    assert [waits(name) for name in "aabba"] == [True, False, True, False, True]


def test_single_runs_take_turns() -> None:
    """One run each a round."""
    order: list[str] = []
    found = single_runs({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b", "a", "b"]
    assert [len(times) for times in found.values()] == [2, 2]
