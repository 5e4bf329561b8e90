"""How sure a figure is: images, or whole tracks of them, drawn again and again."""

import re
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from dqmq_deploy.report.adaptivity.ways import Way

Floats = npt.NDArray[np.floating]

DRAWS = 1000


def tracks(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """The track of each image, int ``[N]``: ``CLASS/TRACK_FRAME.png`` share one; other names are tracks by themselves.

    >>> tracks(["a/00001_01.png", "a/00001_02.png", "b/00001_01.png", "b/x.png"]).tolist()
    [0, 0, 1, 2]
    """
    found: dict[str, int] = {}
    result = []
    for name in names:
        path = PurePath(name)
        match = re.fullmatch(r"(\d+)_\d+", path.stem)
        key = f"{path.parent}/{match[1]}" if match else name
        result.append(found.setdefault(key, len(found)))
    return np.array(result, np.int64)


class Bootstrap:
    """The same draws for every figure of a report, so that figures can be compared.

    A figure is computed in every draw, ``[draws]``; :meth:`told` sums it up.
    """

    def __init__(self, track: npt.NDArray[np.int64], seed: int, draws: int = DRAWS) -> None:
        count = int(track.max()) + 1
        rng = np.random.default_rng(seed)
        self._weight = np.empty((draws, count), np.float32)
        for row in self._weight:
            row[:] = np.bincount(rng.integers(0, count, count), minlength=count)
        self._order = np.argsort(track, kind="stable")
        self._start = np.searchsorted(track[self._order], np.arange(count))
        self._curves: dict[str, tuple[Floats, Floats]] = {}

    def _sums(self, values: Floats) -> Floats:
        """Sums of ``values`` ``[N, ...]`` in every draw, ``[draws, ...]``."""
        by_track = np.add.reduceat(np.asarray(values, np.float64)[self._order], self._start, axis=0)
        return np.asarray(self._weight @ by_track)

    def means(self, values: Floats, chosen: npt.NDArray[np.bool_] | None = None) -> Floats:
        """The mean of ``values`` ``[N]``, or of those that are ``chosen``, in every draw, ``[draws]``."""
        chosen = np.ones(len(values), np.bool_) if chosen is None else chosen
        return np.asarray(self._sums(values * chosen) / np.maximum(self._sums(chosen.astype(float)), 1e-9))

    def accuracy_at(self, way: Way, ms: float) -> Floats:
        """What ``way`` gets right within ``ms`` in every draw, ``[draws]``: what its settings take is drawn, too."""
        if way.name not in self._curves:
            images = np.maximum(self._sums(np.ones(len(self._order))), 1)[:, None]
            right = self._sums(np.stack([point.right for point in way.points], axis=1)) / images
            spent = self._sums(np.stack([point.spent for point in way.points], axis=1)) / images
            order = np.argsort(spent, axis=1, kind="stable")
            self._curves[way.name] = (
                np.take_along_axis(right, order, axis=1),
                np.take_along_axis(spent, order, axis=1),
            )
        return np.array([np.interp(ms, x, y) for y, x in zip(*self._curves[way.name], strict=True)])


def told(value: float, drawn: Floats) -> dict[str, float]:
    """A figure with its 95 % interval, by percentiles of what was drawn."""
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"value": float(value), "low": float(low), "high": float(high)}
