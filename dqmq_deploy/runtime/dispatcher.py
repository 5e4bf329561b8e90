"""The dispatcher: each image goes to the configuration that pays for it.

    image -> decode -> estimator -> p_right -> route = argmax(p_right - price * cost) -> that graph -> Prediction

One image takes the short way, batches of one. Many images are routed together and grouped by route.
"""

import time
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import ImageError, InputError
from dqmq_deploy.images import Pixels, Source, decode
from dqmq_deploy.routing import choose
from dqmq_deploy.runtime.prediction import Prediction
from dqmq_deploy.runtime.price import check_price, price_for_accuracy, price_for_latency
from dqmq_deploy.runtime.sessions import Floats, Sessions

MICRO_BATCH = 16
"""The most images that are run through a graph at once: more gain no speed and cost memory and delay."""

Milliseconds = float | Sequence[float]


class Dispatcher:
    """Classifies images with the configurations of a bundle.

    At most one of these says how routes are chosen; with none it is the bundle's default price:

    - ``price``: accuracy one is willing to give up per unit of cost, 0 or more; the dearest configuration costs 1;
    - ``max_latency_ms``: the most accurate price whose mean time per image, measured now on this machine, is within it;
    - ``min_accuracy``: the highest price whose accuracy on the bundle's held-out images, 0 to 1, is at least this;
    - ``config``: the name of a configuration that takes every image; the estimator only reports.

    ``threads`` is the number of threads that work on one image. A dispatcher may be used from several threads.

    Raises:
        InputError: more than one of the four, or none of the bundle's offers fits.
        BundleError: a graph cannot be loaded, or answers in another shape than the manifest says.

    Attributes:
        bundle: the bundle served.
        price: the price in force, which may be set anew at any time; None with ``config``.
        classes: the names of the classes, in the order of the logits.
        configurations: the names of the configurations, cheapest first.
        cost: float64 ``[K]``, BitOPs of each configuration over those of the dearest.
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
    ) -> None:
        manifest = bundle.manifest
        wishes = {"price": price, "max_latency_ms": max_latency_ms, "min_accuracy": min_accuracy, "config": config}
        given = [name for name, value in wishes.items() if value is not None]
        if len(given) > 1:
            raise InputError(f"expected at most one of {', '.join(wishes)}; got {' and '.join(given)}")
        self.bundle = bundle
        self.configurations = tuple(entry.name for entry in manifest.configurations)
        self.cost: npt.NDArray[np.float64] = np.array([entry.cost for entry in manifest.configurations])
        self.size = (manifest.preprocessing.height, manifest.preprocessing.width)
        self.classes = tuple(manifest.classes)
        self._fixed = 0 if config is None else self._index(config)
        self._sessions = Sessions(bundle, threads, None if config is None else [self._fixed])
        self.price = self._resolve(price, max_latency_ms, min_accuracy) if config is None else None

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
        if isinstance(images, list | tuple):
            return self._classify_list(images)
        start = time.perf_counter()
        pixels = decode(images, self.size)[np.newaxis]
        decoded = time.perf_counter()
        p_right = self._sessions.p_right(pixels)
        route = self._route_one(p_right[0])
        routed = time.perf_counter()
        logits = self._sessions.logits(route, pixels)[0]
        best = int(logits.argmax())
        score = 1 / float(np.exp(logits - logits[best]).sum())
        end = time.perf_counter()
        chances = tuple(p_right[0].tolist())
        return Prediction(
            self.classes[best],
            best,
            score,
            max(chances),
            self.configurations[route],
            1e3 * (routed - decoded),
            1e3 * (end - routed),
            1e3 * (decoded - start),
            chances,
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
        chances, routes, estimator_ms = self.route(pixels)
        for route in np.unique(routes).tolist():
            rows = np.flatnonzero(routes == route)
            for first in range(0, len(rows), MICRO_BATCH):
                part = rows[first : first + MICRO_BATCH]
                spent = decode_ms if isinstance(decode_ms, int | float) else [decode_ms[row] for row in part]
                found = self.run_route(route, pixels[part], chances[part], estimator_ms, spent)
                answers.update(zip(part.tolist(), found, strict=True))
        return [answers[row] for row in range(len(pixels))]

    def route(self, pixels: Pixels) -> tuple[Floats, npt.NDArray[np.intp], float]:
        """Of uint8 ``[N, H, W, 3]``: ``p_right`` float32 ``[N, K]``, routes int ``[N]``, and the ms spent per image."""
        start = time.perf_counter()
        parts = [self._sessions.p_right(pixels[at : at + MICRO_BATCH]) for at in range(0, len(pixels), MICRO_BATCH)]
        p_right = np.concatenate(parts) if parts else np.zeros((0, len(self.configurations)), np.float32)
        if self.price is not None:
            routes = choose(p_right, self.cost, self.price)
        else:
            routes = np.full(len(pixels), self._fixed, np.intp)
        return p_right, routes, 1e3 * (time.perf_counter() - start) / max(1, len(pixels))

    def run_route(
        self, route: int, pixels: Pixels, p_right: Floats, estimator_ms: Milliseconds, decode_ms: Milliseconds
    ) -> list[Prediction]:
        """Run uint8 ``[N, H, W, 3]`` through the graph of one route, all at once.

        ``p_right``, ``estimator_ms`` and ``decode_ms`` are what :meth:`route` and the decoder gave for these images.
        """
        start = time.perf_counter()
        logits = self._sessions.logits(route, pixels)
        best = logits.argmax(axis=1)
        top = np.take_along_axis(logits, best[:, np.newaxis], axis=1)
        scores = 1 / np.exp(logits - top).sum(axis=1, dtype=np.float64)
        graph_ms = 1e3 * (time.perf_counter() - start) / len(pixels)
        name = self.configurations[route]
        return [
            Prediction(self.classes[index], index, score, max(row), name, estimated, graph_ms, decoded, tuple(row))
            for index, score, row, estimated, decoded in zip(
                best.tolist(),
                scores.tolist(),
                p_right.tolist(),
                _each(estimator_ms, len(pixels)),
                _each(decode_ms, len(pixels)),
                strict=True,
            )
        ]

    def _route_one(self, p_right: Floats) -> int:
        if self.price is None:
            return self._fixed
        return int((p_right - self.price * self.cost).argmax())

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
            return check_price(price)
        if min_accuracy is not None:
            return price_for_accuracy(manifest, min_accuracy)
        if max_latency_ms is not None:
            estimator_ms, graph_ms = self._sessions.latency_ms()
            named = {self.configurations[index]: value for index, value in graph_ms.items()}
            return price_for_latency(manifest, max_latency_ms, estimator_ms, named)
        return check_price(manifest.default_price)


def _each(value: Milliseconds, count: int) -> Sequence[float]:
    return [value] * count if isinstance(value, int | float) else value
