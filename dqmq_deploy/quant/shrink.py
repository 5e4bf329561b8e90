"""Small pictures for a cheap first look: [3 x 3 median ->] [crop ->] mean over areas.

    picture [H, W] ── median of 3 x 3, edges repeated ── without `crop` pixels on each side ── [H / shrink, W / shrink]

Signs, digits or faces have a border around them, which a small picture can ill afford: without it they are larger. The
median takes away single wrong pixels, which have few others to outvote them there. So the cheap configuration errs on
other images than the dear one, which sees the whole picture as it is: that is what makes it worth hearing both
(models/ablation.md).

Pixels are whole numbers and so are the weights of an area, so that every implementation finds the same sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Shrinking:
    """What is done to a picture beside making it smaller: ``crop`` pixels go on each side, ``median`` filters first."""

    crop: int = 0
    median: bool = False


PLAIN = Shrinking()

MOST_AREA = 2**24 // 255
"""Units of area that a mean may be over: sums of more pixels would not be exact in float32."""


def area_taps(size: int, crop: int, fewer: int) -> npt.NDArray[np.int32]:
    """How much of each pixel lies in each of ``fewer`` equal parts of a side of ``size``, less ``crop`` at either end.

    Returns:
        int32 ``[fewer, size]``, in the smallest whole numbers; every row has the same sum.

    >>> area_taps(5, 1, 2).tolist()
    [[0, 2, 1, 0, 0], [0, 0, 1, 2, 0]]
    """
    part = _length(size, crop, fewer)
    pixel = fewer * part // (size - 2 * crop)
    starts, pixels = np.arange(fewer)[:, np.newaxis] * part, (np.arange(size) - crop) * pixel
    inside = np.minimum(starts + part, pixels + pixel) - np.maximum(starts, pixels)
    taps: npt.NDArray[np.int32] = np.clip(inside, 0, None).astype(np.int32)
    return taps


def is_exact(size: tuple[int, int], crop: int, shrink: int) -> bool:
    """Whether means over areas of pictures of that height and width come out alike everywhere."""
    height, width = size
    return _length(height, crop, height // shrink) * _length(width, crop, width // shrink) <= MOST_AREA


def _length(size: int, crop: int, fewer: int) -> int:
    """The length of one of the parts in :func:`area_taps`, in the largest unit that measures parts and pixels."""
    left = size - 2 * crop
    return left // math.gcd(left, fewer)


def shrink_codes(codes: Tensor, shrink: int, how: Shrinking) -> Tensor:
    """Pictures of whole numbers, float32 ``[N, C, H, W]``, at 1/shrink of height and width; means, not rounded."""
    if how.median:
        codes = median(codes)
    height, width = codes.shape[2:]
    down = _taps(height, how.crop, height // shrink, codes.device)
    across = _taps(width, how.crop, width // shrink, codes.device)
    total = down @ codes @ across.T  # below 2**24: exact in any order
    return total / (_length(height, how.crop, height // shrink) * _length(width, how.crop, width // shrink))


@cache
def _taps(size: int, crop: int, fewer: int, device: torch.device) -> Tensor:
    """:func:`area_taps` as float32; kept, for a step recorded on a GPU may not fetch anything from the CPU."""
    return torch.from_numpy(area_taps(size, crop, fewer)).to(device, torch.float32)


def median(x: Tensor) -> Tensor:
    """The median of the 3 x 3 values around each of ``[N, C, H, W]``, edges repeated.

    Columns are sorted; then the median of nine is that of the largest low, the middle middle and the smallest high one
    (Smith, "Implementing median filters in XC4000E FPGAs", 1996).
    """
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    low, middle, high = _sorted(x[:, :, :-2], x[:, :, 1:-1], x[:, :, 2:])
    lows, middles, highs = ([part[..., :-2], part[..., 1:-1], part[..., 2:]] for part in (low, middle, high))
    largest = torch.maximum(torch.maximum(lows[0], lows[1]), lows[2])
    smallest = torch.minimum(torch.minimum(highs[0], highs[1]), highs[2])
    return _sorted(largest, _sorted(*middles)[1], smallest)[1]


def _sorted(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Element by element, from the lowest to the highest."""
    below, above = torch.minimum(a, b), torch.maximum(a, b)
    low, rest = torch.minimum(below, c), torch.maximum(below, c)
    return low, torch.minimum(rest, above), torch.maximum(rest, above)
