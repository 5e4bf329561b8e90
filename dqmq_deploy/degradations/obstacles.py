"""Six ways to spoil a picture that training does not use: what lies before the lens, and a sensor that fails.

Same signature as in :mod:`dqmq_deploy.degradations.camera`.
"""

import numpy as np

from dqmq_deploy.degradations.camera import Degradation, Floats, Severities, shorter_side, strength
from dqmq_deploy.degradations.optics import convolve, even, grid, line

_SPOTS = 7  # spots of dirt at most


def _rain(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Drops that fall through the picture while the shutter is open: bright streaks, all at nearly one angle."""
    count, height, width, _ = pixels.shape
    density = strength(severity, 0.004, 0.008, 0.013, 0.019, 0.026)
    drops = (rng.random((count, height, width, 1), dtype=np.float32) < density).astype(np.float32)
    length = strength(severity, 0.16, 0.2, 0.24, 0.28, 0.32) * shorter_side(pixels)
    angle = np.float32(np.pi / 2) + even(rng, -0.35, 0.35, count)
    streaks = np.clip(convolve(drops, line(length, angle)) * (length + 1), 0, 1)
    share = streaks * strength(severity, 0.5, 0.57, 0.64, 0.71, 0.78)
    return np.asarray(pixels + (np.float32(215) - pixels) * share, np.float32)


def _dirt(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Spots on the lens, out of focus: some dark, some milky, each over a part of the picture."""
    rows, columns = grid(pixels)
    count = len(pixels)
    out = pixels.copy()
    number = np.asarray((1, 2, 3, 5, _SPOTS))[severity - 1].reshape(-1, 1, 1, 1)
    for spot in range(_SPOTS):
        y, x = even(rng, 0, 1, count), even(rng, 0, 1, count)
        size, colour = even(rng, 0.07, 0.17, count), even(rng, 15, 150, count)
        distance = np.sqrt((rows - y) ** 2 + (columns - x) ** 2) / size
        cover = np.clip(np.float32(1.5) - distance, 0, 1) * strength(severity, 0.55, 0.65, 0.75, 0.85, 0.92)
        out += (colour - out) * cover * (spot < number)
    return out


def _glare(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """The sun, or a headlight, in the picture: a bright spot with a halo that washes out what is around it."""
    rows, columns = grid(pixels)
    count = len(pixels)
    y, x = even(rng, 0, 1, count), even(rng, 0, 1, count)
    distance = np.sqrt((rows - y) ** 2 + (columns - x) ** 2)
    spot = np.exp(-((distance / strength(severity, 0.05, 0.08, 0.11, 0.15, 0.19)) ** 2))
    halo = np.exp(-distance / np.float32(0.4)) * strength(severity, 0.25, 0.38, 0.5, 0.62, 0.74)
    return np.asarray(pixels + np.float32(255) * (spot + halo), np.float32)


def _colour_cast(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """White balance gone wrong, as under a sodium lamp: each colour channel is scaled by its own factor."""
    away = strength(severity, 0.12, 0.22, 0.34, 0.46, 0.58)
    direction = rng.standard_normal((len(pixels), 1, 1, 3)).astype(np.float32)
    direction -= direction.mean(axis=3, keepdims=True)
    direction /= np.abs(direction).max(axis=3, keepdims=True)
    return np.asarray(pixels * (1 + away * direction), np.float32)


def _dead_pixels(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Pixels that are stuck at black or white, or at anything."""
    count, height, width, _ = pixels.shape
    stuck = rng.random((count, height, width, 1), dtype=np.float32) < strength(severity, 0.01, 0.025, 0.05, 0.085, 0.13)
    value = np.float32(255) * rng.integers(0, 2, (count, height, width, 3)).astype(np.float32)
    return np.where(stuck, value, pixels)


def _banding(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """A flickering lamp under a rolling shutter: bands of light and dark across the picture."""
    rows, _ = grid(pixels)
    count = len(pixels)
    bands, phase = even(rng, 1.5, 5, count), even(rng, 0, 2 * np.pi, count)
    wave = np.sin(np.float32(2 * np.pi) * bands * rows + phase)
    return np.asarray(pixels * (1 + strength(severity, 0.15, 0.3, 0.45, 0.6, 0.75) * wave), np.float32)


OBSTACLES: dict[str, Degradation] = {
    "rain": _rain,
    "dirt": _dirt,
    "glare": _glare,
    "colour_cast": _colour_cast,
    "dead_pixels": _dead_pixels,
    "banding": _banding,
}
