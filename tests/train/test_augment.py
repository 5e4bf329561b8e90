"""Augmentation: seeded, within its bounds, and exact where nothing has to be interpolated."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dqmq_deploy.train.augment import AugmentSettings, augment

EVERYTHING = AugmentSettings(shift=0.2, rotate_degrees=15, scale=0.2, brightness=0.3, contrast=0.3, mirror=True)
STILL = AugmentSettings(shift=0)


def noise(count: int = 6, height: int = 12, width: int = 16) -> npt.NDArray[np.uint8]:
    """Random pictures, uint8 ``[count, height, width, 3]``."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("settings", [STILL, AugmentSettings(), AugmentSettings(mirror=True), EVERYTHING])
@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (7, 5), (32, 32)])
def test_seeded_and_shape_keeping(settings: AugmentSettings, shape: tuple[int, int]) -> None:
    """The same generator state gives the same pixels; shape and type stay, the input too."""
    images = noise(4, *shape)
    before = images.copy()
    first, second = (augment(images, settings, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(images, before)
    assert first.shape == images.shape
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous


def test_no_images_are_no_trouble() -> None:
    """An empty batch gives an empty batch."""
    assert augment(noise(0), EVERYTHING, np.random.default_rng(0)).shape == (0, 12, 16, 3)


def test_nothing_asked_for_changes_nothing() -> None:
    """All ranges zero: the very same pixels, also on the road that interpolates."""
    images = noise()
    assert np.array_equal(augment(images, STILL, np.random.default_rng(0)), images)
    nearly = AugmentSettings(shift=0, scale=1e-9)
    assert np.array_equal(augment(images, nearly, np.random.default_rng(0)), images)


def test_shifts_are_whole_pixels_within_bounds_and_reflect() -> None:
    """Every shifted picture is a window of the reflected picture, at most the asked share away."""
    images = noise(40)
    moved = augment(images, AugmentSettings(shift=0.25), np.random.default_rng(1))
    seen = set()
    for before, after in zip(images, moved, strict=True):
        wide = np.pad(before, ((3, 3), (4, 4), (0, 0)), mode="reflect")
        windows = [(y, x) for y in range(7) for x in range(9) if np.array_equal(wide[y : y + 12, x : x + 16], after)]
        assert len(windows) == 1
        seen.add(windows[0])
    assert len(seen) > 15


def test_pictures_are_mirrored_only_when_asked() -> None:
    """With the switch about half are exact mirror images, by either road; without it none is."""
    images = noise(60)
    for scale in (0.0, 1e-9):
        settings = AugmentSettings(shift=0, scale=scale, mirror=True)
        changed = augment(images, settings, np.random.default_rng(3))
        mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(changed, images, strict=True)]
        same = [np.array_equal(a, b) for a, b in zip(changed, images, strict=True)]
        assert 15 < sum(mirrored) < 45
        assert sum(mirrored) + sum(same) == 60


def test_interpolation_equals_a_plain_reference() -> None:
    """The integer interpolation of packed words is within rounding of floats, pixel by pixel."""
    rng = np.random.default_rng(5)
    images = noise(3, 20, 20)
    got = augment(images, AugmentSettings(shift=0, scale=0.3), np.random.default_rng(5))
    rng.random((3, 2)), rng.random(3)
    grow = 1 + (2 * rng.random(3) - 1) * 0.3
    for i in range(3):
        position = (np.arange(20) - 9.5) / grow[i] + 9.5
        whole = np.floor(position).astype(int)
        part = position - whole
        reflect = [np.abs(19 - np.abs(19 - (whole + step)) % 38) for step in (0, 1)]
        reflect = [np.where(whole + step < 0, -(whole + step), reflect[step]) for step in (0, 1)]
        x = images[i].astype(float)
        rows = x[reflect[0]] * (1 - part)[:, None, None] + x[reflect[1]] * part[:, None, None]
        expected = rows[:, reflect[0]] * (1 - part)[None, :, None] + rows[:, reflect[1]] * part[None, :, None]
        # positions are rounded to 1/256 pixel in each direction and values twice to whole codes
        assert np.abs(got[i] - expected).max() <= 255 / 256 + 1.5


def test_rotation_turns_about_the_middle() -> None:
    """By 90 degrees at most, a picture of rings hardly changes, and a bar does."""
    y, x = np.mgrid[-15.5:16:1, -15.5:16:1]
    rings = np.uint8(127 + 120 * np.cos(np.hypot(y, x) / 3) * (np.hypot(y, x) < 15))
    bar = np.uint8(255 * (np.abs(y) < 3))
    images = np.stack([rings, bar]).repeat(3).reshape(2, 32, 32, 3)
    turned = augment(images, AugmentSettings(shift=0, rotate_degrees=90), np.random.default_rng(0))
    change = np.abs(turned.astype(int) - images)[:, 8:24, 8:24].mean(axis=(1, 2, 3))
    assert change[0] < 5 < 30 < change[1]


def test_brightness_is_a_factor_and_contrast_keeps_the_mean() -> None:
    """A black picture stays black; contrast moves values about the mean."""
    black = np.zeros((4, 5, 5, 3), np.uint8)
    assert not augment(black, AugmentSettings(shift=0, brightness=0.5), np.random.default_rng(0)).any()
    grey = np.clip(np.random.default_rng(0).normal(128, 20, (8, 20, 20, 3)), 0, 255).astype(np.uint8)
    stretched = augment(grey, AugmentSettings(shift=0, contrast=0.5), np.random.default_rng(0))
    assert stretched.mean(axis=(1, 2, 3)) == pytest.approx(grey.mean(axis=(1, 2, 3)), abs=0.2)
    assert np.ptp(stretched.std(axis=(1, 2, 3))) > 3


@pytest.mark.parametrize("field", ["shift", "scale", "brightness", "contrast", "rotate_degrees"])
def test_settings_out_of_range_are_named(field: str) -> None:
    """A range that makes no sense is refused when it is written down, not during training."""
    wrong: dict[str, Any] = {field: -0.1}
    with pytest.raises(ValueError, match=f"expected {field} within"):
        AugmentSettings(**wrong)
