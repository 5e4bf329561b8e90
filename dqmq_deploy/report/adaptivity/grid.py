"""Accuracy for every kind of degradation and severity, and which images gain and lose by choosing."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.degradations.kinds import AS_IT_IS, KINDS, SEVERITIES, UNSEEN_KINDS
from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap, told

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]


def grid(right: dict[str, Floats], kind: Ints, severity: Ints) -> list[dict[str, Any]]:
    """One row for each kind and severity that occurs: images, and the accuracy of every way in ``right`` ``[N]``.

    The first row is the images as they are; ``severity`` 0 sums up all severities of a kind.
    """
    rows = []
    for index in [AS_IT_IS, *range(len(KINDS))]:
        for level in (0, *SEVERITIES) if index != AS_IT_IS else (0,):
            chosen = (kind == index) & ((severity == level) | (level == 0))
            if chosen.any():
                name = "as it is" if index == AS_IT_IS else KINDS[index]
                rows.append(
                    {
                        "kind": name,
                        "severity": level,
                        "unseen": name in UNSEEN_KINDS,
                        "images": int(chosen.sum()),
                        "accuracy": {way: float(values[chosen].mean()) for way, values in right.items()},
                    }
                )
    return rows


def by_group(right: dict[str, Floats], kind: Ints, ours: str, theirs: str, draws: Bootstrap) -> list[dict[str, Any]]:
    """The same for all images, those as they are, those degraded as in training, and those degraded in other ways.

    ``difference`` is what the way ``ours`` gets right more than ``theirs``, with its 95 % interval.
    """
    gain = np.asarray(right[ours] - right[theirs], np.float64)
    unseen = np.isin(kind, [KINDS.index(name) for name in UNSEEN_KINDS])
    groups = {
        "all images": np.ones(len(kind), np.bool_),
        "as they are": kind == AS_IT_IS,
        "degraded, kinds seen in training": (kind != AS_IT_IS) & ~unseen,
        "degraded, kinds not seen": unseen,
    }
    return [
        {
            "group": name,
            "images": int(chosen.sum()),
            "accuracy": {way: float(values[chosen].mean()) for way, values in right.items()},
            "difference": told(gain[chosen].mean(), draws.means(gain, chosen)),
        }
        for name, chosen in groups.items()
        if chosen.any()
    ]


def changed(ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_], most: int, seed: int) -> tuple[Ints, Ints]:
    """Up to ``most`` images each that only we get right, and that only they do, drawn with the seed, in order."""
    rng = np.random.default_rng(seed)

    def some(chosen: npt.NDArray[np.bool_]) -> Ints:
        rows = np.flatnonzero(chosen)
        return np.sort(rng.permutation(rows)[:most]).astype(np.int64)

    return some(ours & ~theirs), some(theirs & ~ours)
