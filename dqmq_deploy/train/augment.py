"""Augmentation of a batch of pictures: shift, rotation, scale, mirroring, brightness and contrast.

One affine map per picture, read with bilinear interpolation, its outside filled by reflection. Where neither rotation
nor scale is asked for, shifts are whole pixels and no value is interpolated.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AugmentSettings:
    """How far each change may go; every picture draws its own, evenly within the range.

    ``mirror`` is off unless asked for: a mirrored traffic sign or digit is another class, or none.
    """

    shift: float = 0.1  # up to this share of height and width, either way
    rotate_degrees: float = 0.0  # up to this angle, either way
    scale: float = 0.0  # size times 1 - scale to 1 + scale
    brightness: float = 0.0  # up to this share of full white added or taken
    contrast: float = 0.0  # distance from the mean times 1 - contrast to 1 + contrast
    mirror: bool = False  # left and right swapped in half of the pictures

    def __post_init__(self) -> None:
        for name, most in (("shift", 0.5), ("rotate_degrees", 180), ("scale", 0.9), ("brightness", 1), ("contrast", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"expected {name} within 0 to {most}, got {getattr(self, name)}")


def augment(images: Pixels, settings: AugmentSettings, rng: np.random.Generator) -> Pixels:
    """Each image changed at random within ``settings``.

    Args:
        images: uint8 ``[N, H, W, 3]``; left as they are.
        settings: how far each change may go.
        rng: where the randomness comes from; the same state gives the same pixels.

    Returns:
        A new uint8 array ``[N, H, W, 3]``.
    """
    n = len(images)
    if not n:
        return images.copy()
    shift, angle, scale = rng.random((n, 2)), rng.random(n), rng.random(n)
    light, spread, flip = rng.random(n), rng.random(n), rng.random(n)
    mirrored = np.where(settings.mirror & (flip < 0.5), -1.0, 1.0)
    offset = (2 * shift - 1) * settings.shift * images.shape[1:3]
    if settings.rotate_degrees or settings.scale:
        turn = np.deg2rad((2 * angle - 1) * settings.rotate_degrees)
        grow = 1 + (2 * scale - 1) * settings.scale
        out = _affine(images, offset, turn, grow, mirrored)
    else:
        out = _shifted(images, np.rint(offset).astype(np.int64), mirrored)
    if settings.brightness or settings.contrast:
        add = (2 * light - 1) * settings.brightness * 255
        times = 1 + (2 * spread - 1) * settings.contrast
        out = _relit(out, add.astype(np.float32), times.astype(np.float32))
    return out


def _reflected(position: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Positions outside ``0 .. size - 1`` folded back in, the border pixel not repeated."""
    if size == 1:
        return np.zeros_like(position)
    folded = np.abs(position) % (2 * size - 2)
    return np.minimum(folded, 2 * size - 2 - folded)


def _shifted(images: Pixels, offset: npt.NDArray[np.int64], mirrored: npt.NDArray[np.float64]) -> Pixels:
    n, height, width, _ = images.shape
    rows = _reflected(np.arange(height) + offset[:, :1], height)
    columns = _reflected(np.arange(width) + offset[:, 1:], width)
    columns = np.where(mirrored[:, None] < 0, width - 1 - columns, columns)
    return images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _affine(
    images: Pixels,
    offset: npt.NDArray[np.float64],
    turn: npt.NDArray[np.float64],
    grow: npt.NDArray[np.float64],
    mirrored: npt.NDArray[np.float64],
) -> Pixels:
    n, height, width, _ = images.shape
    y = np.arange(height, dtype=np.float32)[None, :, None] - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32)[None, None, :] - np.float32((width - 1) / 2)
    cos = (np.cos(turn) / grow).astype(np.float32)[:, None, None]
    sin = (np.sin(turn) / grow).astype(np.float32)[:, None, None]
    sign = mirrored.astype(np.float32)[:, None, None]
    move = offset.astype(np.float32)[:, :, None, None]
    from_y = cos * y + sin * x + move[:, 0] + np.float32((height - 1) / 2)
    from_x = sign * (cos * x - sin * y + move[:, 1]) + np.float32((width - 1) / 2)
    top, left = np.floor(from_y), np.floor(from_x)
    down, right = (from_y - top)[..., None], (from_x - left)[..., None]
    rows = [_reflected(top.astype(np.int64) + step, height) for step in (0, 1)]
    columns = [_reflected(left.astype(np.int64) + step, width) for step in (0, 1)]
    first = np.arange(n)[:, None, None] * (height * width)
    packed = np.zeros((n, height, width, 4), np.uint8)
    packed[..., :3] = images
    words = packed.view(np.uint32).reshape(-1)

    def corner(row: int, column: int) -> Floats:
        found = words[first + rows[row] * width + columns[column]]
        return found.view(np.uint8).reshape(n, height, width, 4).astype(np.float32)

    upper = corner(0, 0)
    upper += (corner(0, 1) - upper) * right
    lower = corner(1, 0)
    lower += (corner(1, 1) - lower) * right
    upper += (lower - upper) * down
    return np.ascontiguousarray(np.rint(upper[..., :3]).astype(np.uint8))


def _relit(images: Pixels, add: Floats, times: Floats) -> Pixels:
    pixels = images.astype(np.float32)
    mean = pixels.mean(axis=(1, 2, 3))
    pixels *= times[:, None, None, None]
    pixels += (mean * (1 - times) + add)[:, None, None, None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
