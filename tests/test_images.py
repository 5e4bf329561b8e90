"""Decoding: every kind of picture comes out as a viewer shows it; what is no picture is refused in one line."""

import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from dqmq_deploy.errors import ImageError, InputError
from dqmq_deploy.images import MAX_PIXELS, decode, find_images, iterate_images

Pixels = npt.NDArray[np.uint8]
SIZE = (12, 16)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters() -> Pixels:
    """A picture of four coloured quarters, uint8 ``[12, 16, 3]``: red and green above blue and white."""
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[:6, :8], picture[:6, 8:], picture[6:, :8], picture[6:, 8:] = RED, GREEN, BLUE, WHITE
    return picture


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of ``image`` as a file of ``kind``."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats(kind: str) -> None:
    """Lossless files give back the pixels they were made of."""
    assert np.array_equal(decode(encoded(Image.fromarray(quarters()), kind), SIZE), quarters())


def test_lossless_webp() -> None:
    """So does lossless WebP."""
    assert np.array_equal(decode(encoded(Image.fromarray(quarters()), "WEBP", lossless=True), SIZE), quarters())


def test_every_kind_of_source(tmp_path: Path) -> None:
    """A path, a path's text, bytes, a Pillow image and an array give the same writable pixels."""
    path = tmp_path / "picture.png"
    Image.fromarray(quarters()).save(path)
    for source in (path, str(path), path.read_bytes(), Image.fromarray(quarters()), quarters()):
        found = decode(source, SIZE)
        assert found.dtype == np.uint8
        assert found.flags.writeable
        assert np.array_equal(found, quarters())


def test_palette() -> None:
    """A palette is looked up, not taken for grey levels."""
    image = Image.fromarray(quarters()).quantize(4)
    assert image.mode == "P"
    assert np.array_equal(decode(encoded(image, "PNG"), SIZE), quarters())


def test_palette_with_transparent_colour() -> None:
    """A palette's transparent colour becomes white."""
    image = Image.new("P", SIZE[::-1], 1)
    image.putpalette([*RED, *BLUE])
    image.paste(0, (0, 0, 8, 12))
    found = decode(encoded(image, "PNG", transparency=0), SIZE)
    assert found[0, 0].tolist() == list(WHITE)
    assert found[0, -1].tolist() == list(BLUE)


def test_grey_and_bilevel() -> None:
    """Grey levels fill all three channels; so do the two levels of a bitmap."""
    grey = np.arange(192, dtype=np.uint8).reshape(SIZE)
    assert np.array_equal(decode(encoded(Image.fromarray(grey), "PNG"), SIZE), np.stack([grey] * 3, axis=2))
    bilevel = decode(encoded(Image.fromarray(grey > 90), "PNG"), SIZE)
    assert sorted(np.unique(bilevel).tolist()) == [0, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits(kind: str) -> None:
    """Of 16-bit grey the high byte is kept; nothing is clipped to white."""
    codes = np.linspace(0, 65535, 192).astype(np.uint16).reshape(SIZE)
    found = decode(encoded(Image.fromarray(codes), kind), SIZE)
    assert np.array_equal(found[..., 0], (codes >> 8).astype(np.uint8))
    assert found.max() == 255


def test_16_bits_colour() -> None:
    """A PNG of 16 bits a channel, written by hand, keeps the high bytes."""
    rows = (quarters().astype(np.uint16) * 257).astype(">u2").tobytes()
    stride = 16 * 3 * 2
    raw = b"".join(b"\0" + rows[row * stride : (row + 1) * stride] for row in range(12))
    assert np.array_equal(decode(png(16, 12, 16, 2, zlib.compress(raw)), SIZE), quarters())


def test_cmyk() -> None:
    """CMYK comes out in its colours, as TIFF and, within JPEG's loss, as JPEG."""
    image = Image.fromarray(quarters()).convert("CMYK")
    assert np.array_equal(decode(encoded(image, "TIFF"), SIZE), quarters())
    found = decode(encoded(image, "JPEG", quality=100, subsampling=0), SIZE)
    assert np.abs(found.astype(int) - quarters()).max() <= 8


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(kind: str) -> None:
    """Of an animation, the first frame counts."""
    frames = [Image.new("RGB", SIZE[::-1], colour) for colour in ("red", "lime", "blue")]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert np.array_equal(decode(data, SIZE), np.full((*SIZE, 3), RED))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    """Whatever way the camera was held, the picture stands upright."""
    turns = [
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: a[::-1, ::-1],
        lambda a: a[::-1],
        lambda a: a.swapaxes(0, 1),
        lambda a: np.rot90(a, 1),
        lambda a: np.rot90(a[:, ::-1], -1),
        lambda a: np.rot90(a, -1),
    ]
    stored = np.ascontiguousarray(turns[orientation - 1](quarters()))
    exif = Image.Exif()
    exif[0x0112] = orientation
    all_options: dict[str, dict[str, Any]] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    options = all_options.get(kind, {})
    found = decode(encoded(Image.fromarray(stored), kind, exif=exif, **options), SIZE)
    centres = found[3::6, 4::8].astype(int)
    assert np.abs(centres - quarters()[3::6, 4::8]).max() <= 4


def test_damaged_exif() -> None:
    """A damaged note on the orientation does not spoil the picture."""
    data = encoded(Image.fromarray(quarters()), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(decode(data, SIZE), quarters())


def test_alpha_lies_over_white() -> None:
    """Transparent pixels become white, half-transparent ones half white."""
    rgba = np.dstack([quarters(), np.full(SIZE, 255, np.uint8)])
    rgba[:6, :8, 3], rgba[6:, :8, 3] = 0, 128
    found = decode(encoded(Image.fromarray(rgba), "PNG"), SIZE)
    assert found[0, 0].tolist() == list(WHITE)
    assert found[0, -1].tolist() == list(GREEN)
    assert np.abs(found[-1, 0].astype(int) - (127, 127, 255)).max() <= 1
    grey = Image.new("LA", SIZE[::-1], (40, 0))
    assert decode(encoded(grey, "PNG"), SIZE).min() == 255


def test_resize_stretches_with_antialiasing() -> None:
    """A fine chequerboard shrinks to grey, and a large JPEG keeps its colours."""
    board = (np.indices((96, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = decode(np.stack([board] * 3, axis=2), SIZE).astype(int)
    assert np.abs(found[1:-1, 1:-1] - 127).max() <= 2
    large = Image.fromarray(quarters()).resize((1600, 700), Image.Resampling.NEAREST)
    centres = decode(encoded(large, "JPEG", quality=95), SIZE)[3::6, 4::8].astype(int)
    assert np.abs(centres - quarters()[3::6, 4::8]).max() <= 8


def test_not_an_image(tmp_path: Path) -> None:
    """Text in a file that is called an image is refused, with the file's name."""
    path = tmp_path / "note.png"
    path.write_text("not an image")
    with pytest.raises(ImageError, match=r"note\.png: not an image"):
        decode(path, SIZE)


def test_missing_and_empty(tmp_path: Path) -> None:
    """A missing file, an empty file, a folder."""
    with pytest.raises(ImageError, match="No such file"):
        decode(tmp_path / "none.png", SIZE)
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match="not an image"):
        decode(tmp_path / "empty.png", SIZE)
    with pytest.raises(ImageError, match="cannot be read"):
        decode(tmp_path, SIZE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_truncated(kind: str) -> None:
    """A file that breaks off in the middle is refused, not shown half grey."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError) as caught:
        decode(data[: len(data) // 2], SIZE)
    assert "\n" not in str(caught.value)


def test_damaged_bytes_never_escape_as_another_error() -> None:
    """Whatever a flipped byte does to a decoder, it is an ImageError or a picture of the right shape."""
    rng = np.random.default_rng(0)
    files = [encoded(Image.fromarray(quarters()), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")]
    for round_ in range(300):
        data = bytearray(files[round_ % len(files)])
        data[rng.integers(len(data))] = rng.integers(256)
        try:
            assert decode(bytes(data), SIZE).shape == (*SIZE, 3)
        except ImageError as error:
            assert "\n" not in str(error)


def test_float_pixels_are_refused() -> None:
    """Floating-point and 32-bit pixels have no agreed range."""
    for values in (np.zeros(SIZE, np.float32), np.full(SIZE, 2**20, np.int32)):
        with pytest.raises(ImageError, match="no agreed range"):
            decode(encoded(Image.fromarray(values), "TIFF"), SIZE)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_wrong_arrays(wrong: Any) -> None:
    """Arrays of another type or shape are named as they are."""
    with pytest.raises(ImageError, match=r"expected a uint8 array \[H, W, 3\], got"):
        decode(wrong, SIZE)


def test_wrong_source() -> None:
    """So is what is no picture at all."""
    with pytest.raises(ImageError, match="got int"):
        decode(3, SIZE)  # type: ignore[arg-type]


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    """A PNG file written by hand; ``data`` is the compressed picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb() -> bytes:
    """A whole, valid PNG of 50,000 x 50,000 pixels, 1 bit each, in 300 kB."""
    packer = zlib.compressobj(1)
    row = bytes(1 + 50_000 // 8)
    data = b"".join([packer.compress(row * 500) for _ in range(100)] + [packer.flush()])
    return png(50_000, 50_000, 1, 0, data)


def test_png_bomb_is_refused_within_bounded_memory(tmp_path: Path) -> None:
    """A 50,000 x 50,000 PNG is refused before a pixel is decoded: the process grows by less than 16 MB."""
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb())
    assert path.stat().st_size < 2_000_000
    script = (
        "import resource, sys\n"
        "from dqmq_deploy.errors import ImageError\n"
        "from dqmq_deploy.images import decode\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try:\n    decode(sys.argv[1], (12, 16))\n"
        "except ImageError as error:\n    print(peak() - before, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    grown, _, message = done.stdout.partition(" ")
    assert int(grown) < 16_000
    assert "more than 64,000,000 pixels, refused" in message


@pytest.mark.parametrize("side", [8001, 12_000, 60_000])
def test_limit_on_pixels(side: int) -> None:
    """The limit holds below, between and above Pillow's own two limits."""
    assert side * side > MAX_PIXELS
    with pytest.raises(ImageError, match="refused"):
        decode(png(side, side, 8, 2, zlib.compress(b"\0" * 1000)), SIZE)


def test_find_images_sorts_and_filters(tmp_path: Path) -> None:
    """Images are found at every depth, by ending, in the order of their paths' strings."""
    names = ["b.PNG", "a/z.jpg", "a-1.png", "a/deep/er/x.webp", "a/notes.txt", ".hidden.png", ".git/x.png", "c.jpeg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = list(iterate_images(tmp_path))
    assert found == ["a-1.png", "a/deep/er/x.webp", "a/z.jpg", "b.PNG", "c.jpeg"]
    assert found == sorted(found)
    assert find_images(str(tmp_path)) == [tmp_path / name for name in found]


def test_find_images_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    """A linked folder counts; a link to a parent does not send the search in circles."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.png").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images" / "up").symlink_to(tmp_path / "images")
    assert list(iterate_images(tmp_path / "images")) == ["linked/x.png"]


def test_find_images_needs_a_folder(tmp_path: Path) -> None:
    """A file or nothing where the folder should be."""
    with pytest.raises(InputError, match="expected a folder of images, found nothing there"):
        find_images(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder of images, found a file"):
        find_images(tmp_path / "file")
