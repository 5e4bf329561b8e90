"""Augmentation of a batch of pictures: shift, rotation, scale, mirroring, brightness and contrast.

One affine map per picture, read with bilinear interpolation, its outside filled by reflection. Where neither rotation
nor scale is asked for, shifts are whole pixels and no value is interpolated.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]

_EVEN = np.uint32(0x00FF00FF)  # bytes 0 and 2 of a word, with room to multiply by up to 256
_HALVES = np.uint32(0x00800080)


@dataclass(frozen=True)
class AugmentSettings:
    """How far each change may go; every picture draws its own, evenly within the range.

    ``mirror`` is off unless asked for: a mirrored traffic sign or digit is another class, or none.
    """

    shift: float = 0.1  # up to this share of height and width, either way
    rotate_degrees: float = 0.0  # up to this angle, either way
    scale: float = 0.0  # size times 1 - scale to 1 + scale
    brightness: float = 0.0  # every value times 1 - brightness to 1 + brightness: a dark picture stays readable
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
    mirrored = (flip < 0.5) & settings.mirror
    offset = (2 * shift - 1) * settings.shift * images.shape[1:3]
    if settings.rotate_degrees or settings.scale:
        turn = np.deg2rad((2 * angle - 1) * settings.rotate_degrees)
        grow = 1 + (2 * scale - 1) * settings.scale
        out = _affine(images, offset, turn, grow, mirrored)
    else:
        out = _shifted(images, np.rint(offset).astype(np.intp), mirrored)
    if settings.brightness or settings.contrast:
        lit = 1 + (2 * light - 1) * settings.brightness
        stretched = 1 + (2 * spread - 1) * settings.contrast
        out = _relit(out, lit.astype(np.float32), stretched.astype(np.float32))
    return np.ascontiguousarray(out)


def _reflected(position: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
    """Positions outside ``0 .. size - 1`` folded back in, the border pixel not repeated."""
    if size == 1:
        return np.zeros_like(position)
    folded = np.abs(position) % (2 * size - 2)
    return np.asarray(np.minimum(folded, 2 * size - 2 - folded), np.intp)


def _shifted(images: Pixels, offset: npt.NDArray[np.intp], mirrored: npt.NDArray[np.bool_]) -> Pixels:
    n, height, width, _ = images.shape
    rows = _reflected(np.arange(height) + offset[:, :1], height)
    columns = _reflected(np.arange(width) + offset[:, 1:], width)
    columns = np.where(mirrored[:, None], width - 1 - columns, columns)
    found = _words(images)[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return _bytes(found)


def _affine(
    images: Pixels,
    offset: npt.NDArray[np.float64],
    turn: npt.NDArray[np.float64],
    grow: npt.NDArray[np.float64],
    mirrored: npt.NDArray[np.bool_],
) -> Pixels:
    """Each picture turned by ``turn`` radians and grown by ``grow`` about its middle, moved and mirrored."""
    n, height, width, _ = images.shape
    middle_y, middle_x = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
    y = np.arange(height, dtype=np.float32)[None, :, None] - middle_y
    x = np.arange(width, dtype=np.float32)[None, None, :] - middle_x
    cos, sin = ((part(turn) / grow).astype(np.float32)[:, None, None] for part in (np.cos, np.sin))
    move_y, move_x = (offset[:, axis].astype(np.float32)[:, None, None] for axis in (0, 1))
    sign = np.where(mirrored, np.float32(-1), np.float32(1))[:, None, None]
    top, down = _whole_and_part(cos * y + (sin * x + (move_y + middle_y)))
    left, right = _whole_and_part((sign * cos) * x + ((sign * move_x + middle_x) - (sign * sin) * y))
    upper_row, lower_row = (_folded(top, step, height) for step in (0, 1))
    upper_row = upper_row * width + np.arange(n)[:, None, None] * (height * width)
    lower_row = lower_row * width + np.arange(n)[:, None, None] * (height * width)
    left_column, right_column = (_folded(left, step, width) for step in (0, 1))
    words = _words(images).reshape(-1)
    upper = _between(words[upper_row + left_column], words[upper_row + right_column], right)
    lower = _between(words[lower_row + left_column], words[lower_row + right_column], right)
    return _bytes(_between(upper, lower, down))


def _words(images: Pixels) -> Words:
    """Each pixel's three bytes in one 32-bit word, ``[N, H, W]``, so that one index finds all of them."""
    four = np.zeros((*images.shape[:3], 4), np.uint8)
    four[..., :3] = images
    return four.view(np.uint32)[..., 0]


def _bytes(words: Words) -> Pixels:
    """The other way: ``[N, H, W]`` words as pixels ``[N, H, W, 3]``."""
    return words.view(np.uint8).reshape(*words.shape, 4)[..., :3]


def _whole_and_part(position: Floats) -> tuple[npt.NDArray[np.intp], Words]:
    """Positions as the whole pixel before and the rest in 256ths."""
    steps = np.asarray(np.rint(position * np.float32(256)), np.intp)
    return steps >> 8, (steps & 255).astype(np.uint32)


def _folded(position: npt.NDArray[np.intp], step: int, size: int) -> npt.NDArray[np.intp]:
    """``position + step``, reflected at the border; by table, which is quicker than arithmetic."""
    lowest = int(position.min())
    table = _reflected(np.arange(lowest, int(position.max()) + 2), size)
    return table[position + (step - lowest)]


def _between(first: Words, second: Words, share: Words) -> Words:
    """``first + (second - first) * share / 256`` in all four bytes of each word, rounded, two bytes at a time."""
    rest = 256 - share
    even = ((first & _EVEN) * rest + (second & _EVEN) * share + _HALVES) >> 8
    odd = ((first >> 8) & _EVEN) * rest + ((second >> 8) & _EVEN) * share + _HALVES
    return np.asarray((even & _EVEN) | (odd & ~_EVEN), np.uint32)


def _relit(images: Pixels, lit: Floats, stretched: Floats) -> Pixels:
    """Each picture's values times ``lit``, their distance from the mean times ``stretched`` as well."""
    pixels = images.astype(np.float32)
    mean = pixels.mean(axis=(1, 2, 3))
    pixels *= (lit * stretched)[:, None, None, None]
    pixels += (lit * mean * (1 - stretched))[:, None, None, None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
