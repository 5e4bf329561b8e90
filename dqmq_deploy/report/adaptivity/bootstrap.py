"""How sure a difference is: images, or whole tracks of them, drawn again and again."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

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
    """The same draws for every figure of a report, so that figures can be compared."""

    def __init__(self, track: npt.NDArray[np.int64], seed: int, draws: int = DRAWS) -> None:
        self._track = track
        count = int(track.max()) + 1
        rng = np.random.default_rng(seed)
        self._weight = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(draws)])
        self._size = np.bincount(track, minlength=count).astype(float)

    def means(self, values: Floats) -> Floats:
        """The mean of ``values`` ``[N]`` in every draw, ``[draws]``."""
        total = np.bincount(self._track, weights=values, minlength=len(self._size))
        return np.asarray((self._weight @ total) / (self._weight @ self._size))

    def interval(self, values: Floats) -> dict[str, float]:
        """Mean of ``values`` ``[N]`` and its 95 % interval, by percentiles."""
        return self.interval_of(lambda mean: mean(values))

    def interval_of(self, figure: Callable[[Callable[[Floats], Floats]], Floats]) -> dict[str, float]:
        """The same of any ``figure`` made of means."""
        told = float(np.asarray(figure(lambda values: np.asarray(values.mean()))))
        low, high = np.nanpercentile(figure(self.means), (2.5, 97.5))
        return {"difference": told, "low": float(low), "high": float(high)}
