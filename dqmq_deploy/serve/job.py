"""The directory job: find the images, classify them, write the results, sum up."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import InputError
from dqmq_deploy.images import IMAGE_SUFFIXES, iterate_images
from dqmq_deploy.runtime.dispatcher import Dispatcher
from dqmq_deploy.runtime.pipeline import Pipeline
from dqmq_deploy.serve.choose_bundle import choose_bundle
from dqmq_deploy.serve.output import Output, check_output, open_output
from dqmq_deploy.serve.records import to_record
from dqmq_deploy.serve.resume import cut_torn_line, read_records
from dqmq_deploy.serve.stop import stop_on_signal
from dqmq_deploy.serve.summary import Dispatching, ServeSummary, Tally

PROGRESS_SECONDS = 0.1
"""Progress is reported no more often than this."""


@dataclass(frozen=True)
class ServeJob:
    """What to serve and how.

    ``images`` is the folder; the bundle defaults to :func:`choose_bundle`'s choice. Of ``price``, ``max_latency_ms``,
    ``min_accuracy`` and ``config`` at most one is given; ``escalate`` chooses the policy, by default the bundle's.
    ``labels="folders"``: the first folder below ``images`` names an image's class. ``resume`` keeps the records of an
    earlier run, those of unreadable images too, and leaves out their images. ``watch`` looks for new images every
    ``poll_seconds``, until interrupted; a file counts once it has not changed for as long. ``threads`` run graphs and
    as many decode; the default is the cores at hand.
    """

    images: Path
    bundle: Path | None = None
    output: Path = Path("results.jsonl")
    price: float | None = None
    max_latency_ms: float | None = None
    min_accuracy: float | None = None
    config: str | None = None
    escalate: bool | None = None
    labels: str | None = None
    watch: bool = False
    resume: bool = False
    threads: int | None = None
    poll_seconds: float = 1.0


@dataclass(frozen=True)
class Progress:
    """How far a run is. ``total`` counts the images found so far; ``routes`` how many each configuration took."""

    done: int
    total: int
    errors: int
    seconds: float
    routes: dict[str, int]


def serve(job: ServeJob, progress: Callable[[Progress], None] | None = None) -> ServeSummary:
    """Classify every image below ``job.images`` and write one record each, in the order of the sorted paths.

    A record names its image by its path below that folder, with ``/``.

    With ``watch``, each round's new images are sorted among themselves. Ctrl-C ends the run after the images at hand.

    Raises:
        InputError: no images; labels that are no classes of the bundle; an output, price or name that cannot work.
        BundleError: the bundle is damaged.
        DqmqError: the output cannot be written any more.
    """
    check_output(job.output, job.resume)
    if job.labels not in (None, "folders"):
        raise InputError(f"expected labels 'folders', got '{job.labels}'")
    bundle = Bundle.open(choose_bundle(job.bundle))
    classes = bundle.manifest.classes if job.labels else None
    configurations = {entry.name: entry.cost for entry in bundle.manifest.configurations}
    tally = Tally(configurations, labelled=job.labels is not None)
    done = _resume(job.output, tally) if job.resume else set()
    total = _survey((name for name in iterate_images(job.images) if name not in done), classes)
    if not total and not done and not job.watch:
        raise InputError(f"{job.images}: no images below this folder; looked for {' '.join(sorted(IMAGE_SUFFIXES))}")
    dispatcher = Dispatcher(bundle, job.price, job.max_latency_ms, job.min_accuracy, job.config, escalate=job.escalate)
    pipeline = Pipeline(dispatcher, job.threads, job.threads)
    with stop_on_signal() as stop, open_output(job.output, job.resume) as output:
        run = _Run(job, pipeline, output, tally, stop, progress)
        if job.watch:
            run.watch(done, classes)
        else:
            run.total = total
            run.serve_all(name for name in iterate_images(job.images) if name not in done)
        output.flush()
        return tally.summary(str(job.output), run.seconds, _dispatching(dispatcher), stop.is_set())


class _Run:
    """A run at work."""

    def __init__(
        self,
        job: ServeJob,
        pipeline: Pipeline,
        output: Output,
        tally: Tally,
        stop: threading.Event,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._job = job
        self._pipeline = pipeline
        self._output = output
        self._tally = tally
        self._stop = stop
        self._progress = progress
        self._reported_at = 0.0
        self._start = time.perf_counter()
        self.total = 0

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._start

    def serve_all(self, names: Iterable[str]) -> None:
        """Classify the images of these names and write their records."""
        root = os.fspath(self._job.images)
        wanted = takewhile(lambda _: not self._stop.is_set(), names)
        for name, outcome in self._pipeline.run((name, os.path.join(root, name)) for name in wanted):
            record = to_record(name, outcome)
            self._output.add(record)
            self._tally.add(record)
            self._report(PROGRESS_SECONDS)
        self._report(0)

    def watch(self, seen: set[str], classes: Sequence[str] | None) -> None:
        """Classify what is there and what comes, but for the images ``seen``, until stopped."""
        while not self._stop.is_set():
            names = [name for name in iterate_images(self._job.images) if name not in seen and self._is_settled(name)]
            if names:
                self.total += _survey(names, classes)
                seen.update(names)
                self.serve_all(names)
                self._output.flush()
            self._stop.wait(self._job.poll_seconds)

    def _is_settled(self, name: str) -> bool:
        """Whether the file was left alone for a while: one that is still being copied would count as truncated."""
        try:
            changed = os.stat(os.path.join(self._job.images, name)).st_mtime
        except OSError:
            return False
        return abs(time.time() - changed) >= self._job.poll_seconds

    def _report(self, least_seconds: float) -> None:
        now = self.seconds
        if self._progress is not None and now - self._reported_at >= least_seconds:
            self._reported_at = now
            tally = self._tally
            self._progress(Progress(tally.images, self.total, tally.errors, now, dict(tally.routes)))


def _survey(names: Iterable[str], classes: Iterable[str] | None) -> int:
    """Count ``names``; with ``classes``, check that the first folder of each is one of them."""
    if classes is None:
        return sum(1 for _ in names)
    count = 0
    known = set(classes)
    for name in names:
        count += 1
        folder, slash, _ = name.partition("/")
        if not slash:
            raise InputError(
                f"{name}: labels by folder need every image in the folder of its class; this one is in none"
            )
        if folder not in known:
            shown = ", ".join(sorted(known)[:5])
            raise InputError(
                f"folder '{folder}' is none of the bundle's {len(known)} classes ({shown}, ...); "
                "serve the images this bundle was trained for, or leave out the labels"
            )
    return count


def _dispatching(dispatcher: Dispatcher) -> Dispatching:
    cascade = dispatcher.cascade
    first_cost = 0.0 if cascade is None else float(dispatcher.cost[cascade.first])
    return Dispatching(dispatcher.policy, dispatcher.price, first_cost, dispatcher.bundle.manifest.estimator.cost)


def _resume(output: Path, tally: Tally) -> set[str]:
    if not output.exists():
        return set()
    cut_torn_line(output)
    done = set()
    for record in read_records(output):
        if record.get("config", tally.configurations[0]) not in tally.configurations:
            raise InputError(f"{output}: holds records of another bundle; choose another output, or leave out --resume")
        tally.add(record, resumed=True)
        done.add(record["image"])
    return done
