"""Latency of the estimator, every configuration, the adaptive whole and the baselines, at one number of threads."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.report.measure import Samples, measure, ratio
from dqmq_deploy.report.runners import LOADS, Pixels, Subject, load_times
from dqmq_deploy.runtime.dispatcher import Dispatcher
from dqmq_deploy.runtime.prediction import Prediction

STOCK = ", stock"
"""What is added to a configuration's name where it is measured without our kernels."""

OVERHEAD_PASSES = 5
"""Passes behind each row of the overhead table."""

OVERHEAD_RUNS = 256
"""Calls of a pass, unless they take more than :data:`OVERHEAD_SECONDS`."""

OVERHEAD_SECONDS = 0.6


def latency_rows(
    subjects: Sequence[Subject],
    dispatcher: Dispatcher | None,
    sample: Pixels,
    *,
    adaptive_load: dict[str, float],
    threads: int,
    batch: int,
    seconds: float,
    blocks: int,
    seed: int,
    tick: Callable[[float], None],
) -> list[dict[str, Any]]:
    """One row for each subject: statistics of single images, ratios to each reference, images per second in batches.

    ``dispatcher`` adds the row ``adaptive``; ``adaptive_load`` says how long it took to load. ``sample`` is uint8
    ``[images, H, W, 3]``. References are the baselines and the dearest configuration; ``over_stock`` is the ratio to
    the same configuration without our kernels, where it is among the subjects. ``seconds`` are shared: two thirds for
    single images, one third for batches.
    """
    loads = {subject.name: load_times(subject, threads, sample[:1]) for subject in subjects}
    loads["adaptive"] = adaptive_load
    single = _candidates(subjects, dispatcher, sample, threads, 1)
    samples = measure(single, seconds=seconds * 2 / 3, blocks=blocks, seed=seed, tick=lambda done: tick(done * 2 / 3))
    batched = _candidates(subjects, dispatcher, sample, threads, batch)
    batch_samples = measure(
        batched, seconds=seconds / 3, blocks=blocks, seed=seed + 1, tick=lambda done: tick((2 + done) / 3)
    )
    kinds = {subject.name: subject.kind for subject in subjects} | {"adaptive": "adaptive"}
    references = _references(subjects)
    return [
        {
            "name": name,
            "kind": kinds[name],
            "threads": threads,
            **samples[name].statistics(),
            **loads[name],
            "batch": batch,
            "images_per_s": batch * 1e3 / float(np.median(batch_samples[name].all_ms)),
            "ratios": _ratios(name, references, samples),
            **({"over_stock": ratio(samples[name], samples[name + STOCK])} if name + STOCK in samples else {}),
        }
        for name in single
    ]


def load_dispatcher(bundle: Bundle, price: float, threads: int, sample: Pixels) -> tuple[Dispatcher, dict[str, float]]:
    """A dispatcher, and the median time to load one (each graph is run once on the way) and to answer first."""
    load_ms, first_ms = [], []
    for _ in range(LOADS):
        start = time.perf_counter()
        dispatcher = Dispatcher(bundle, price=price, threads=threads)
        loaded = time.perf_counter()
        dispatcher(sample[0])
        load_ms.append((loaded - start) * 1e3)
        first_ms.append((time.perf_counter() - loaded) * 1e3)
    return dispatcher, {"load_ms": float(np.median(load_ms)), "first_ms": float(np.median(first_ms))}


def overhead_row(dispatcher: Dispatcher, sample: Pixels, batch: int) -> dict[str, Any]:
    """Where the dispatcher's time goes in calls of ``batch`` images: mean milliseconds per image and share.

    ``estimator_ms`` is the estimator and the choice of route; ``dispatch_ms`` is what is neither that nor graph. Of
    several passes over the same images the fastest is told: what other processes add is not ours.
    """
    passes = [_overhead_pass(dispatcher, _Cycle(sample, batch)) for _ in range(OVERHEAD_PASSES)]
    return {"batch": batch, **min(passes, key=lambda row: row["total_ms"])}


def _overhead_pass(dispatcher: Dispatcher, batches: "_Cycle") -> dict[str, Any]:
    for _ in range(5):
        _classify(dispatcher, next(batches))
    wall_ms = estimator_ms = graph_ms = 0.0
    images = 0
    deadline = time.perf_counter() + OVERHEAD_SECONDS
    for _ in range(OVERHEAD_RUNS):
        pixels = next(batches)
        start = time.perf_counter()
        predictions = _classify(dispatcher, pixels)
        now = time.perf_counter()
        wall_ms += (now - start) * 1e3 - sum(prediction.decode_ms for prediction in predictions)
        estimator_ms += sum(prediction.estimator_ms for prediction in predictions)
        graph_ms += sum(prediction.graph_ms for prediction in predictions)
        images += len(predictions)
        if now > deadline:
            break
    return {
        "images": images,
        "estimator_ms": estimator_ms / images,
        "dispatch_ms": max(0.0, wall_ms - estimator_ms - graph_ms) / images,
        "graph_ms": graph_ms / images,
        "total_ms": wall_ms / images,
        "share": max(0.0, wall_ms - graph_ms) / wall_ms,
    }


def _candidates(
    subjects: Sequence[Subject], dispatcher: Dispatcher | None, sample: Pixels, threads: int, batch: int
) -> dict[str, Callable[[], object]]:
    candidates: dict[str, Callable[[], object]] = {}
    pixels = next(_Cycle(sample, batch))
    for subject in subjects:
        runner = subject.open(threads, batch)
        candidates[subject.name] = _bound(runner.run, runner.prepare(pixels))
    if dispatcher is not None:
        batches = _Cycle(sample, batch)
        candidates["adaptive"] = lambda: _classify(dispatcher, next(batches))
    return candidates


def _classify(dispatcher: Dispatcher, pixels: Pixels) -> list[Prediction]:
    """The dispatcher's way of single images, or of batches."""
    return [dispatcher(pixels[0])] if len(pixels) == 1 else dispatcher.classify_batch(pixels)


def _bound(run: Callable[[Any], object], feed: object) -> Callable[[], object]:
    return lambda: run(feed)


class _Cycle:
    """Batches from a sample, around and around."""

    def __init__(self, sample: Pixels, batch: int) -> None:
        repeats = -(-batch // len(sample))
        self._sample = np.concatenate([sample] * (repeats + 1))
        self._images = len(sample)
        self._batch = batch
        self._at = 0

    def __next__(self) -> Pixels:
        pixels = self._sample[self._at : self._at + self._batch]
        self._at = (self._at + self._batch) % self._images
        return pixels


def _references(subjects: Sequence[Subject]) -> list[str]:
    configurations = [subject.name for subject in subjects if subject.kind == "configuration"]
    return [subject.name for subject in subjects if subject.kind == "baseline"] + configurations[-1:]


def _ratios(name: str, references: Sequence[str], samples: dict[str, Samples]) -> dict[str, Any]:
    return {other: ratio(samples[name], samples[other]) for other in references if other != name}
