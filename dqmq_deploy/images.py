"""Files into pixels: one implementation for calibration, training and serving alike.

Whatever an image file holds becomes uint8 ``[height, width, 3]``, RGB, the way a viewer shows it:

- the EXIF orientation is applied; of an animation the first frame counts;
- transparent pixels lie over white; palettes and CMYK are converted; colour profiles are not applied;
- of 16-bit channels the high byte is kept; floating-point pixels have no agreed range and are refused;
- another size is stretched to ``size``, bilinear with antialiasing.

An image that declares more than :data:`MAX_PIXELS` is refused before a pixel is decoded.
"""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

# Registered here, because Pillow registers plugins on first use and several threads decode at once.
from PIL import (  # noqa: F401  # isort: skip
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dqmq_deploy.errors import ImageError, InputError

Pixels: TypeAlias = npt.NDArray[np.uint8]
Source: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | Pixels

MAX_PIXELS = 64_000_000
"""The most pixels an image may declare; more is refused."""

IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""File endings, in lower case, that count as images."""

# Only these decoders are tried: Pillow has more, some of which start other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")

_EXIF_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Source, size: tuple[int, int]) -> Pixels:
    """One image as uint8 ``[height, width, 3]``, RGB, values 0 to 255.

    ``source`` is a path, the bytes of an image file, a Pillow image, or uint8 ``[H, W, 3]``; ``size`` is
    ``(height, width)``.

    Raises:
        ImageError: the source cannot be decoded, or declares more than :data:`MAX_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        return _fit_array(source, size)
    if isinstance(source, Image.Image):
        return _guarded(source, size, "the image")
    if isinstance(source, bytes):
        return _open_and_decode(BytesIO(source), size, f"{len(source)} bytes")
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        try:
            with open(path, "rb") as file:
                return _open_and_decode(file, size, path)
        except OSError as error:
            raise ImageError(f"{path}: cannot be read: {error.strerror}; check the path and its permissions") from None
    raise ImageError(f"expected a path, bytes, a Pillow image or a uint8 array [H, W, 3], got {type(source).__name__}")


def find_images(directory: str | os.PathLike[str]) -> list[Path]:
    """Every image file below ``directory``, sorted as the strings of their paths.

    Raises:
        InputError: ``directory`` is not a folder.
    """
    root = Path(directory)
    return [root / name for name in iterate_images(root)]


def iterate_images(directory: str | os.PathLike[str]) -> Iterator[str]:
    """The images below ``directory`` one by one, as ``/``-separated paths relative to it, sorted as strings.

    Memory is that of the largest single folder. Files and folders whose name starts with a dot are left out; linked
    folders are followed, save into one of their own parents.

    Raises:
        InputError: ``directory`` is not a folder.
    """
    root = os.fspath(directory)
    if not os.path.isdir(root):
        raise InputError(f"{root}: expected a folder of images, found {_what_is(root)}")
    return _walk(root, "", ())


def _walk(folder: str, prefix: str, parents: tuple[tuple[int, int], ...]) -> Iterator[str]:
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in parents:
        return
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    # The slash makes the order of one folder that of the whole paths: "a-b.png" before "a/".
                    names.append(f"{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and entry.is_file():
                    names.append(entry.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}; check its permissions") from None
    names.sort()
    for name in names:
        if name.endswith("/"):
            yield from _walk(os.path.join(folder, name[:-1]), prefix + name, (*parents, identity))
        else:
            yield prefix + name


def _what_is(path: str) -> str:
    return "a file" if os.path.exists(path) else "nothing there"


def _open_and_decode(file: object, size: tuple[int, int], name: str) -> Pixels:
    # Pillow raises nearly anything on damaged files: OSError, SyntaxError, struct.error, zlib.error, EOFError ...
    try:
        image = Image.open(file, formats=_FORMATS)  # type: ignore[arg-type]
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{name}: more than {MAX_PIXELS:,} pixels, refused; scale it down first") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image, or of a kind that is not read ({', '.join(_FORMATS)})") from None
    except Exception as error:
        raise ImageError(f"{name}: cannot be decoded: {_reason(error)}") from None
    with image:
        return _guarded(image, size, name)


def _guarded(image: Image.Image, size: tuple[int, int], name: str) -> Pixels:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width:,} x {height:,} is more than {MAX_PIXELS:,} pixels, refused; scale it down first"
        )
    try:
        return _pixels(image, size)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except Exception as error:
        raise ImageError(f"{name}: cannot be decoded: {_reason(error)}") from None


def _pixels(image: Image.Image, size: tuple[int, int]) -> Pixels:
    height, width = size
    if image.format in ("JPEG", "MPO") and min(image.size) > 4 * max(size):
        # A JPEG can be decoded at 1/2, 1/4 or 1/8; at twice the size asked for the difference is below rounding.
        image.draft(None, (2 * max(size), 2 * max(size)))
    image.load()
    if not _EXIF_KEYS.isdisjoint(image.info):
        image = _upright(image)
    if image.mode != "RGB" or "transparency" in image.info:
        image = _to_rgb_or_rgba(image)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    if image.mode == "RGBA":
        canvas = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(canvas, image).convert("RGB")
    return np.array(image)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return image  # a damaged note about the picture does not spoil the picture
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _to_rgb_or_rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow gives "I" for files of 16 bits as well as 32; only 16 bits have a known range.
        codes = np.asarray(image)
        if codes.size and (codes.min() < 0 or codes.max() > 65535):
            raise ImageError("32-bit integer pixels have no agreed range; save it with 8 or 16 bits")
        return Image.fromarray((codes >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("floating-point pixels have no agreed range; save it with 8 or 16 bits")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _fit_array(array: Pixels, size: tuple[int, int]) -> Pixels:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ImageError(f"expected a uint8 array [H, W, 3], got {array.dtype} {list(array.shape)}")
    if array.shape[:2] == size:
        return array
    return _guarded(Image.fromarray(np.ascontiguousarray(array)), size, "the array")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
