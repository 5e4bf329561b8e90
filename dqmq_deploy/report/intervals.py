"""How sure a measured share is: confidence intervals for accuracies and for their differences."""

import math

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson(right: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a share ``right / total``, as (low, high) within 0 to 1 (Wilson, 1927).

    Unlike the textbook interval it stays inside 0 to 1 and is honest at 100 %.

    >>> low, high = wilson(10, 10)
    >>> round(low, 3), high
    (0.722, 1.0)
    """
    if total == 0:
        return 0.0, 1.0
    share = right / total
    denominator = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / denominator
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / denominator
    low = 0.0 if right == 0 else max(0.0, centre - half)
    high = 1.0 if right == total else min(1.0, centre + half)
    return low, high


def paired_difference(ours: Bools, theirs: Bools, z: float = Z95) -> dict[str, float]:
    """Difference of two accuracies on the same images, with its 95 % interval (Bonett and Price, 2012).

    ``ours`` and ``theirs`` are ``[images]``, true where right. The pairing matters: two classifiers that err on the
    same images differ far more surely than their own intervals suggest.

    >>> paired_difference(np.array([True, True]), np.array([True, False]))["difference"]
    0.5
    """
    total = len(ours)
    won, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    up, down = (won + 1) / (total + 2), (lost + 1) / (total + 2)
    half = z * math.sqrt((up + down - (up - down) ** 2) / (total + 2))
    difference = (won - lost) / total if total else 0.0
    return {"difference": difference, "low": max(-1.0, up - down - half), "high": min(1.0, up - down + half)}


def mean_interval(values: npt.NDArray[np.float64], z: float = Z95) -> dict[str, float]:
    """Mean of ``values`` ``[images]`` with its 95 % interval, by the normal approximation.

    >>> mean_interval(np.array([0.0, 0.0]))
    {'difference': 0.0, 'low': 0.0, 'high': 0.0}
    """
    mean = float(values.mean())
    half = z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return {"difference": mean, "low": mean - half, "high": mean + half}
