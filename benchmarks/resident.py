"""Memory that the sessions of some graphs keep, in a process that has done nothing else.

    python -m benchmarks.resident TRIVIAL.onnx GRAPH.onnx ... [--library PATH]

prints, as JSON, the memory of this process with a session for every graph and one image run on each, less its memory
with onnxruntime and the first graph alone. Imports no more than it must: what is freed before would be used again, and
not be counted.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.opponents import ort_session

FIELDS = {"VmRSS": "resident_bytes", "RssAnon": "anonymous_bytes"}
"""Lines of ``/proc/self/status``: all memory in use, and the part that no file backs."""


def resident(trivial: Path, graphs: Sequence[Path], library: Path | None) -> dict[str, int]:
    """Bytes that the sessions of ``graphs`` add to this process; Linux only."""
    kept = [_run(trivial, library)]
    before = memory()
    kept += [_run(graph, library) for graph in graphs]
    return {key: value - before[key] for key, value in memory().items()}


def memory() -> dict[str, int]:
    """Bytes of this process, by the names of :data:`FIELDS`."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {key: 1024 * int(lines[field].split()[0]) for field, key in FIELDS.items()}


def _run(path: Path, library: Path | None) -> ort.InferenceSession:
    session = ort_session(path, 1, library)
    image = session.get_inputs()[0]
    session.run(None, {image.name: np.zeros((1, *image.shape[1:]), np.uint8)})
    return session


def main() -> None:
    """Measure this process and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trivial", type=Path)
    parser.add_argument("graphs", type=Path, nargs="+")
    parser.add_argument("--library", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(resident(arguments.trivial, arguments.graphs, arguments.library)))


if __name__ == "__main__":
    main()
