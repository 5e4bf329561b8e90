"""What serving a folder costs beyond its two parts: wall time over (decoding alone + inference alone).

    python -m benchmarks.serve_overhead resnet20-gtsrb.dqmq --images gtsrb-val --threads 1

Decoding alone: every file decoded, results dropped. Inference alone: the decoded pictures, in batches of 16, through
the graphs that the dispatcher ran them through, the estimator among them where it was asked. Each is a bare loop over
the same number of threads. The three take turns; the figure is the median of the rounds' ratios. The wall time of
serving includes opening the bundle.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy import Bundle, Dispatcher
from dqmq_deploy.images import decode, find_images
from dqmq_deploy.runtime.dispatcher import MICRO_BATCH
from dqmq_deploy.runtime.sessions import open_session
from dqmq_deploy.serve.job import ServeJob, serve


def seconds(work: Callable[[Any], object], items: Iterable[Any], threads: int) -> float:
    """Wall time of ``work`` on every item."""
    start = time.perf_counter()
    if threads == 1:
        for item in items:
            work(item)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, items):
                pass
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    dispatcher = Dispatcher(bundle)
    paths = find_images(arguments.images)
    pixels = np.stack([decode(path, dispatcher.size) for path in paths])
    found = dispatcher.classify_batch(pixels)
    cascade = dispatcher.cascade
    seen: dict[str, npt.NDArray[np.bool_]] = {
        bundle.manifest.configurations[index].graph: np.array(
            [
                answer.config == name or (cascade is not None and cascade.first == index and answer.escalated)
                for answer in found
            ]
        )
        for index, name in enumerate(dispatcher.configurations)
    }
    if any(answer.p_right for answer in found):
        seen[bundle.manifest.estimator.graph] = np.ones(len(pixels), np.bool_)
    batches = []
    for graph, chosen in seen.items():
        session, rows = open_session(bundle.file(graph)), np.flatnonzero(chosen)
        batches += [(session, pixels[rows[at : at + MICRO_BATCH]]) for at in range(0, len(rows), MICRO_BATCH)]
    rounds = []
    for _ in range(arguments.rounds + 1):
        decoding = seconds(lambda path: decode(path, dispatcher.size), paths, arguments.threads)
        inference = seconds(lambda pair: pair[0].run(None, {"image": pair[1]}), batches, arguments.threads)
        with tempfile.TemporaryDirectory() as folder:
            job = ServeJob(arguments.images, arguments.bundle, Path(folder) / "out.jsonl", threads=arguments.threads)
            start = time.perf_counter()
            serve(job)
            rounds.append((decoding, inference, time.perf_counter() - start))
    rounds = rounds[1:]  # the first fills the page cache
    ratios = [wall / (decoding + inference) for decoding, inference, wall in rounds]
    medians = [round(statistics.median(column), 3) for column in zip(*rounds, strict=True)]
    print(
        json.dumps(
            {
                "images": len(paths),
                "threads": arguments.threads,
                "decoding_seconds": medians[0],
                "inference_seconds": medians[1],
                "serve_seconds": medians[2],
                "ratio": round(statistics.median(ratios), 3),
                "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
                "rounds": len(rounds),
            }
        )
    )


if __name__ == "__main__":
    main()
