"""Intervals by drawing images or tracks again."""

import numpy as np
import numpy.typing as npt
import pytest

from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap, told, tracks
from dqmq_deploy.report.adaptivity.ways import Point, Way

Floats = npt.NDArray[np.float64]


def interval(values: Floats, track: npt.NDArray[np.int64], seed: int = 1) -> dict[str, float]:
    """Mean of ``values`` with its interval."""
    return told(values.mean(), Bootstrap(track, seed).means(values))


def test_frames_of_a_track_belong_together() -> None:
    """``TRACK_FRAME`` in one class folder is a track; anything else stands for itself."""
    names = ["a/00001_00000.png", "a/00001_00001.png", "b/00001_00000.png", "b/photo.png", "b/photo2.png"]
    assert tracks(names).tolist() == [0, 0, 1, 2, 3]


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """The standard error of a share of 2,000 independent images."""
    values = (np.random.default_rng(0).random(2000) < 0.3).astype(float)
    found = interval(values, np.arange(2000))
    error = 1.96 * np.sqrt(0.3 * 0.7 / 2000)
    assert found["value"] == values.mean()
    assert found["high"] - found["low"] == pytest.approx(2 * error, rel=0.12)


def test_tracks_of_equal_frames_are_as_unsure_as_their_number() -> None:
    """Thirty copies of an image teach nothing that one does not."""
    values = (np.random.default_rng(0).random(200) < 0.3).astype(float)
    alone = interval(values, np.arange(200))
    copies = interval(np.repeat(values, 30), np.repeat(np.arange(200), 30))
    assert copies == pytest.approx(alone, rel=1e-5)


def test_differences_are_paired() -> None:
    """Two that err on the same images differ surely, however unsure each is."""
    base = (np.random.default_rng(0).random(1000) < 0.5).astype(float)
    better = base.copy()
    better[np.flatnonzero(base == 0)[:20]] = 1
    draws = Bootstrap(np.arange(1000), seed=2)
    assert told(0.02, draws.means(better) - draws.means(base))["low"] > 0.01


def test_a_part_of_the_images_has_its_own_mean() -> None:
    """Only those that are chosen count, in every draw."""
    values = np.array([1.0, 1.0, 0.0, 0.0, 5.0])
    chosen = np.array([True, True, True, True, False])
    found = Bootstrap(np.arange(5), seed=0, draws=4000).means(values, chosen)
    assert found.mean() == pytest.approx(0.5, abs=0.03) and found.max() <= 1.0


def test_the_time_that_a_way_takes_is_drawn_with_it() -> None:
    """Two settings a draw apart: accuracy at a mean time is read from the line between them, anew in every draw."""
    rng = np.random.default_rng(0)
    again = (rng.random(500) < 0.4).astype(float)
    slow = Point(np.ones(500), 1 + 3 * again)
    way = Way("x", (Point(np.zeros(500), np.ones(500)), slow))
    draws = Bootstrap(np.arange(500), seed=1)
    found = draws.accuracy_at(way, 1.6)
    assert found == pytest.approx(0.6 / (3 * draws.means(again)), rel=1e-4)
    assert way.at(1.6) is not None and found.mean() == pytest.approx(0.6 / (3 * again.mean()), abs=0.01)
