"""Degradations: seeded, shape-keeping, worse with every severity, and the same at every size."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dqmq_deploy.degradations.kinds import (
    AS_IT_IS,
    FOREIGN_KINDS,
    KINDS,
    PROTOCOL_KINDS,
    SEVERITIES,
    TRAINING_KINDS,
    UNSEEN_KINDS,
    degrade,
    mixed,
)

Pixels = npt.NDArray[np.uint8]


def pictures(count: int, size: int = 32) -> Pixels:
    """Round signs with a number on them, in front of something uneven, uint8 ``[count, size, size, 3]``."""
    rng = np.random.default_rng(7)
    found = []
    for i in range(count):
        coarse = rng.integers(20, 160, (5, 5, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((128, 128), Image.Resampling.BILINEAR)
        draw = ImageDraw.Draw(image)
        draw.ellipse((16, 16, 112, 112), fill=(225, 225, 220), outline=(190, 30, 30), width=14)
        draw.text((40, 40), str(10 * (i + 1)), fill=(20, 20, 20), font_size=46)
        found.append(np.asarray(image.resize((size, size), Image.Resampling.BOX)))
    return np.stack(found)


def damage(images: Pixels, kind: str, severity: int) -> float:
    """Mean absolute difference that a degradation makes, in codes."""
    spoilt = degrade(images, kind, severity, np.random.default_rng(1))
    return float(np.abs(spoilt.astype(int) - images).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_same_pixels_and_leaves_the_input_alone(kind: str) -> None:
    """A degradation is a function of images, severity and generator state."""
    images = pictures(5)
    before = images.copy()
    severity = [1, 2, 3, 4, 5]
    first, second = (degrade(images, kind, severity, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_grows_with_severity(kind: str) -> None:
    """Each severity changes the pictures more than the one before; the first does so, too."""
    images = pictures(16)
    amounts = [damage(images, kind, severity) for severity in SEVERITIES]
    assert amounts[0] > 0
    assert all(milder < worse for milder, worse in pairwise(amounts)), amounts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 7), (33, 31), (64, 48)])
def test_odd_sizes_keep_shape_and_type(kind: str, shape: tuple[int, int]) -> None:
    """Any height and width goes through, with uint8 coming out."""
    images = np.random.default_rng(0).integers(0, 256, (5, *shape, 3), dtype=np.uint8)
    spoilt = degrade(images, kind, [5, 4, 3, 2, 1], np.random.default_rng(0))
    assert spoilt.shape == images.shape
    assert spoilt.dtype == np.uint8


@pytest.mark.parametrize("kind", KINDS)
def test_black_and_white_pictures_stay_within_range(kind: str) -> None:
    """Extremes neither wrap around nor divide by zero: what was white is never darker than what was black."""
    images = np.stack([np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)])
    for severity in SEVERITIES:
        spoilt = degrade(images, kind, severity, np.random.default_rng(2))
        assert spoilt[1].mean() >= spoilt[0].mean() or kind in ("fog", "dead_pixels")


@pytest.mark.parametrize(
    "kind",
    [
        "blur", "motion", "low_resolution", "fog", "contrast", "over_exposure", "dirt", "glare", "banding",
        "zoom_blur", "blocks", "sticker", "interference", "shadow",
    ],
)  # fmt: skip
def test_a_severity_means_the_same_at_every_size(kind: str) -> None:
    """Lengths are shares of the picture: four times the size gives about the same damage."""
    small, large = (damage(pictures(12, size), kind, 4) for size in (32, 128))
    # the small picture has less detail to lose, and its kernels are coarser
    assert large == pytest.approx(small, rel=0.35)


def test_severities_of_a_batch_are_each_images_own() -> None:
    """Without randomness, an image comes out the same alone and in a batch of other severities."""
    images = pictures(5)
    together = degrade(images, "contrast", [5, 1, 4, 2, 3], np.random.default_rng(0))
    alone = [degrade(images[i : i + 1], "contrast", s, np.random.default_rng(0)) for i, s in enumerate([5, 1, 4, 2, 3])]
    assert np.array_equal(together, np.concatenate(alone))


def test_no_images_are_no_trouble() -> None:
    """An empty batch gives an empty batch."""
    empty = np.empty((0, 8, 8, 3), np.uint8)
    assert degrade(empty, "blur", 3, np.random.default_rng(0)).shape == empty.shape
    images, kind, severity = mixed(empty, np.random.default_rng(0))
    assert (images.shape, kind.shape, severity.shape) == (empty.shape, (0,), (0,))


@given(
    count=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    share=st.floats(0, 1),
    kinds=st.lists(st.sampled_from(KINDS), unique=True),
    severities=st.lists(st.sampled_from(SEVERITIES), min_size=1, unique=True),
)
@settings(max_examples=40, deadline=None)
def test_mixed_touches_what_it_says_and_nothing_else(
    count: int, seed: int, share: float, kinds: list[str], severities: list[int]
) -> None:
    """Images marked as they are keep every pixel; the others carry an allowed kind and severity; seeds repeat."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 9, 10, 3), dtype=np.uint8)
    spoilt, kind, severity = mixed(images, np.random.default_rng(seed), share, kinds, severities)
    untouched = kind == AS_IT_IS
    assert np.array_equal(spoilt[untouched], images[untouched])
    assert np.array_equal(severity == 0, untouched)
    assert {KINDS[index] for index in kind[~untouched]} <= set(kinds)
    assert set(severity[~untouched].tolist()) <= set(severities)
    again, kind_again, severity_again = mixed(images, np.random.default_rng(seed), share, kinds, severities)
    assert np.array_equal(spoilt, again)
    assert np.array_equal(kind, kind_again)
    assert np.array_equal(severity, severity_again)


def test_mixed_degrades_the_share_asked_for_evenly() -> None:
    """Half of many images, each kind and severity about equally often."""
    images = np.zeros((4000, 2, 2, 3), np.uint8)
    _, kind, severity = mixed(images, np.random.default_rng(0), 0.5)
    degraded = kind != AS_IT_IS
    assert degraded.mean() == pytest.approx(0.5, abs=0.03)
    assert set(kind[degraded]) == {KINDS.index(name) for name in TRAINING_KINDS}
    assert np.bincount(kind[degraded]) == pytest.approx(np.full(10, 200), abs=60)
    assert np.bincount(severity[degraded])[1:] == pytest.approx(np.full(5, 400), abs=80)
    assert (mixed(images, np.random.default_rng(0), 0.0)[1] == AS_IT_IS).all()
    assert (mixed(images, np.random.default_rng(0), 1.0)[1] != AS_IT_IS).all()


@pytest.mark.parametrize("severity", [0, 6, -1, [1, 2, 9]])
def test_wrong_severity_is_named(severity: int | list[int]) -> None:
    """Severities outside 1 to 5 are refused."""
    with pytest.raises(ValueError, match="severities 1 to 5"):
        degrade(pictures(3), "blur", severity, np.random.default_rng(0))


def test_wrong_kind_or_images_are_named() -> None:
    """The message lists the kinds, or says what came instead of images."""
    with pytest.raises(ValueError, match=r"unknown degradation 'hail'.*noise"):
        degrade(pictures(1), "hail", 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="unknown degradation 'hail'"):
        mixed(pictures(1), np.random.default_rng(0), kinds=["hail"])
    with pytest.raises(ValueError, match="got float64"):
        degrade(np.zeros((1, 4, 4, 3)), "blur", 1, np.random.default_rng(0))  # type: ignore[arg-type]


def test_the_protocol_has_kinds_that_training_never_sees() -> None:
    """Ten kinds, four of them unseen, none of them foreign; no kind is on both sides."""
    assert len(set(PROTOCOL_KINDS)) == 10 and set(PROTOCOL_KINDS) <= set(KINDS)
    assert len(set(PROTOCOL_KINDS) & set(UNSEEN_KINDS)) == 4
    assert not set(TRAINING_KINDS) & set(UNSEEN_KINDS)
    assert len(FOREIGN_KINDS) == 12 and set(FOREIGN_KINDS) < set(UNSEEN_KINDS) - set(PROTOCOL_KINDS)
