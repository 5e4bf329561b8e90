"""A bundle's graphs as onnxruntime sessions.

Every graph of the bundle reads ``image``, uint8 ``[N, H, W, 3]``. The estimator answers ``p_right``, float32
``[N, configurations]``; a configuration answers ``logits``, float32 ``[N, classes]``. A session may be run from several
threads at once.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.cpu import session_settings
from dqmq_deploy.errors import BundleError, InputError
from dqmq_deploy.images import Pixels
from dqmq_deploy.kernels import in_use, may_be_slower, register
from dqmq_deploy.runtime.arena import share_arena

Floats: TypeAlias = npt.NDArray[np.float32]

SPIN_SECONDS = 0.06
"""Longer than idle threads of onnxruntime spin after a run, and take a core from what is timed next: 40 ms on 1.32."""

_ERRORS_ONLY = 3
_RACES = 3
_RACING_SECONDS = 0.03  # short runs differ most from one to the next
_HOPELESS = 3.0
_WITH_KERNELS = "dqmq.kernels"  # a note to ourselves: onnxruntime keeps settings that it does not know


def available_cores() -> int:
    """The cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_session(path: Path, threads: int = 1, kernels: bool = True, exact: bool = True) -> ort.InferenceSession:
    """A session for one graph file that works on one image, or batch, with ``threads`` threads.

    Where many images wait, one thread a session and several runs at once is faster than several threads a session.
    ``kernels=False`` keeps to stock onnxruntime; else ours (:mod:`dqmq_deploy.kernels`) are used where they are.
    ``exact=False`` leaves onnxruntime's own settings, by which sums of int8 saturate on some CPUs.

    Raises:
        BundleError: onnxruntime cannot load the graph.
        InputError: an environment variable about kernels has a value that means nothing.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    for key, value in session_settings().items() if exact else ():
        options.add_session_config_entry(key, value)
    with_kernels = kernels and register(options)
    options.add_session_config_entry(_WITH_KERNELS, str(with_kernels))
    if with_kernels:
        share_arena(options)
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise BundleError(
            f"{path}: onnxruntime {ort.__version__} cannot load this graph: {_first_line(error)}"
        ) from None


def open_faster(path: Path, threads: int, blank: Pixels) -> ort.InferenceSession:
    """The session for a graph of a bundle, with our kernels unless they are slower here than onnxruntime's own.

    Where :func:`dqmq_deploy.kernels.may_be_slower` says that they might be, both run ``blank`` a few times in turn;
    with several threads that takes 0.4 seconds, mostly waiting.

    Raises:
        BundleError: onnxruntime cannot load the graph.
        InputError: an environment variable about kernels has a value that means nothing.
    """
    ours = open_session(path, threads)
    kernels = in_use()
    if kernels is None or not may_be_slower(kernels):
        return ours
    stock = open_session(path, threads, kernels=False)
    taken: dict[ort.InferenceSession, list[float]] = {stock: [], ours: []}
    try:
        for _ in range(_RACES):
            for session, times in taken.items():
                if threads > 1:
                    time.sleep(SPIN_SECONDS)
                times += _times(session, blank, _RACING_SECONDS / _RACES / len(taken))
            if min(taken[ours]) > _HOPELESS * min(taken[stock]):
                return stock
    except Exception:  # whoever uses the session tells what is wrong with the graph
        return stock
    return min(taken, key=lambda session: float(np.median(taken[session])))


def _times(session: ort.InferenceSession, blank: Pixels, seconds: float) -> list[float]:
    """Seconds of at least two runs, after one that warms up."""
    session.run(None, {"image": blank})
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, {"image": blank})
        times.append(time.perf_counter() - start)
    return times


def has_kernels(session: ort.InferenceSession) -> bool:
    """Whether a session that this module opened runs on our kernels."""
    entry: str = session.get_session_options().get_session_config_entry(_WITH_KERNELS)
    return entry == str(True)


class Sessions:
    """The estimator of ``bundle`` and the graphs of its configurations, each loaded, checked and warmed up when needed.

    ``configurations`` (indices in manifest order, default all) and ``estimator`` say what is loaded at once; for more
    there is :meth:`load`.

    Raises:
        InputError: ``threads`` is not positive.
        BundleError: a graph cannot be loaded, or answers in another shape than the manifest says.
    """

    def __init__(
        self, bundle: Bundle, threads: int = 1, configurations: Iterable[int] | None = None, estimator: bool = True
    ) -> None:
        if threads < 1:
            raise InputError(f"expected at least 1 thread, got {threads}")
        size = bundle.manifest.preprocessing
        self._bundle = bundle
        self._threads = threads
        self._blank: Pixels = np.zeros((1, size.height, size.width, 3), np.uint8)
        self._loading = threading.Lock()
        self._estimator: ort.InferenceSession | None = None
        self._graphs: dict[int, ort.InferenceSession] = {}
        everything = range(len(bundle.manifest.configurations))
        self.load(everything if configurations is None else configurations, estimator)

    def load(self, configurations: Iterable[int], estimator: bool) -> None:
        """Load what of these is not loaded yet; what is loaded stays in use meanwhile.

        Raises:
            BundleError: a graph cannot be loaded, or answers in another shape than the manifest says.
        """
        manifest = self._bundle.manifest
        with self._loading:
            if estimator and self._estimator is None:
                path = self._bundle.file(manifest.estimator.graph)
                session = open_faster(path, self._threads, self._blank)
                self._check(path, session, "p_right", len(manifest.configurations), "configurations")
                self._estimator = session
            for index in configurations:
                if index not in self._graphs:
                    path = self._bundle.file(manifest.configurations[index].graph)
                    session = open_faster(path, self._threads, self._blank)
                    self._check(path, session, "logits", len(manifest.classes), "classes")
                    self._graphs[index] = session

    @property
    def has_estimator(self) -> bool:
        """Whether the estimator is loaded."""
        return self._estimator is not None

    @property
    def loaded(self) -> tuple[int, ...]:
        """The configurations that are loaded."""
        return tuple(sorted(self._graphs))

    def p_right(self, pixels: Pixels) -> Floats:
        """The estimator's probability of a right answer, float32 ``[N, configurations]``, of uint8 ``[N, H, W, 3]``."""
        assert self._estimator is not None
        answer: Floats = self._estimator.run(["p_right"], {"image": pixels})[0]
        return answer

    def logits(self, index: int, pixels: Pixels) -> Floats:
        """The logits, float32 ``[N, classes]``, that configuration ``index`` gives for uint8 ``[N, H, W, 3]``."""
        answer: Floats = self._graphs[index].run(["logits"], {"image": pixels})[0]
        return answer

    def latency_ms(self, seconds: float = 0.3) -> tuple[float, dict[int, float]]:
        """Median time of one image on this machine: of the estimator, 0 if not loaded, and each loaded graph.

        The candidates take turns for about ``seconds`` in all, at least three times each.
        """
        calls: dict[int, Callable[[], object]] = {
            index: partial(self.logits, index, self._blank) for index in self._graphs
        }
        if self._estimator is not None:
            calls[-1] = partial(self.p_right, self._blank)
        taken: dict[int, list[float]] = {index: [] for index in calls}
        end = time.perf_counter() + seconds
        while min(map(len, taken.values())) < 3 or time.perf_counter() < end:
            for index, call in calls.items():
                call()  # brings this graph's weights back into the caches
                start = time.perf_counter()
                call()
                taken[index].append(1e3 * (time.perf_counter() - start))
        medians = {index: float(np.median(times)) for index, times in taken.items()}
        return medians.pop(-1, 0.0), medians

    def _check(self, path: Path, session: ort.InferenceSession, output: str, width: int, what: str) -> None:
        try:
            answer = session.run([output], {"image": self._blank})[0]
        except Exception as error:
            raise BundleError(f"{path}: this graph cannot read a picture: {_first_line(error)}; export again") from None
        if answer.shape != (1, width) or answer.dtype != np.float32:
            raise BundleError(
                f"{path}: expected float32 [1, {width}] for the manifest's {width} {what}, "
                f"got {answer.dtype} {list(answer.shape)}; export again"
            )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
