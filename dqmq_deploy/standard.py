"""Pictures in one light: each its own mean and spread taken out, before a network reads it.

    code' = clamp(round((code - mean) * min(spread / deviation, MOST_GAIN)) + 128, 0, 255)

over all pixels and colours of a picture at once, so that colours stay apart. Dusk, haze and a camera's exposure move
all codes of a picture together; a network that need not learn them has its few bits left for the rest. Sums are whole
numbers and all else is rounded as float32 is everywhere, so that NumPy, torch, ONNX and C++ find the same codes.
"""

import numpy as np
import numpy.typing as npt

MOST_GAIN = 16.0
"""How much a picture is stretched at most: beyond that it is noise that would be."""

MOST_VALUES = 11_000_000
"""Values of a picture, height x width x colours, for which the deviation's whole numbers fit into 64 bits."""


def standardized(pixels: npt.NDArray[np.uint8], spread: float) -> npt.NDArray[np.uint8]:
    """Pictures uint8 ``[N, H, W, C]``, each brought to a standard deviation of ``spread`` codes about 128; a new array.

    >>> standardized(np.array([10, 14], np.uint8).reshape(1, 1, 2, 1), 32.0).ravel().tolist()
    [96, 160]
    """
    count = pixels[0].size if len(pixels) else 1
    whole = pixels.astype(np.int64)
    total, squares = (part.sum(axis=(1, 2, 3), keepdims=True) for part in (whole, whole * whole))
    size = np.float32(count)
    with np.errstate(divide="ignore"):  # of one colour all over
        gain = np.float32(spread) * size / np.sqrt((count * squares - total * total).astype(np.float32))
    stretched = (pixels.astype(np.float32) - total.astype(np.float32) / size) * np.minimum(gain, np.float32(MOST_GAIN))
    return np.asarray(np.clip(np.rint(stretched) + 128, 0, 255), np.uint8)


def normalised(
    pixels: npt.NDArray[np.uint8], scale: float, zero_point: int, spread: float = 0.0
) -> npt.NDArray[np.float32]:
    """Pixels as a float network reads them: standardized if ``spread`` is not 0, then ``(code - zero_point) * scale``.

    Args:
        pixels: uint8 ``[N, H, W, 3]``.
        scale: real value of one step of a code.
        zero_point: the code that means zero.
        spread: standard deviation that every picture is brought to; 0: pictures as they are.

    Returns:
        float32 ``[N, 3, H, W]``.

    >>> normalised(np.full((1, 1, 1, 3), 192, np.uint8), 1 / 64, 128).ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    seen = standardized(pixels, spread) if spread else pixels
    real = (seen.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    return np.ascontiguousarray(real.transpose(0, 3, 1, 2))
