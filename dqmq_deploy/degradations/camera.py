"""Ten ways in which light, lens, sensor and storage spoil a camera's picture; what networks are trained on.

Every function takes float32 pictures ``[n, H, W, 3]`` of 0 to 255, the severity of each, 1 to 5, int64 ``[n]``, and a
generator; it returns float32 pictures, which may leave the range.
"""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from dqmq_deploy.degradations.optics import convolve, disc, line, smooth_field, through_fewer_pixels

Floats = npt.NDArray[np.float32]
Severities = npt.NDArray[np.int64]
Degradation = Callable[[Floats, Severities, np.random.Generator], Floats]

_SMALL_SIDE = 32  # pixels; the strengths below were chosen on pictures of this side


def strength(severity: Severities, *values: float) -> Floats:
    """Each picture's strength, ``[n, 1, 1, 1]``: the first value for severity 1, the last for 5."""
    return np.asarray(values, np.float32)[severity - 1].reshape(-1, 1, 1, 1)


def shorter_side(pixels: Floats) -> int:
    """Height or width, in pixels."""
    return min(int(pixels.shape[1]), int(pixels.shape[2]))


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32)


def _noise(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Read noise: Gaussian, the same everywhere."""
    return pixels + strength(severity, 7, 14, 24, 36, 50) * _normal(pixels.shape, rng)


def _shot_noise(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Photon counting: Poisson, stronger where it is bright; the strength is the photons that make full white."""
    photons = strength(severity, 400, 130, 50, 24, 12) / np.float32(255)
    return rng.poisson(pixels * photons).astype(np.float32) / photons


def _blur(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """A lens out of focus: every point becomes a disc."""
    radius = strength(severity, 0.018, 0.034, 0.052, 0.072, 0.095) * shorter_side(pixels)
    return convolve(pixels, disc(radius))


def _motion(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """The camera moved while the shutter was open: every point becomes a line, in any direction."""
    length = strength(severity, 0.05, 0.1, 0.15, 0.21, 0.28) * shorter_side(pixels)
    angle = rng.uniform(0, np.pi, len(pixels)).astype(np.float32).reshape(-1, 1, 1, 1)
    return convolve(pixels, line(length, angle))


def _low_light(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Dusk: little light, and the sensor's noise with it."""
    dark = pixels * strength(severity, 0.65, 0.45, 0.3, 0.2, 0.14)
    spread = np.sqrt(dark * np.float32(0.25) + strength(severity, 1, 1.5, 2, 3, 4) ** 2)
    return np.asarray(dark + spread * _normal(pixels.shape, rng), np.float32)


def _contrast(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Contrast lost: every value moves towards the picture's mean."""
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
    return np.asarray(mean + (pixels - mean) * strength(severity, 0.72, 0.52, 0.36, 0.24, 0.15), np.float32)


def _fog(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Bright fog, thicker here and thinner there."""
    count, height, width, _ = pixels.shape
    unevenness = smooth_field(count, height, width, rng)
    thickness = np.clip(strength(severity, 0.2, 0.37, 0.52, 0.64, 0.74) * (1 + np.float32(0.2) * unevenness), 0, 0.92)
    light = rng.uniform(190, 245, (count, 1, 1, 1)).astype(np.float32)
    return np.asarray(pixels + (light - pixels) * thickness, np.float32)


def _jpeg(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Compressed hard, as JPEG with 4:2:0 colour."""
    out = np.empty_like(pixels)
    for i, quality in enumerate(np.asarray((60, 35, 20, 11, 6))[severity - 1]):
        packed = io.BytesIO()
        Image.fromarray(pixels[i].astype(np.uint8)).save(packed, "JPEG", quality=int(quality), subsampling=2)
        with Image.open(packed) as image:
            out[i] = np.asarray(image)
    return out


def _low_resolution(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Too far away: the object covered only a few pixels and was enlarged.

    The share of the pixels that is left is that of a 32 x 32 picture; a larger one is left with no more.
    """
    out = np.empty_like(pixels)
    most = min(1.0, _SMALL_SIDE / shorter_side(pixels))
    for s in np.unique(severity):
        chosen = severity == s
        out[chosen] = through_fewer_pixels(pixels[chosen], most * (0.8, 0.6, 0.45, 0.34, 0.26)[s - 1])
    return out


def _over_exposure(pixels: Floats, severity: Severities, rng: np.random.Generator) -> Floats:
    """Too much light: this share of the picture's pixels is washed out to full white, whatever it showed."""
    count = len(pixels)
    ordered = np.sort(pixels.max(axis=3).reshape(count, -1), axis=1)
    burnt = np.asarray((0.07, 0.15, 0.25, 0.37, 0.5))[severity - 1]
    level = ordered[np.arange(count), ((1 - burnt) * (ordered.shape[1] - 1)).astype(np.int64)]
    gain = np.maximum(np.float32(255) / np.maximum(level, 1), strength(severity, 1.1, 1.2, 1.3, 1.4, 1.5).reshape(-1))
    lit = pixels * gain.reshape(-1, 1, 1, 1) + strength(severity, 4, 8, 14, 20, 28)
    return np.asarray(lit, np.float32)


CAMERA: dict[str, Degradation] = {
    "noise": _noise,
    "shot_noise": _shot_noise,
    "blur": _blur,
    "motion": _motion,
    "low_light": _low_light,
    "contrast": _contrast,
    "fog": _fog,
    "jpeg": _jpeg,
    "low_resolution": _low_resolution,
    "over_exposure": _over_exposure,
}
