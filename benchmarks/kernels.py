"""Kernels against onnxruntime and OpenVINO on this machine: whole networks, layers, loading, and what must hold.

    python benchmarks/kernels.py                              all of it, about a quarter of an hour
    python benchmarks/kernels.py --quick                      about a minute: one thread, best ISA
    python benchmarks/kernels.py --parts networks --networks resnet18 --caps avx2 --threads 1 -o /tmp/part

Progress goes to standard error, the tables to standard output and, with every round's times, to ``kernels.md`` and
``kernels.json`` in the folder given by ``-o``. Leave the machine alone meanwhile: other work shows up in the ratios of
two threads first. Without the library only the opponents and stock onnxruntime are timed.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if not __package__:  # run by its path: look where -m would look
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import torch

from benchmarks.kernel_job import PARTS, Job, run_elsewhere
from benchmarks.kernel_report import markdown
from benchmarks.network_times import SUBJECTS, write_files
from benchmarks.opponents import available_caps, has_openvino, int8_peak, library_path
from dqmq_deploy.bits import LADDER
from dqmq_deploy.report.environment import environment, load_average, usable_cores

NETWORK_SECONDS = 20.0
ROUNDS = {"networks": 9, "layers": 7, "creation": 9, "memory": 1}
QUICK_SECONDS = 3.0
QUICK_ROUNDS = {"networks": 3, "layers": 3, "creation": 3, "memory": 1}


def jobs(arguments: argparse.Namespace, graphs: Path, library: Path | None) -> Iterator[Job]:
    """Every process to run, in order. Loading is measured once: threads and caps hardly matter to it."""
    rounds = QUICK_ROUNDS if arguments.quick else ROUNDS
    for part in arguments.parts:
        once = part in ("creation", "memory")
        if part == "creation" and library is None:
            continue
        for cap in arguments.caps[-1:] if once else arguments.caps:
            for threads in [1] if once else arguments.threads:
                yield Job(
                    part, cap, threads, str(graphs), str(library) if library else None, tuple(arguments.networks),
                    tuple(arguments.bits), arguments.seconds, rounds[part],
                )  # fmt: skip


def measure(arguments: argparse.Namespace, graphs: Path) -> dict[str, Any]:
    """Everything asked for, as plain values."""
    library = library_path()
    found: dict[str, Any] = {
        "command": f"python {shlex.join(sys.argv)}",
        "environment": environment(),
        "library": str(library) if library else None,
        "notes": _notes(library),
        **{part: [] for part in PARTS},
    }
    for name in arguments.networks:
        _say(f"writing {name}")
        write_files(name, graphs, arguments.bits)
    for job in jobs(arguments, graphs, library):
        _say(f"{job.part}, {job.cap}, threads: {job.threads}")
        found[job.part] += run_elsewhere(job)
    found["load_average_after"] = load_average()
    return found


def _notes(library: Path | None) -> list[str]:
    notes = []
    if library is None:
        notes.append("The library of kernels was not found: build it, then measure again.")
    elif int8_peak(library) is None:
        notes.append("The library has no dqmq_int8_peak_gmacs: layers are not held against the peak.")
    if not has_openvino():
        notes.append("OpenVINO is not installed: pip install openvino.")
    return notes


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    caps = available_caps()
    parser.add_argument("--quick", action="store_true", help="fewer rounds, one thread, the best ISA")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--networks", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--bits", nargs="+", type=int, choices=LADDER, default=list(LADDER))
    parser.add_argument("--caps", nargs="+", choices=caps, help="values of DQMQ_MAX_ISA; by default all this CPU has")
    parser.add_argument("--threads", nargs="+", type=int, help="by default 1 and 2")
    parser.add_argument("--seconds", type=float, help="for each network, cap and number of threads")
    parser.add_argument("-o", "--out", type=Path, default=Path("report/kernels"), metavar="DIR")
    arguments = parser.parse_args()
    quick = arguments.quick
    arguments.caps = arguments.caps or (caps[-1:] if quick else caps)
    arguments.threads = arguments.threads or ([1] if quick or usable_cores() < 2 else [1, 2])
    arguments.seconds = arguments.seconds or (QUICK_SECONDS if quick else NETWORK_SECONDS)
    return arguments


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)  # beside other work, threads that wait for each other take ten times as long
    arguments = _parse()
    with tempfile.TemporaryDirectory(prefix="dqmq-kernels-") as folder:
        found = measure(arguments, Path(folder))
    text = markdown(found)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "kernels.json").write_text(json.dumps(found, indent=1) + "\n")
    (arguments.out / "kernels.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
