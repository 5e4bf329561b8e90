"""The pipeline: every image is answered once and in order, whatever fails and however the work is cut up."""

import threading
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import DqmqError, ImageError, InputError
from dqmq_deploy.images import Pixels, Source
from dqmq_deploy.runtime.dispatcher import Dispatcher, Task
from dqmq_deploy.runtime.pipeline import Pipeline
from dqmq_deploy.runtime.prediction import Prediction
from tests.tiny_bundle import HEIGHT, WIDTH, pictures

PIXELS, LABELS = pictures(150, seed=8)


class FailingDispatcher(Dispatcher):
    """A dispatcher whose graphs or estimator fail on the pictures that are told."""

    def __init__(self, bundle: Bundle, price: float, graph: set[int], estimator: set[int], soon: bool) -> None:
        super().__init__(bundle, price=price)
        self._soon = soon
        self._graph = {PIXELS[index].tobytes() for index in graph}
        self._estimator = {PIXELS[index].tobytes() for index in estimator}

    def route(self, pixels: Pixels, decode_ms: float | Sequence[float] = 0.0) -> list[Task]:
        """As ever, or fail."""
        if self._estimator.intersection(picture.tobytes() for picture in pixels):
            raise RuntimeError("no estimate\nfor this one")
        return super().route(pixels, decode_ms)

    def run(self, tasks: Sequence[Task]) -> list[Prediction | Task]:
        """As ever, or fail, in the second graph of an image as in its first."""
        if any(task.pixels.tobytes() in self._graph and (task.onward is None or self._soon) for task in tasks):
            raise MemoryError("no room")
        return super().run(tasks)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_order_and_completeness_under_random_failures(
    tiny_bundle: Bundle, escalating_bundle: Bundle, data: st.DataObject
) -> None:
    """One outcome for each image, in order; an error only where something failed, the right answer everywhere else."""
    bundle = data.draw(st.sampled_from([tiny_bundle, escalating_bundle]))
    price = data.draw(st.sampled_from([0.0, 0.2]))
    soon = data.draw(st.booleans())
    count = data.draw(st.integers(0, 150))
    subset = st.sets(st.integers(0, 149), max_size=20)
    unreadable, graph, estimator = data.draw(subset), data.draw(subset), data.draw(subset)
    max_batch = data.draw(st.integers(1, 20))
    dispatcher = FailingDispatcher(bundle, price, graph, estimator, soon)
    pipeline = Pipeline(
        dispatcher,
        decoders=data.draw(st.integers(1, 3)),
        workers=data.draw(st.integers(1, 3)),
        max_batch=max_batch,
        max_delay_ms=data.draw(st.sampled_from([0.0, 1.0, 1000.0])),
    )
    sources: list[tuple[str, Source]] = [
        (f"{index}", b"broken" if index in unreadable else PIXELS[index]) for index in range(count)
    ]
    answers = list(pipeline.run(sources))
    assert [name for name, _ in answers] == [f"{index}" for index in range(count)]
    expected = Dispatcher(bundle, price=price).classify_batch(PIXELS)
    failed = 0
    for index, (_, outcome) in enumerate(answers):
        if index in unreadable:
            assert isinstance(outcome, ImageError)
        elif index in estimator:
            assert str(outcome) == "the estimator failed: RuntimeError: no estimate for this one"
        elif isinstance(outcome, Prediction):
            found = expected[index]
            undecided = bundle is escalating_bundle and found.config == "w2"
            assert index not in graph or (undecided and not soon)
            assert (outcome.class_index, outcome.config) == (found.class_index, found.config)
            assert outcome.escalated == found.escalated
            assert outcome.score == pytest.approx(found.score, abs=1e-6)
        else:
            assert isinstance(outcome, DqmqError)
            failed += 1
    assert failed <= max_batch * (len(graph) + len(estimator))


@pytest.mark.parametrize("escalate", [False, True])
def test_in_flight_is_bounded(tiny_bundle: Bundle, escalate: bool) -> None:
    """No more images are taken from the source than may be in flight, however long it is."""
    pipeline = Pipeline(Dispatcher(tiny_bundle, escalate=escalate), decoders=2, workers=1, max_batch=4)
    taken = 0

    def source() -> Iterator[tuple[str, Source]]:
        nonlocal taken
        for taken in range(1, 2001):
            yield f"{taken}", PIXELS[taken % 150]

    given = 0
    for given, _ in enumerate(pipeline.run(source()), 1):
        assert taken - given < pipeline.in_flight
    assert given == 2000


def test_a_rare_route_does_not_hold_up_the_rest(tiny_bundle: Bundle) -> None:
    """A lone image of its route is sent on when the pipeline fills, long before its delay is over."""
    rare = np.full((HEIGHT, WIDTH, 3), (30, 5, 5), np.uint8)
    usual = np.full((HEIGHT, WIDTH, 3), (200, 100, 100), np.uint8)
    pipeline = Pipeline(Dispatcher(tiny_bundle), decoders=1, workers=1, max_batch=4, max_delay_ms=60_000)
    sources = [("rare", rare), *[("usual", usual)] * 400]
    start = time.perf_counter()
    configs = [outcome.config for _, outcome in pipeline.run(sources) if isinstance(outcome, Prediction)]
    assert time.perf_counter() - start < 10
    assert configs == ["w8"] + ["w2"] * 400


def test_what_escalates_goes_together_at_the_end(escalating_bundle: Bundle) -> None:
    """The last images that escalate wait for those that may join them, and no longer."""
    dark = np.full((HEIGHT, WIDTH, 3), (30, 5, 5), np.uint8)
    sizes = []

    class Counting(Dispatcher):
        def run(self, tasks: Sequence[Task]) -> list[Prediction | Task]:
            """As ever, and count."""
            sizes.append((tasks[0].route, len(tasks)))
            return super().run(tasks)

    pipeline = Pipeline(
        Counting(escalating_bundle, price=0.0), decoders=1, workers=2, max_batch=16, max_delay_ms=60_000
    )
    start = time.perf_counter()
    found = [outcome for _, outcome in pipeline.run([("dark", dark)] * 40)]
    assert time.perf_counter() - start < 10
    assert all(isinstance(outcome, Prediction) and outcome.escalated for outcome in found)
    assert sorted(sizes) == [(0, 8), (0, 16), (0, 16), (3, 8), (3, 16), (3, 16)]


def test_a_slow_source_is_answered_meanwhile(tiny_bundle: Bundle) -> None:
    """An image that waits for others of its route is answered after the delay, before all are decoded."""
    slow = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)).save(slow, "PNG")
    pipeline = Pipeline(Dispatcher(tiny_bundle), decoders=2, workers=1, max_batch=1, max_delay_ms=0)
    answers = pipeline.run([("fast", PIXELS[0]), ("slow", slow.getvalue())])
    start = time.perf_counter()
    assert next(answers)[0] == "fast"
    first = time.perf_counter() - start
    assert next(answers)[0] == "slow"
    assert first < time.perf_counter() - start


def test_leaving_early_ends_the_threads(tiny_bundle: Bundle) -> None:
    """A caller that stops asking leaves no thread behind, and an error of the source comes through."""
    pipeline = Pipeline(Dispatcher(tiny_bundle), decoders=2, workers=2)
    answers = pipeline.run((f"{index}", PIXELS[index % 150]) for index in range(10_000))
    assert next(answers)[0] == "0"
    assert any(thread.name.startswith("decode") for thread in threading.enumerate())
    answers.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith(("decode", "graph")) for thread in threading.enumerate())

    def failing() -> Iterator[tuple[str, Source]]:
        yield "0", PIXELS[0]
        raise InputError("the folder went away")

    with pytest.raises(InputError, match="went away"):
        list(pipeline.run(failing()))


@pytest.mark.parametrize("wrong", [{"decoders": 0}, {"workers": 0}, {"max_batch": 0}, {"max_delay_ms": -1.0}])
def test_wrong_numbers(tiny_bundle: Bundle, wrong: dict[str, Any]) -> None:
    """Threads and batches are at least 1, delays at least 0."""
    with pytest.raises(InputError, match="expected at least 1 decoder"):
        Pipeline(Dispatcher(tiny_bundle), **wrong)
