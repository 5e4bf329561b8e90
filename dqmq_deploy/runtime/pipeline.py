"""Many images through a dispatcher: decoding, routing and the graphs overlap, answers keep their order.

    sources -> decoders: chunks of images -> estimator -> one bucket per route -> workers: graph -> reorder -> answers
               (threads)                                  (the caller's thread)   (threads)    |
                                                                     ^---- what escalates -----'

At most :attr:`Pipeline.in_flight` images are between the source and the answer, so memory does not depend on how many
there are. A bucket goes to a worker when it is full, when its oldest image has waited long enough, when it holds up
the answers of a full pipeline, and at the end.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TypeAlias

import numpy as np

from dqmq_deploy.errors import DqmqError, InputError
from dqmq_deploy.images import Source, decode
from dqmq_deploy.runtime.dispatcher import MICRO_BATCH, Dispatcher, Task
from dqmq_deploy.runtime.prediction import Prediction
from dqmq_deploy.runtime.sessions import available_cores

Outcome: TypeAlias = Prediction | DqmqError
Answer: TypeAlias = tuple[str, Outcome]


@dataclass(slots=True)
class _Image:
    """A decoded image on its way to a graph."""

    position: int
    task: Task


@dataclass(slots=True)
class _Bucket:
    """Images that wait for the same graph; ``due`` is when the oldest has waited long enough."""

    images: list[_Image] = field(default_factory=list)
    due: float = 0.0


@dataclass(slots=True)
class _Report:
    """What a thread hands back: images that now have a route to go, and outcomes, both by position."""

    ran: list[_Image] | None  # what a worker was sent; None in a decoder's report
    routed: list[_Image] = field(default_factory=list)
    outcomes: list[tuple[int, Outcome]] = field(default_factory=list)


class Pipeline:
    """Classifies a stream of images with a dispatcher.

    ``decoders`` threads decode and route, ``workers`` threads run the graphs (each batch on as many threads as the
    dispatcher was given); both default to the cores at hand. ``max_batch`` images at most go through a graph at once,
    and none waits longer than ``max_delay_ms`` for others of its route.

    Raises:
        InputError: a number is not positive.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        decoders: int | None = None,
        workers: int | None = None,
        max_batch: int = MICRO_BATCH,
        max_delay_ms: float = 100.0,
    ) -> None:
        self.dispatcher = dispatcher
        self.decoders = available_cores() if decoders is None else decoders
        self.workers = available_cores() if workers is None else workers
        self.max_batch = max_batch
        self.max_delay_ms = max_delay_ms
        if min(self.decoders, self.workers, max_batch) < 1 or max_delay_ms < 0:
            raise InputError(
                "expected at least 1 decoder, 1 worker, batches of 1 and no negative delay; got "
                f"{self.decoders}, {self.workers}, {max_batch} and {max_delay_ms} ms"
            )

    @property
    def in_flight(self) -> int:
        """The most images that are in the pipeline at once."""
        return self.max_batch * (2 * self.decoders + 2 * self.workers + len(self.dispatcher.configurations))

    def run(self, sources: Iterable[tuple[str, Source]]) -> Iterator[Answer]:
        """Classify ``(name, source)`` pairs; give ``(name, outcome)`` for every one, in the same order.

        An image that cannot be decoded, or a graph that fails on it, gives its error as the outcome; the rest go on.
        """
        run = _Run(self, iter(sources))
        try:
            yield from run.answers()
        finally:
            run.close()


class _Run:
    """One pass of a pipeline. Everything but :meth:`_decode_and_route` and :meth:`_classify` is the caller's thread."""

    def __init__(self, pipeline: Pipeline, sources: Iterator[tuple[str, Source]]) -> None:
        self._pipeline = pipeline
        self._dispatcher = pipeline.dispatcher
        self._sources = sources
        self._decoders = ThreadPoolExecutor(pipeline.decoders, "decode")
        self._workers = ThreadPoolExecutor(pipeline.workers, "graph")
        self._reports: SimpleQueue[_Report] = SimpleQueue()
        self._names: dict[int, str] = {}  # of the images in flight
        self._outcomes: dict[int, Outcome] = {}
        self._buckets = [_Bucket() for _ in self._dispatcher.configurations]
        self._admitted = 0
        self._answered = 0
        self._decoding = 0  # chunks
        self._running = 0  # batches
        self._undecided = [0] * len(self._buckets)  # images at work on a graph that may go on to this route
        self._exhausted = False

    def close(self) -> None:
        self._decoders.shutdown(cancel_futures=True)
        self._workers.shutdown(cancel_futures=True)

    def answers(self) -> Iterator[Answer]:
        while True:
            self._admit()
            self._send_buckets()
            while self._answered in self._outcomes:
                position, self._answered = self._answered, self._answered + 1
                yield self._names.pop(position), self._outcomes.pop(position)
            if self._exhausted and self._answered == self._admitted:
                return
            self._wait()

    def _admit(self) -> None:
        """Send chunks to the decoders while there is room for them."""
        chunk = self._pipeline.max_batch
        while not self._exhausted and self._decoding < 2 * self._pipeline.decoders and self._room() >= chunk:
            taken = list(islice(self._sources, chunk))
            self._exhausted = len(taken) < chunk
            if taken:
                first, self._admitted = self._admitted, self._admitted + len(taken)
                self._names.update((first + row, name) for row, (name, _) in enumerate(taken))
                self._decoding += 1
                self._decoders.submit(self._decode_and_route, first, [source for _, source in taken])

    def _room(self) -> int:
        return self._pipeline.in_flight - (self._admitted - self._answered)

    def _send_buckets(self) -> None:
        """Send the buckets that should not wait for more images of their route."""
        now = time.perf_counter()
        ending = self._exhausted and not self._decoding
        crowded = self._room() < self._pipeline.in_flight // 2
        for route, bucket in enumerate(self._buckets):
            last = ending and not self._undecided[route]
            if bucket.images and (last or bucket.due <= now or (crowded and self._holds_up(bucket))):
                self._send(route, bucket)

    def _holds_up(self, bucket: _Bucket) -> bool:
        return any(image.position == self._answered for image in bucket.images)

    def _send(self, route: int, bucket: _Bucket) -> None:
        images, bucket.images = bucket.images, []
        self._running += 1
        self._count_undecided(images, 1)
        self._workers.submit(self._classify, route, images)

    def _wait(self) -> None:
        """Take in the reports at hand, at least one, unless a bucket is due before it comes."""
        if not self._decoding and not self._running:
            return
        due = min((bucket.due for bucket in self._buckets if bucket.images), default=None)
        timeout = None if due is None else max(0.0, due - time.perf_counter())
        with suppress(Empty):
            self._take(self._reports.get(timeout=timeout))
            while True:
                self._take(self._reports.get_nowait())

    def _take(self, report: _Report) -> None:
        if report.ran is None:
            self._decoding -= 1
        else:
            self._running -= 1
            self._count_undecided(report.ran, -1)
        self._outcomes.update(report.outcomes)
        due = time.perf_counter() + self._pipeline.max_delay_ms / 1e3
        for image in report.routed:
            route = image.task.route
            bucket = self._buckets[route]
            if not bucket.images:
                bucket.due = due
            bucket.images.append(image)
            if len(bucket.images) == self._pipeline.max_batch:
                self._send(route, bucket)

    def _count_undecided(self, images: list[_Image], by: int) -> None:
        for image in images:
            onward = image.task.onward
            if onward is not None:
                self._undecided[onward] += by

    def _decode_and_route(self, first: int, sources: list[Source]) -> None:
        report = _Report(ran=None)
        size = self._dispatcher.size
        pixels = np.empty((len(sources), *size, 3), np.uint8)
        kept: list[tuple[int, float]] = []  # position, ms
        for position, source in enumerate(sources, first):
            start = time.perf_counter()
            try:
                pixels[len(kept)] = decode(source, size)
                kept.append((position, 1e3 * (time.perf_counter() - start)))
            except Exception as error:
                report.outcomes.append((position, _as_outcome(error, "decoding failed")))
        pixels = pixels[: len(kept)]
        try:
            tasks = self._dispatcher.route(pixels, [decode_ms for _, decode_ms in kept])
            report.routed = [_Image(position, task) for (position, _), task in zip(kept, tasks, strict=True)]
        except Exception as error:
            outcome = _as_outcome(error, "the estimator failed")
            report.outcomes += [(position, outcome) for position, _ in kept]
        self._reports.put(report)

    def _classify(self, route: int, images: list[_Image]) -> None:
        report = _Report(ran=images)
        found: Sequence[Outcome | Task]
        try:
            found = self._dispatcher.run([image.task for image in images])
        except Exception as error:
            name = self._dispatcher.configurations[route]
            found = [_as_outcome(error, f"configuration '{name}' failed")] * len(images)
        for image, outcome in zip(images, found, strict=True):
            if isinstance(outcome, Task):
                report.routed.append(_Image(image.position, outcome))
            else:
                report.outcomes.append((image.position, outcome))
        self._reports.put(report)


def _as_outcome(error: Exception, what: str) -> DqmqError:
    if isinstance(error, DqmqError):
        return error
    return DqmqError(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}")
