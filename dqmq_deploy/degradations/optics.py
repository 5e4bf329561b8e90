"""The optics behind the degradations: convolution with a kernel per picture, resampling, smooth random fields.

Pictures are float32 ``[n, H, W, 3]``; a strength per picture is ``[n, 1, 1, 1]``.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def grid(pixels: Floats) -> tuple[Floats, Floats]:
    """Rows ``[1, H, 1, 1]`` and columns ``[1, 1, W, 1]`` of pictures, from 0 to 1."""
    height, width = pixels.shape[1:3]
    rows = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height)
    columns = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(width)
    return rows.reshape(1, -1, 1, 1), columns.reshape(1, 1, -1, 1)


def even(rng: np.random.Generator, low: float, high: float, count: int) -> Floats:
    """Evenly drawn numbers ``[count, 1, 1, 1]``."""
    return rng.uniform(low, high, (count, 1, 1, 1)).astype(np.float32)


def _around(reach: int) -> tuple[Floats, Floats]:
    """Vertical and horizontal distance from the middle of a ``2 reach + 1`` square, each ``[1, side, side, 1]``."""
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    return steps.reshape(1, -1, 1, 1), steps.reshape(1, 1, -1, 1)


def disc(radius: Floats) -> Floats:
    """Kernels that spread a point over a disc of ``radius`` pixels, its rim smoothed: ``[n, side, side, 1]``."""
    y, x = _around(int(np.ceil(radius.max() + 0.5)))
    kernel = np.clip(radius + np.float32(0.5) - np.sqrt(y * y + x * x), 0, 1)
    return np.asarray(kernel / kernel.sum(axis=(1, 2), keepdims=True), np.float32)


def line(length: Floats, angle: Floats) -> Floats:
    """Kernels that spread a point over a line of ``length`` pixels at ``angle`` radians: ``[n, side, side, 1]``."""
    y, x = _around(int(np.ceil(length.max() / 2 + 0.5)))
    along = np.abs(x * np.cos(angle) + y * np.sin(angle))
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    kernel = np.clip((length + 1) / 2 - along, 0, 1) * np.clip(1 - across, 0, 1)
    return np.asarray(kernel / kernel.sum(axis=(1, 2), keepdims=True), np.float32)


@lru_cache(maxsize=256)
def _quick_size(least: int) -> int:
    """The smallest length from ``least`` on whose prime factors are 2, 3 and 5: others transform slowly."""
    powers = range(least.bit_length() + 1)
    lengths = [2**two * 3**three * 5**five for two in powers for three in powers for five in powers]
    return min(int(length) for length in lengths if length >= least)


def convolve(pixels: Floats, kernel: Floats) -> Floats:
    """Each picture with its own kernel ``[n, side, side, 1]``, the border repeated outwards; by Fourier transform."""
    reach = kernel.shape[1] // 2
    height, width = pixels.shape[1:3]
    padded = np.pad(pixels, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    size = (_quick_size(padded.shape[1]), _quick_size(padded.shape[2]))
    spectrum = np.fft.rfft2(padded, s=size, axes=(1, 2)) * np.fft.rfft2(kernel, s=size, axes=(1, 2))
    out = np.fft.irfft2(spectrum, s=size, axes=(1, 2))
    return np.asarray(out[:, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width], np.float32)


@lru_cache(maxsize=256)
def _shrink(pixels: int, fewer: int) -> Floats:
    """Area average of ``pixels`` values into ``fewer``: ``[fewer, pixels]``, every row sums to 1."""
    edges = np.linspace(0, pixels, fewer + 1)
    cells = np.arange(pixels)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    shares = np.clip(overlap, 0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


@lru_cache(maxsize=256)
def _enlarge(few: int, pixels: int) -> Floats:
    """Linear interpolation of ``few`` values to ``pixels``: ``[pixels, few]``, every row sums to 1."""
    centres = np.clip((np.arange(pixels) + 0.5) * few / pixels - 0.5, 0, few - 1)
    return np.asarray(np.clip(1 - np.abs(centres[:, None] - np.arange(few)), 0, 1), np.float32)


def _resample(pixels: Floats, rows: Floats, columns: Floats) -> Floats:
    """``rows`` ``[H', H]`` and ``columns`` ``[W', W]`` applied to ``[n, H, W, C]``: ``[n, H', W', C]``."""
    n, height, width, channels = pixels.shape
    tall = (rows @ pixels.reshape(n, height, width * channels)).reshape(n, len(rows), width, channels)
    return np.asarray(np.matmul(columns, tall), np.float32)


def through_fewer_pixels(pixels: Floats, share: float) -> Floats:
    """Pictures averaged down to ``share`` of their height and width, and enlarged back."""
    height, width = pixels.shape[1:3]
    low, narrow = max(1, round(height * share)), max(1, round(width * share))
    rows = _enlarge(low, height) @ _shrink(height, low)
    columns = _enlarge(narrow, width) @ _shrink(width, narrow)
    return _resample(pixels, rows, columns)


def smooth_field(pictures: int, height: int, width: int, rng: np.random.Generator) -> Floats:
    """Random clouds ``[pictures, H, W, 1]``: mean near 0, spread near 1, two octaves of interpolated noise."""
    total = np.zeros((pictures, height, width, 1), np.float32)
    for cells, weight in ((3, 1.2), (6, 0.7)):
        coarse = rng.standard_normal((pictures, cells, cells, 1), dtype=np.float32)
        total += np.float32(weight) * _resample(coarse, _enlarge(cells, height), _enlarge(cells, width))
    return total


def enlarged(pixels: Floats, scale: Floats) -> Floats:
    """Each picture ``scale`` times as large around its middle, ``[n, 1, 1, 1]`` from 1 on; linear interpolation."""

    def taps(size: int) -> Floats:  # [n, size, size]
        steps = np.arange(size, dtype=np.float32)
        seen = (steps - (size - 1) / 2).reshape(1, -1, 1) / scale[..., 0] + (size - 1) / 2
        return np.asarray(np.clip(1 - np.abs(seen - steps.reshape(1, 1, -1)), 0, 1), np.float32)

    height, width = pixels.shape[1:3]
    return np.asarray(np.einsum("nyr,nxc,nrck->nyxk", taps(height), taps(width), pixels, optimize=True), np.float32)


def through_blocks(pixels: Floats, side: npt.NDArray[np.floating]) -> Floats:
    """Each picture as squares of about ``side`` ``[n]`` pixels, every one of its mean colour."""
    height, width = pixels.shape[1:3]
    out = np.empty_like(pixels)
    for i, length in enumerate(side):
        low, narrow = max(1, round(height / length)), max(1, round(width / length))
        few = _resample(pixels[i : i + 1], _shrink(height, low), _shrink(width, narrow))
        rows, columns = np.arange(height) * low // height, np.arange(width) * narrow // width
        out[i] = few[0][rows][:, columns]
    return out
