"""The dispatcher: each image goes to the configuration that pays for it, by the bundle's policy or the other one.

    escalate   image -> decode -> [estimator, if the cascade asks it] -> first -> sure enough? ----------> Prediction
                                        └── no chance ────────────────────────> last <─ no ┘ -----------> Prediction
                                                                 (with a part of what first said)
    route      image -> decode -> estimator -> p_right -> argmax(p_right - price * cost) -> that graph -> Prediction

One image takes the short way, batches of one. Many images go through each graph together.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.manifest import ESCALATE, ROUTE
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import ImageError, InputError
from dqmq_deploy.images import Pixels, Source, decode
from dqmq_deploy.routing import Cascade, choose, together
from dqmq_deploy.runtime.prediction import Prediction
from dqmq_deploy.runtime.price import check_price, graphs_of, price_for_accuracy, price_for_latency
from dqmq_deploy.runtime.sessions import Floats, Sessions

MICRO_BATCH = 16
"""The most images that are run through a graph at once: more gain no speed and cost memory and delay."""

Milliseconds = float | Sequence[float]


@dataclass(slots=True)
class Task:
    """A decoded image on its way: ``route`` is the configuration that it sees next.

    Of ``cascade`` that may be the first, whose answer decides what happens; any other answer ends the way.
    ``first_logits``: the first has answered already, and this is what it said.
    """

    pixels: Pixels
    route: int
    cascade: Cascade | None
    p_right: tuple[float, ...]
    decode_ms: float
    estimator_ms: float
    graph_ms: float = 0.0
    first_logits: Floats | None = None

    @property
    def escalated(self) -> bool:
        """Whether the first configuration was not trusted."""
        return self.first_logits is not None

    @property
    def onward(self) -> int | None:
        """The configuration that the image may have to see after the next."""
        cascade = self.cascade
        return cascade.last if cascade is not None and self.route == cascade.first < cascade.last else None

    def escalates(self, score: float) -> bool:
        """Whether an answer of ``score`` is not the last word."""
        return self.cascade is not None and self.onward is not None and score < self.cascade.threshold


class Dispatcher:
    """Classifies images with the configurations of a bundle.

    At most one of these says how routes are chosen; with none it is the bundle's default price:

    - ``price``: accuracy one is willing to give up per unit of cost, 0 or more; the slowest configuration costs 1;
    - ``max_latency_ms``: the most accurate price whose mean time per image, measured now on this machine, is within it;
    - ``min_accuracy``: the highest price whose accuracy on the bundle's held-out images, 0 to 1, is at least this;
    - ``config``: the name of a configuration that takes every image.

    ``escalate``: whether to try a cheap configuration first and go on to a dearer one where it is unsure, or to let the
    estimator choose; by default what the bundle's calibration found better. ``threads`` is the number of threads that
    work on one image. A dispatcher may be used from several threads. Only the graphs in use are loaded, the estimator
    among them.

    Raises:
        InputError: more than one of the four, ``config`` with ``escalate``, or none of the bundle's offers fits.
        BundleError: a graph cannot be loaded, or answers in another shape than the manifest says.

    Attributes:
        bundle: the bundle served.
        policy: ``"escalate"`` or ``"route"``; None with ``config``.
        classes: the names of the classes, in the order of the logits.
        configurations: the names of the configurations, cheapest first.
        cost: float64 ``[K]``, time of each configuration over that of the slowest, on the machine that exported.
        size: height and width of the pictures that the graphs read.
    """

    def __init__(
        self,
        bundle: Bundle,
        price: float | None = None,
        max_latency_ms: float | None = None,
        min_accuracy: float | None = None,
        config: str | None = None,
        threads: int = 1,
        escalate: bool | None = None,
    ) -> None:
        manifest = bundle.manifest
        wishes = {"price": price, "max_latency_ms": max_latency_ms, "min_accuracy": min_accuracy, "config": config}
        given = [name for name, value in wishes.items() if value is not None]
        if len(given) > 1:
            raise InputError(f"expected at most one of {', '.join(wishes)}; got {' and '.join(given)}")
        if config is not None and escalate:
            raise InputError(f"configuration '{config}' takes every image: leave it out, or leave out escalate")
        self.bundle = bundle
        self.configurations = tuple(entry.name for entry in manifest.configurations)
        self.cost: npt.NDArray[np.float64] = np.array([entry.cost for entry in manifest.configurations])
        self.size = (manifest.preprocessing.height, manifest.preprocessing.width)
        self.classes = tuple(manifest.classes)
        self._ones = np.ones(len(self.classes), np.float32)
        self.policy: str | None = None
        self._price: float | None = None
        self._cascade: Cascade | None = None  # None: the estimator chooses
        if config is not None:
            index = self._index(config)
            self._cascade = Cascade(index, index, 0.0)
            self._sessions = Sessions(bundle, threads, [index], estimator=False)
            return
        self.policy = manifest.default_policy if escalate is None else ESCALATE if escalate else ROUTE
        self._sessions = Sessions(bundle, threads, [], estimator=False)
        self.price = self._resolve(price, max_latency_ms, min_accuracy)

    @property
    def price(self) -> float | None:
        """The price in force, which may be set anew at any time; None with ``config``."""
        return self._price

    @price.setter
    def price(self, price: float) -> None:
        if self.policy is None:
            raise InputError("one configuration takes every image, at no price; make a dispatcher without config")
        price = check_price(price)
        cascade = None
        if self.policy == ESCALATE:
            manifest = self.bundle.manifest
            cascade = manifest.cascade(manifest.policy(ESCALATE).at(price))
            self._sessions.load({cascade.first, cascade.last}, cascade.asks_estimator)
        else:
            self._sessions.load(range(len(self.configurations)), estimator=True)
        self._price, self._cascade = price, cascade

    @property
    def cascade(self) -> Cascade | None:
        """Which configuration is tried first, and when which other looks again; None where the estimator chooses."""
        return self._cascade

    @overload
    def __call__(self, images: Source) -> Prediction: ...

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...

    def __call__(self, images: Source | list[Any] | tuple[Any, ...]) -> Prediction | list[Prediction]:
        """Classify one image, or each image of a list, in its order.

        An image is a path, the bytes of an image file, a Pillow image, or uint8 ``[H, W, 3]``, RGB.

        Raises:
            ImageError: an image cannot be decoded, or is refused for its size.
        """
        if isinstance(images, (list, tuple)):  # list | tuple would be made anew for every image
            return self._classify_list(images)
        start = time.perf_counter()
        pixels = decode(images, self.size)[np.newaxis]
        decoded = time.perf_counter()
        cascade, price, p_right = self._cascade, self._price, None
        if cascade is None or cascade.asks_estimator:
            p_right = self._sessions.p_right(pixels)[0]
        if cascade is None:
            route = int((p_right - price * self.cost).argmax())  # type: ignore[operator]
        elif p_right is not None and float(p_right[cascade.first]) < cascade.skip:
            route = cascade.last
        else:
            route = cascade.first
        routed = time.perf_counter()
        logits = self._sessions.logits(route, pixels)[0]
        best, score = _winner(logits, self._ones)
        escalated = cascade is not None and route == cascade.first < cascade.last and score < cascade.threshold
        if escalated:
            route = cascade.last  # type: ignore[union-attr]
            again = self._sessions.logits(route, pixels)[0]
            best, score = _winner(together(logits, again, cascade.memory), self._ones)  # type: ignore[union-attr]
        end = time.perf_counter()
        chances = () if p_right is None else tuple(p_right.tolist())
        return Prediction(
            self.classes[best],
            best,
            score,
            max(chances, default=None),
            self.configurations[route],
            1e3 * (routed - decoded),
            1e3 * (end - routed),
            1e3 * (decoded - start),
            chances,
            escalated,
        )

    def classify_batch(self, pixels: Pixels, decode_ms: Milliseconds = 0.0) -> list[Prediction]:
        """Classify uint8 ``[N, H, W, 3]``, RGB, of the bundle's size, grouped by route; answers in the order given.

        ``decode_ms``, for all or for each, is passed on to the predictions.

        Raises:
            ImageError: the array has another type or shape.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (*self.size, 3):
            raise ImageError(
                f"expected uint8 [N, {self.size[0]}, {self.size[1]}, 3], got {pixels.dtype} {list(pixels.shape)}"
            )
        answers: dict[int, Prediction] = {}
        waiting: list[list[tuple[int, Task]]] = [[] for _ in self.configurations]
        for row, task in enumerate(self.route(pixels, decode_ms)):
            waiting[task.route].append((row, task))
        for group in waiting:  # an image only goes on to a dearer configuration
            for at in range(0, len(group), MICRO_BATCH):
                part = group[at : at + MICRO_BATCH]
                for (row, _), found in zip(part, self.run([task for _, task in part]), strict=True):
                    if isinstance(found, Task):
                        waiting[found.route].append((row, found))
                    else:
                        answers[row] = found
        return [answers[row] for row in range(len(pixels))]

    def route(self, pixels: Pixels, decode_ms: Milliseconds = 0.0) -> list[Task]:
        """Which configuration each image of uint8 ``[N, H, W, 3]`` sees first; asks the estimator if need be."""
        start = time.perf_counter()
        cascade, price, count = self._cascade, self._price, len(pixels)
        chances: list[tuple[float, ...]] = [()] * count
        routes: list[int]
        if count and (cascade is None or cascade.asks_estimator):
            parts = [self._sessions.p_right(pixels[at : at + MICRO_BATCH]) for at in range(0, count, MICRO_BATCH)]
            p_right = np.concatenate(parts)
            chances = [tuple(row) for row in p_right.tolist()]
            if cascade is None:
                assert price is not None
                routes = choose(p_right, self.cost, price).tolist()
            else:
                routes = np.where(cascade.skipped(p_right), cascade.last, cascade.first).tolist()
        else:
            routes = [0 if cascade is None else cascade.first] * count
        spent_ms = 1e3 * (time.perf_counter() - start) / max(1, count)
        return [
            Task(image, route, cascade, row, decoded, spent_ms)
            for image, route, row, decoded in zip(pixels, routes, chances, _each(decode_ms, count), strict=True)
        ]

    def run(self, tasks: Sequence[Task]) -> list[Prediction | Task]:
        """Run images of the same ``route`` through its graph, all at once.

        Each gives its prediction or, where the answer is not trusted, the task that is left to do.
        """
        start = time.perf_counter()
        route = tasks[0].route
        logits = self._sessions.logits(route, np.stack([task.pixels for task in tasks]))
        for row, task in enumerate(tasks):
            if task.first_logits is not None and task.cascade is not None:
                logits[row] = together(task.first_logits, logits[row], task.cascade.memory)
        best, scores = _winners(logits, self._ones)
        graph_ms = 1e3 * (time.perf_counter() - start) / len(tasks)
        found: list[Prediction | Task] = []
        for row, task in enumerate(tasks):
            spent_ms = task.graph_ms + graph_ms
            if task.escalates(scores[row]):
                assert task.cascade is not None
                last = task.cascade.last
                found.append(
                    Task(
                        task.pixels, last, task.cascade, task.p_right, task.decode_ms, task.estimator_ms, spent_ms,
                        logits[row],
                    )
                )  # fmt: skip
                continue
            found.append(
                Prediction(
                    self.classes[best[row]],
                    best[row],
                    scores[row],
                    max(task.p_right, default=None),
                    self.configurations[route],
                    task.estimator_ms,
                    spent_ms,
                    task.decode_ms,
                    task.p_right,
                    task.escalated,
                )
            )
        return found

    def _classify_list(self, images: Sequence[Source]) -> list[Prediction]:
        pixels = np.empty((len(images), *self.size, 3), np.uint8)
        decode_ms = []
        for row, image in enumerate(images):
            start = time.perf_counter()
            pixels[row] = decode(image, self.size)
            decode_ms.append(1e3 * (time.perf_counter() - start))
        return self.classify_batch(pixels, decode_ms)

    def _index(self, config: str) -> int:
        if config not in self.configurations:
            raise InputError(f"no configuration '{config}'; this bundle has {', '.join(self.configurations)}")
        return self.configurations.index(config)

    def _resolve(self, price: float | None, max_latency_ms: float | None, min_accuracy: float | None) -> float:
        manifest = self.bundle.manifest
        if price is not None:
            return price
        assert self.policy is not None
        policy = manifest.policy(self.policy)
        if min_accuracy is not None:
            return price_for_accuracy(policy, min_accuracy)
        if max_latency_ms is not None:
            used = [self.configurations.index(name) for name in graphs_of(policy)]
            self._sessions.load(used, any(point.asks_estimator for point in policy.curve))
            estimator_ms, graph_ms = self._sessions.latency_ms()
            named = {self.configurations[index]: value for index, value in graph_ms.items()}
            return price_for_latency(policy, max_latency_ms, estimator_ms, named)
        return manifest.default_price


def _winner(logits: Floats, ones: Floats) -> tuple[int, float]:
    """The class of the highest of logits ``[C]``, and its softmax; much faster than the same for many.

    A sum as the product with ``ones`` ``[C]`` spares NumPy's general way: for one image that is a microsecond.
    """
    best = int(logits.argmax())
    return best, 1 / float(np.exp(logits - logits[best]).dot(ones))


def _winners(logits: Floats, ones: Floats) -> tuple[list[int], list[float]]:
    """The class of the highest logit of each row, and its softmax: to the bit what :func:`_winner` gives."""
    best = logits.argmax(axis=1)
    shares = np.exp(logits - np.take_along_axis(logits, best[:, np.newaxis], axis=1))
    return best.tolist(), [1 / float(row.dot(ones)) for row in shares]


def _each(value: Milliseconds, count: int) -> Sequence[float]:
    return [value] * count if isinstance(value, int | float) else value
