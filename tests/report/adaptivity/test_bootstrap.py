"""Intervals by drawing images or tracks again."""

import numpy as np
import pytest

from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap, tracks


def test_frames_of_a_track_belong_together() -> None:
    """``TRACK_FRAME`` in one class folder is a track; anything else stands for itself."""
    names = ["a/00001_00000.png", "a/00001_00001.png", "b/00001_00000.png", "b/photo.png", "b/photo2.png"]
    assert tracks(names).tolist() == [0, 0, 1, 2, 3]


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """The standard error of a share of 2,000 independent images."""
    values = (np.random.default_rng(0).random(2000) < 0.3).astype(float)
    found = Bootstrap(np.arange(2000), seed=1).interval(values)
    error = 1.96 * np.sqrt(0.3 * 0.7 / 2000)
    assert found["difference"] == values.mean()
    assert found["high"] - found["low"] == pytest.approx(2 * error, rel=0.12)


def test_tracks_of_equal_frames_are_as_unsure_as_their_number() -> None:
    """Thirty copies of an image teach nothing that one does not."""
    values = (np.random.default_rng(0).random(200) < 0.3).astype(float)
    alone = Bootstrap(np.arange(200), seed=1).interval(values)
    copies = Bootstrap(np.repeat(np.arange(200), 30), seed=1).interval(np.repeat(values, 30))
    assert copies == pytest.approx(alone)


def test_differences_are_paired() -> None:
    """Two that err on the same images differ surely, however unsure each is."""
    base = (np.random.default_rng(0).random(1000) < 0.5).astype(float)
    better = base.copy()
    better[np.flatnonzero(base == 0)[:20]] = 1
    found = Bootstrap(np.arange(1000), seed=2).interval(better - base)
    assert found["low"] > 0.01
    ratio = Bootstrap(np.arange(1000), seed=2).interval_of(lambda mean: mean(better) / mean(base))
    assert ratio["low"] > 1
