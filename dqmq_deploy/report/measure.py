"""Fair timing: all candidates in one process, in turn, block by block.

One *round* visits every candidate once, in a shuffled order; a visit is a *block* of 5 to 100 runs in a row. Blocks
keep caches as warm as they are in service (switching at every run inflates small networks by 40 %), rounds spread a
slow minute of the machine over all candidates, and a ratio is taken inside each round, so that what disturbs both
cancels.

    round 1   a a a a a   c c c c c   b b b b b
    round 2   b b b b b   a a a a a   c c c c c      ratio a / b = median over rounds of (median a / median b)
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dqmq_deploy.errors import BenchError

BLOCK_MS = 25.0
"""A block is as many runs as fit in this time, within :data:`BLOCK_RUNS`."""

BLOCK_RUNS = (5, 100)
"""Fewest and most runs in a block."""

WARM_UP_RUNS = 5
"""Runs before the first round; the last of them set the length of the blocks."""


@dataclass(frozen=True)
class Samples:
    """Every recorded run of one candidate, in milliseconds: one array per round."""

    blocks: tuple[npt.NDArray[np.float64], ...]

    @property
    def all_ms(self) -> npt.NDArray[np.float64]:
        """All runs in order, ``[runs]``."""
        return np.concatenate(self.blocks)

    @property
    def block_medians_ms(self) -> npt.NDArray[np.float64]:
        """Median of each round, ``[rounds]``."""
        return np.array([np.median(block) for block in self.blocks])

    def statistics(self) -> dict[str, float | int]:
        """Percentiles, extremes, mean, standard deviation (of single runs), and the number of runs behind them.

        >>> Samples((np.array([1.0, 3.0]), np.array([2.0]))).statistics()["p50_ms"]
        2.0
        """
        runs = self.all_ms
        p50, p90, p99 = (float(value) for value in np.percentile(runs, (50, 90, 99)))
        return {
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "min_ms": float(runs.min()),
            "max_ms": float(runs.max()),
            "mean_ms": float(runs.mean()),
            "std_ms": float(runs.std(ddof=1)) if len(runs) > 1 else 0.0,
            "n": len(runs),
            "rounds": len(self.blocks),
        }


def ratio(candidate: Samples, reference: Samples) -> dict[str, float | int]:
    """Time of ``candidate`` over time of ``reference``: the median over rounds, with the 10th and 90th percentile.

    >>> two, one = Samples((np.array([2.0]), np.array([4.0]))), Samples((np.array([1.0]), np.array([2.0])))
    >>> ratio(two, one)["median"]
    2.0
    """
    ratios = candidate.block_medians_ms / reference.block_medians_ms
    low, median, high = (float(value) for value in np.percentile(ratios, (10, 50, 90)))
    return {"median": median, "low": low, "high": high, "rounds": len(ratios)}


def measure(
    candidates: Mapping[str, Callable[[], object]],
    *,
    seconds: float,
    blocks: int = 5,
    seed: int = 0,
    tick: Callable[[float], None] | None = None,
) -> dict[str, Samples]:
    """Time ``candidates`` in turn for ``seconds``, and for at least ``blocks`` rounds.

    The first run of a block follows another candidate's last; it is not recorded. ``tick`` hears the share done.

    Raises:
        BenchError: no candidates, or a clock too coarse to see a single run.
    """
    if not candidates:
        raise BenchError("expected at least one candidate to time, got none: check the bundle and --against")
    runs = {name: _block_runs(name, call) for name, call in candidates.items()}
    recorded: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in candidates}
    order = np.random.default_rng(seed)
    names = list(candidates)
    start = time.perf_counter()
    rounds = 0
    while rounds < blocks or time.perf_counter() - start < seconds:
        for index in order.permutation(len(names)):
            name = names[index]
            recorded[name].append(_block(candidates[name], runs[name]))
        rounds += 1
        if tick is not None:
            passed = (time.perf_counter() - start) / seconds if seconds > 0 else 1.0
            tick(min(1.0, passed, rounds / blocks))
    return {name: Samples(tuple(arrays)) for name, arrays in recorded.items()}


def _block(call: Callable[[], object], runs: int) -> npt.NDArray[np.float64]:
    """Milliseconds of ``runs`` runs, after one that is not recorded."""
    clock = time.perf_counter_ns
    marks = np.empty(runs + 1, np.int64)
    call()
    marks[0] = clock()
    for run in range(runs):
        call()
        marks[run + 1] = clock()
    return np.diff(marks).astype(np.float64) / 1e6


def _block_runs(name: str, call: Callable[[], object]) -> int:
    """Runs that fill :data:`BLOCK_MS`, found by warming up."""
    typical_ms = float(np.median(_block(call, WARM_UP_RUNS)))
    if typical_ms <= 0:
        raise BenchError(f"{name}: a run takes no measurable time on this machine's clock; use a larger batch")
    fewest, most = BLOCK_RUNS
    return int(np.clip(round(BLOCK_MS / typical_ms), fewest, most))
