"""One face for everything that is timed: a model that takes pixels, whatever runtime and input layout it wants.

Preparing the input (layout, float conversion) and running the model are apart, so that only the model is timed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.manifest import ImageQuant
from dqmq_deploy.runtime.sessions import open_session

Pixels = npt.NDArray[np.uint8]
"""uint8 ``[N, H, W, 3]``, RGB."""

LOADS = 3
"""How often a model is loaded to time loading and its first inference; the median counts."""


class Runner(Protocol):
    """A loaded model with one input and one output."""

    def prepare(self, pixels: Pixels) -> Any:
        """Turn uint8 ``[N, H, W, 3]`` into what :meth:`run` takes."""

    def run(self, feed: Any) -> npt.NDArray[np.float32]:
        """Output of the model, float32 ``[N, outputs]``."""


@dataclass(frozen=True)
class Subject:
    """Something to load, time and compare: a configuration, the estimator or a baseline."""

    name: str
    kind: str  # "configuration" | "stock" (the same without our kernels) | "estimator" | "baseline"
    path: Path
    open: Callable[[int, int], Runner]  # (threads, batch): the batch that will be run


class OnnxRunner:
    """A graph on onnxruntime with ``threads`` threads, in a session as the dispatcher opens it, or without kernels.

    ``exact`` as for :func:`~dqmq_deploy.runtime.sessions.open_session`.
    """

    def __init__(
        self, path: Path, threads: int, image_quant: ImageQuant, kernels: bool = True, exact: bool = True
    ) -> None:
        self._session = open_session(path, threads, kernels, exact)
        self._input = self._session.get_inputs()[0]
        self._image_quant = image_quant

    def prepare(self, pixels: Pixels) -> dict[str, npt.NDArray[Any]]:
        """The feed: pixels as they are for a uint8 input, normalised float32 ``[N, 3, H, W]`` for a float one."""
        if self._input.type == "tensor(uint8)":
            return {self._input.name: pixels}
        return {self._input.name: normalised(pixels, self._image_quant)}

    def run(self, feed: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """First output of the graph."""
        output: npt.NDArray[np.float32] = self._session.run(None, feed)[0]
        return output


def normalised(pixels: Pixels, image_quant: ImageQuant) -> npt.NDArray[np.float32]:
    """Pixels as the float baseline wants them: ``(code - zero_point) * scale``, float32 ``[N, 3, H, W]``.

    >>> normalised(np.full((1, 1, 1, 3), 192, np.uint8), ImageQuant(1 / 64, 128)).ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    real = (pixels.astype(np.float32) - np.float32(image_quant.zero_point)) * np.float32(image_quant.scale)
    return np.ascontiguousarray(real.transpose(0, 3, 1, 2))


def load_times(subject: Subject, threads: int, pixels: Pixels) -> dict[str, float]:
    """Median time to load the model and to run it first on ``pixels`` ``[1, H, W, 3]``, files in the disk cache."""
    load_ms, first_ms = [], []
    for _ in range(LOADS):
        start = time.perf_counter()
        runner = subject.open(threads, len(pixels))
        load_ms.append((time.perf_counter() - start) * 1e3)
        feed = runner.prepare(pixels)
        start = time.perf_counter()
        runner.run(feed)
        first_ms.append((time.perf_counter() - start) * 1e3)
    return {"load_ms": float(np.median(load_ms)), "first_ms": float(np.median(first_ms))}
