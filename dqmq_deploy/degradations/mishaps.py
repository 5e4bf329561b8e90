"""Twelve more ways to spoil a picture, which neither training nor any decision about method or recipe has used.

They are for judging alone (``bench --adaptivity --degrade foreign``). Several are of the kinds by which Hendrycks and
Dietterich test robustness (arXiv 1903.12261), written anew. Same signature as in
:mod:`dqmq_deploy.degradations.camera`.
"""

import numpy as np

from dqmq_deploy.degradations.camera import Degradation, Floats, Severities, shorter_side, strength
from dqmq_deploy.degradations.optics import (
    convolve,
    disc,
    enlarged,
    even,
    grid,
    smooth_field,
    through_blocks,
)

_ENLARGED = 9  # pictures that a zoom during the exposure is a mean of


def _impulse(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Salt and pepper: values that arrive as 0 or 255, in each colour by itself."""
    struck = rng.random(pixels.shape, dtype=np.float32) < strength(severity, 0.01, 0.03, 0.06, 0.1, 0.16)
    value = np.float32(255) * rng.integers(0, 2, pixels.shape).astype(np.float32)
    return np.where(struck, value, pixels)


def _speckle(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Noise that multiplies: none where it is black."""
    spread = strength(severity, 0.1, 0.2, 0.3, 0.4, 0.5)
    return np.asarray(pixels * (1 + spread * rng.standard_normal(pixels.shape, dtype=np.float32)), np.float32)


def _frosted_glass(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Every point is seen a little way off, each by its own way, and softly."""
    count, height, width, _ = pixels.shape
    reach = strength(severity, 0.024, 0.034, 0.046, 0.06, 0.076) * shorter_side(pixels)
    away = rng.uniform(-1, 1, (2, count, height, width, 1)).astype(np.float32) * (reach + np.float32(0.25))
    rows = np.arange(height).reshape(1, -1, 1) + np.rint(away[0, ..., 0]).astype(np.int64)
    columns = np.arange(width).reshape(1, 1, -1) + np.rint(away[1, ..., 0]).astype(np.int64)
    picture = np.arange(count).reshape(-1, 1, 1)
    scattered = pixels[picture, np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    return convolve(scattered, disc(reach * np.float32(0.5)))


def _zoom_blur(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Driving towards it while the shutter is open."""
    most = strength(severity, 0.07, 0.13, 0.2, 0.28, 0.38)
    out = np.zeros_like(pixels)
    for share in np.linspace(0, 1, _ENLARGED, dtype=np.float32):
        out += enlarged(pixels, 1 + share * most) / np.float32(_ENLARGED)
    return out


def _snow(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """White flakes before the picture, and white air between."""
    count, height, width, _ = pixels.shape
    density = strength(severity, 0.006, 0.012, 0.02, 0.03, 0.042)
    flakes = (rng.random((count, height, width, 1), dtype=np.float32) < density).astype(np.float32)
    size = strength(severity, 0.03, 0.032, 0.034, 0.036, 0.038) * shorter_side(pixels)
    cover = np.clip(convolve(flakes, disc(size)) * (np.float32(np.pi) * size * size), 0, 1)
    veil = strength(severity, 0.05, 0.1, 0.15, 0.2, 0.25)
    whitened = pixels + (np.float32(235) - pixels) * veil
    return np.asarray(whitened + (np.float32(250) - whitened) * cover, np.float32)


def _blocks(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Few pixels, shown as squares."""
    sides = np.asarray((0.042, 0.0625, 0.083, 0.111, 0.143))[severity - 1] * shorter_side(pixels)
    return through_blocks(pixels, np.maximum(sides, 1))


def _saturation(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Colours overdone, or washed out to grey."""
    grey = pixels.mean(axis=3, keepdims=True)
    overdone = rng.integers(0, 2, (len(pixels), 1, 1, 1)) == 1
    more, less = strength(severity, 0.5, 1, 1.6, 2.3, 3.1), strength(severity, -0.3, -0.5, -0.7, -0.85, -1)
    return np.asarray(pixels + (pixels - grey) * np.where(overdone, more, less), np.float32)


def _sticker(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Something of one colour stuck over a part of it."""
    rows, columns = grid(pixels)
    count = len(pixels)
    half = strength(severity, 0.07, 0.1, 0.13, 0.16, 0.19)
    y, x = even(rng, 0.15, 0.85, count), even(rng, 0.15, 0.85, count)
    colour = rng.uniform(0, 255, (count, 1, 1, 3)).astype(np.float32)
    return np.where((np.abs(rows - y) < half) & (np.abs(columns - x) < half), colour, pixels)


def _dead_lines(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Rows of the sensor that read black or white."""
    count, height = pixels.shape[:2]
    dead = rng.random((count, height, 1, 1), dtype=np.float32) < strength(severity, 0.03, 0.06, 0.09, 0.13, 0.18)
    value = np.float32(255) * rng.integers(0, 2, (count, height, 1, 1)).astype(np.float32)
    return np.where(dead, value, pixels)


def _interference(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Another signal on the wire: fine waves over the picture, at any angle."""
    rows, columns = grid(pixels)
    count = len(pixels)
    angle, waves, phase = even(rng, 0, np.pi, count), even(rng, 3, 10, count), even(rng, 0, 2 * np.pi, count)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    wave = np.sin(np.float32(2 * np.pi) * waves * along + phase)
    return np.asarray(pixels + strength(severity, 10, 20, 30, 42, 55) * wave, np.float32)


def _few_levels(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Brightness in a few steps, each colour by itself."""
    steps = strength(severity, 11, 7, 5, 3, 2)
    return np.asarray(np.rint(np.clip(pixels, 0, 255) / 255 * steps) / steps * 255, np.float32)


def _shadow(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """The shadow of a tree: dark patches with soft rims."""
    count, height, width, _ = pixels.shape
    cover = np.clip(smooth_field(count, height, width, rng) * 2 + np.float32(0.5), 0, 1)
    return np.asarray(pixels * (1 - cover * strength(severity, 0.25, 0.4, 0.55, 0.7, 0.83)), np.float32)


MISHAPS: dict[str, Degradation] = {
    "impulse": _impulse,
    "speckle": _speckle,
    "frosted_glass": _frosted_glass,
    "zoom_blur": _zoom_blur,
    "snow": _snow,
    "blocks": _blocks,
    "saturation": _saturation,
    "sticker": _sticker,
    "dead_lines": _dead_lines,
    "interference": _interference,
    "few_levels": _few_levels,
    "shadow": _shadow,
}
