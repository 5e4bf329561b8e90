"""Interleaved timing."""

import time
from collections.abc import Callable
from itertools import groupby

import numpy as np
import pytest

from dqmq_deploy.errors import BenchError
from dqmq_deploy.report.measure import BLOCK_RUNS, WARM_UP_RUNS, Samples, measure, ratio


def spin(milliseconds: float) -> Callable[[], None]:
    """A candidate that keeps the core busy for a known time."""

    def run() -> None:
        end = time.perf_counter() + milliseconds / 1e3
        while time.perf_counter() < end:
            pass

    return run


def test_candidates_take_turns_in_blocks() -> None:
    """Every round visits every candidate once, in one unbroken block of 5 to 100 runs and one that is not recorded."""
    calls: list[str] = []

    def candidate(name: str) -> Callable[[], None]:
        return lambda: calls.append(name)

    found = measure({name: candidate(name) for name in "abc"}, seconds=0.0, blocks=4, seed=3)

    timed = calls[3 * (WARM_UP_RUNS + 1) :]
    for sample in found.values():
        assert len(sample.blocks) == 4
        assert all(BLOCK_RUNS[0] <= len(block) <= BLOCK_RUNS[1] for block in sample.blocks)
    assert len(timed) == sum(len(block) + 1 for sample in found.values() for block in sample.blocks)
    at = 0
    for turn in range(4):
        length = sum(len(sample.blocks[turn]) + 1 for sample in found.values())
        visited = [name for name, _ in groupby(timed[at : at + length])]
        assert sorted(visited) == ["a", "b", "c"]
        at += length


def test_a_candidate_twice_as_slow_is_measured_so() -> None:
    """Times come out in milliseconds, and the ratio near two with its spread around it."""
    found = measure({"slow": spin(0.4), "quick": spin(0.2)}, seconds=0.0, blocks=5)

    assert found["quick"].statistics()["p50_ms"] == pytest.approx(0.2, rel=0.25)
    measured = ratio(found["slow"], found["quick"])
    assert measured["low"] <= measured["median"] <= measured["high"]
    assert measured["median"] == pytest.approx(2.0, rel=0.25)
    assert measured["rounds"] == 5


def test_statistics_are_those_of_all_runs() -> None:
    """Percentiles, extremes, mean and deviation are taken over single runs of all rounds."""
    rng = np.random.default_rng(0)
    blocks = tuple(rng.gamma(2.0, 1.0, size) for size in (5, 17, 100))
    runs = np.concatenate(blocks)
    found = Samples(blocks).statistics()

    assert found["n"] == 122 and found["rounds"] == 3
    for percentile in (50, 90, 99):
        assert found[f"p{percentile}_ms"] == pytest.approx(np.percentile(runs, percentile))
    assert found["min_ms"] == runs.min() and found["max_ms"] == runs.max()
    assert found["mean_ms"] == pytest.approx(runs.mean())
    assert found["std_ms"] == pytest.approx(runs.std(ddof=1))


def test_the_budget_is_kept_and_progress_told() -> None:
    """It goes on for the seconds given, not much longer, and ends by telling that all is done."""
    heard: list[float] = []
    start = time.perf_counter()
    measure({"a": spin(0.1)}, seconds=0.2, blocks=1, tick=heard.append)

    assert 0.2 <= time.perf_counter() - start < 2.0
    assert heard == sorted(heard) and heard[-1] == 1.0


def test_nothing_to_measure_is_an_error() -> None:
    """No candidates is refused in one line."""
    with pytest.raises(BenchError, match="got none"):
        measure({}, seconds=0.1)
