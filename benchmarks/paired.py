"""Ratios between candidates that take turns, so that what slows the machine for a while slows both sides of a ratio.

Every list of times here holds one value a round, and a ratio is taken inside each round: the median counts, and the
10th and 90th percentile say how sure it is. :mod:`dqmq_deploy.report.measure` times the blocks.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dqmq_deploy.report.measure import Samples, measure
from dqmq_deploy.runtime.sessions import SPIN_SECONDS

Candidates = Mapping[str, Callable[[], object]]
Spread = dict[str, float]
"""``median``, ``low`` and ``high`` (10th and 90th percentile) and the number of ``rounds`` behind them."""


def spread(values: Sequence[float]) -> Spread:
    """How values of several rounds lie.

    >>> spread([1.0, 2.0, 3.0])["median"]
    2.0
    """
    low, median, high = (float(value) for value in np.percentile(values, (10, 50, 90)))
    return {"median": median, "low": low, "high": high, "rounds": len(values)}


def speedup(ours_ms: Sequence[float], theirs_ms: Sequence[float]) -> Spread:
    """How many times faster we are than they, round by round.

    >>> speedup([1.0, 2.0], [2.0, 4.0])["median"]
    2.0
    """
    if len(ours_ms) != len(theirs_ms):
        raise ValueError(f"expected times of the same rounds, got {len(ours_ms)} and {len(theirs_ms)}")
    return spread((np.asarray(theirs_ms) / np.asarray(ours_ms)).tolist())


def gmacs(macs: int, block_ms: Sequence[float]) -> list[float]:
    """Thousand million multiply-accumulates a second in each round.

    >>> gmacs(1_000_000, [1.0, 0.5])
    [1.0, 2.0]
    """
    return [macs / ms / 1e6 for ms in block_ms]


def block_medians(samples: Samples) -> list[float]:
    """Milliseconds, one value a round, rounded to what a clock can tell."""
    return [round(float(value), 6) for value in samples.block_medians_ms]


def settled(candidates: Candidates, pause_seconds: float = SPIN_SECONDS) -> Candidates:
    """The same candidates, each waiting a while where another ran before it; the wait falls on an unrecorded run.

    Idle threads of onnxruntime spin after a run, and would take a core from whoever is timed next.
    """
    last = [""]

    def wrap(name: str, call: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            if last[0] != name:
                time.sleep(pause_seconds)
                last[0] = name
            return call()

        return run

    return {name: wrap(name, call) for name, call in candidates.items()}


def beside_peak(
    candidates: Candidates, peak: Callable[[], float] | None, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Block medians of each candidate, and what ``peak`` says at the end of each round; nothing without a ``peak``.

    Clocks move, so a share of the peak only counts against a peak measured right beside.
    """
    peaks: list[float] = []

    def look(share_done: float) -> None:
        if peak is not None:
            peaks.append(peak())

    found = measure(candidates, seconds=0, blocks=rounds, tick=look)
    return {name: block_medians(samples) for name, samples in found.items()}, peaks


def single_runs(candidates: Candidates, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of single runs in turn, for what is too slow for blocks; results are dropped off the clock."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            start = time.perf_counter()
            result = call()
            found[name].append(1e3 * (time.perf_counter() - start))
            del result
    return found
