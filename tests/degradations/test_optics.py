"""The optics against plain loops and against what must not change."""

import numpy as np
import numpy.typing as npt
import pytest

from dqmq_deploy.degradations.optics import convolve, disc, line, smooth_field, through_fewer_pixels


def column(*values: float) -> npt.NDArray[np.float32]:
    """One value per picture, ``[n, 1, 1, 1]``."""
    return np.asarray(values, np.float32).reshape(-1, 1, 1, 1)


def test_convolve_equals_a_loop_over_the_kernel() -> None:
    """The Fourier transform gives what shifting and adding gives, with the border repeated outwards."""
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (2, 7, 10, 3)).astype(np.float32)
    kernel = rng.uniform(0, 1, (2, 5, 5, 1)).astype(np.float32)
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    expected = np.zeros_like(pixels)
    for dy in range(5):
        for dx in range(5):
            expected += kernel[:, 4 - dy, None, 4 - dx, None] * padded[:, dy : dy + 7, dx : dx + 10]
    # float32 transforms of sums up to 25 x 255: a few units in the last place
    np.testing.assert_allclose(convolve(pixels, kernel), expected, rtol=1e-5, atol=0.01)


@pytest.mark.parametrize("size", [0.1, 0.6, 1.0, 3.4])
def test_kernels_are_symmetric_and_keep_brightness(size: float) -> None:
    """A disc and a line weigh 1 and look the same turned by half a turn, at any size."""
    for kernel in (disc(column(size, 2.0)), line(column(size, 2.0), column(0.3, 2.5))):
        assert kernel.sum(axis=(1, 2, 3)) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(kernel, kernel[:, ::-1, ::-1], atol=1e-6)


def test_a_flat_picture_passes_every_lens_unchanged() -> None:
    """Blur and resampling are averages: one colour stays that colour up to the border."""
    flat = np.full((1, 17, 23, 3), 140, np.float32)
    np.testing.assert_allclose(convolve(flat, disc(column(3.0))), flat, atol=0.01)
    np.testing.assert_allclose(through_fewer_pixels(flat, 0.3), flat, atol=0.01)


def test_fewer_pixels_at_full_share_is_the_identity() -> None:
    """As many pixels as before lose nothing."""
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 9, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(through_fewer_pixels(pixels, 1.0), pixels, atol=1e-3)


def test_clouds_are_seeded_and_centred() -> None:
    """Fields repeat with the seed, and are neither all thick nor all thin."""
    first, second = (smooth_field(200, 16, 24, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == (200, 16, 24, 1)
    assert float(first.mean()) == pytest.approx(0, abs=0.15)
    assert 0.6 < float(first.std()) < 1.6
