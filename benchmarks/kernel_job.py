"""One process, one ISA cap: the part of ``benchmarks/kernels.py`` that measures.

A cap is read once, when the first kernel is made, so each cap needs a process of its own, with baselines of its own
beside it. The job comes as JSON on standard input, what was found leaves as JSON on standard output.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.layers import measure_layers
from benchmarks.loading import bundle_memory, creation
from benchmarks.network_times import SHIPPED, measure_networks

ROOT = Path(__file__).resolve().parent.parent

PARTS = ("networks", "layers", "creation", "memory")
"""What can be measured: whole networks, single layers, session creation, resident memory."""

_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
_STAT = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True)
class Job:
    """What one process measures. ``graphs`` holds the files of every network; ``seconds`` is for one network."""

    part: str
    cap: str
    threads: int
    graphs: str
    library: str | None
    names: tuple[str, ...]
    bits: tuple[int, ...]
    seconds: float
    rounds: int


def run_elsewhere(job: Job) -> list[dict[str, Any]]:
    """The rows of ``job``, measured in a process of its own that is capped."""
    surroundings = {**os.environ, "DQMQ_MAX_ISA": job.cap}
    if job.cap == "avx2":
        surroundings["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # or OpenVINO would be no peer
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kernel_job"],
        cwd=ROOT, env=surroundings, input=json.dumps(asdict(job)), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def run(job: Job) -> list[dict[str, Any]]:
    """Measure ``job`` in this process: one row a network or layer."""
    rows = []
    with others() as busy:
        for row in _rows(job):
            rows.append({"cap": job.cap, "threads": job.threads, **row})
            print(f"    {row.get('network') or row.get('layer')} ({len(rows)})", file=sys.stderr)
    for row in rows:
        row["others_cores"] = busy[0]
    return rows


@contextmanager
def others() -> Iterator[list[float]]:
    """Cores that other processes kept busy meanwhile, on average: what a ratio of two threads hardly survives."""
    found: list[float] = []
    start, before = time.perf_counter(), _busy_seconds() - _own_seconds()
    yield found
    found.append(round(max(0.0, _busy_seconds() - _own_seconds() - before) / (time.perf_counter() - start), 2))


def _rows(job: Job) -> Iterable[dict[str, Any]]:
    library = Path(job.library) if job.library else None
    graphs = Path(job.graphs)
    if job.part == "networks":
        return measure_networks(graphs, job.names, job.threads, job.seconds, job.rounds, library)
    if job.part == "layers":
        return _layers(job, library)
    random = [name for name in job.names if name != SHIPPED]
    if job.part == "creation":
        assert library is not None
        return creation(graphs, random, job.bits, job.rounds, library)
    return _memory(random, library)


def _layers(job: Job, library: Path | None) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="dqmq-layers-") as folder:
        yield from measure_layers(Path(folder), job.bits, job.threads, job.rounds, library)


def _memory(names: Sequence[str], library: Path | None) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="dqmq-memory-") as folder:
        for name in names:
            yield bundle_memory(name, Path(folder), library)


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_seconds() -> float:
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return _own_seconds()
    ticks = dict(zip(_STAT, map(int, line.split()[1:]), strict=False))
    return sum(ticks[name] for name in _BUSY) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Read a job, measure it, print what was found."""
    torch.set_num_threads(1)
    plain = json.load(sys.stdin)
    job = Job(**{**plain, "names": tuple(plain["names"]), "bits": tuple(plain["bits"])})
    json.dump(run(job), sys.stdout)


if __name__ == "__main__":
    main()
