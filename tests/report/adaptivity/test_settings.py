"""What is fitted on some images is judged on others."""

import numpy as np
import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import InputError
from dqmq_deploy.report.adaptivity.settings import Times, as_bundled, by_halves, calibrate, for_all
from dqmq_deploy.routing import Evidence
from tests.report.adaptivity.evidences import TIMES, simulated
from tests.tiny_bundle import PRICES


def test_halves_are_whole_tracks_that_cover_all_images() -> None:
    """Every image is judged once; no track lies on both sides; another seed cuts elsewhere."""
    track = np.repeat(np.arange(30), 7)
    first, second = by_halves(simulated(210, 0), TIMES, track, seed=1)
    assert sorted([*first.rows, *second.rows]) == list(range(210))
    assert not set(track[first.rows]) & set(track[second.rows])
    assert set(by_halves(simulated(210, 0), TIMES, track, seed=2)[0].rows) != set(first.rows)


def test_the_judged_images_have_no_say_in_their_thresholds() -> None:
    """Whatever one half answers, its settings stay: they come from the other."""
    evidence = simulated(400, 3)
    first, second = by_halves(evidence, TIMES, np.arange(400), seed=0)
    changed = evidence.right.copy()
    changed[first.rows] = ~changed[first.rows]
    score = evidence.score.copy()
    score[first.rows] = 0.123
    other = Evidence(evidence.p_right, score, changed)
    again, moved = by_halves(other, TIMES, np.arange(400), seed=0)
    assert again.settings.cascades == first.settings.cascades and again.settings.trials == first.settings.trials
    assert moved.settings.cascades != second.settings.cascades
    assert calibrate(evidence.take(second.rows), TIMES).cascades == first.settings.cascades


def test_trials_do_without_the_estimator() -> None:
    """They never skip; there is one setting for each price."""
    some = simulated(500, 1)
    settings = calibrate(Evidence(some.right.astype(float), some.score, some.right), TIMES)
    assert len(settings.cascades) == len(settings.trials) == len(settings.prices)
    assert not any(cascade.asks_estimator for cascade in settings.trials)
    assert any(cascade.asks_estimator for cascade in settings.cascades)


def test_settings_from_elsewhere_hold_for_all_images() -> None:
    """One fold, all rows."""
    settings = calibrate(simulated(50, 1), TIMES)
    (fold,) = for_all(settings, 8)
    assert fold.rows.tolist() == list(range(8)) and fold.settings is settings


def test_a_bundle_brings_its_own_settings(tiny_bundle: Bundle) -> None:
    """Prices, costs and cascades of its manifest; what it does not know stays."""
    manifest = tiny_bundle.manifest
    evidence = Evidence(np.ones((9, 4)), np.ones((9, 4)), np.ones((9, 4), np.bool_))
    times = Times(np.array([1.0, 2.0, 3.0, 4.0]), 0.1, 0.0)
    folds = by_halves(evidence, times, np.arange(9), seed=0)
    for before, after in zip(folds, as_bundled(folds, manifest), strict=True):
        assert after.settings.prices == PRICES
        assert after.settings.route_cost.tolist() == [entry.cost for entry in manifest.configurations]
        point = manifest.policy("escalate").at(0.05)
        assert after.settings.cascades[1] == manifest.cascade(point)
        assert after.settings.trials == before.settings.trials
        assert after.rows is before.rows


def test_one_track_cannot_be_halved() -> None:
    """It is said so, instead of judging nothing."""
    with pytest.raises(InputError, match="at least two tracks"):
        by_halves(simulated(5, 0), TIMES, np.zeros(5, np.int64), seed=0)
