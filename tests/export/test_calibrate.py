"""The defaults of a bundle, and the note where adapting does not pay."""

from dataclasses import replace

import numpy as np
import pytest

from dqmq_deploy.bundle.manifest import PolicyEntry, PricePoint
from dqmq_deploy.export.calibrate import TOLERANCE, calibrate, default_price
from dqmq_deploy.export.curve import Expenses
from dqmq_deploy.routing import Evidence

EXPENSES = Expenses(["w2", "w4", "w8"], [100, 300, 1000], [0.3, 0.5, 1.0], 0.02)


def held_out(images: int = 4000, *, score_knows: bool, estimator_knows: bool) -> Evidence:
    """Images that each configuration up to some difficulty gets right; who knows of it is told."""
    rng = np.random.default_rng(0)
    hard = rng.random(images)
    right = hard[:, None] < np.array([0.80, 0.88, 0.95])
    blind = rng.random((images, 3))
    known = np.clip(1 - hard[:, None] + np.array([0.0, 0.05, 0.1]), 0, 1)
    p_right = np.clip(np.array([0.80, 0.88, 0.95]) - hard[:, None] + 0.5, 0, 1) if estimator_knows else blind
    return Evidence(p_right, known if score_knows else blind, right)


def test_a_score_that_knows_makes_escalation_the_default() -> None:
    """And that pays: no note."""
    found = calibrate(held_out(score_knows=True, estimator_knows=False), EXPENSES)
    assert [policy.name for policy in found.policies] == ["escalate", "route"]
    assert (found.default_policy, found.notes) == ("escalate", [])
    point = found.policies[0].at(found.default_price)
    assert point.price == found.default_price
    assert point.escalated and point.accuracy > 0.93 and point.latency_ms < 0.7


def test_an_estimator_that_alone_knows_makes_routing_the_default() -> None:
    """Scores are noise here, and skipping alone can send an image to one place only."""
    evidence = held_out(score_knows=False, estimator_knows=False)
    better = np.asarray(evidence.right, np.float64) * 0.5 + 0.25  # it knows all
    found = calibrate(replace(evidence, p_right=better), EXPENSES)
    assert (found.default_policy, found.notes) == ("route", [])


def test_where_nobody_knows_the_simpler_way_is_the_default_and_a_note_says_so() -> None:
    """One line: what was compared, on how many images, and what to try instead."""
    found = calibrate(held_out(score_knows=False, estimator_knows=False), EXPENSES)
    assert found.default_policy == "escalate"
    pays, adapts = found.notes
    assert "\n" not in pays + adapts
    assert pays.startswith("adapting does not surely pay on 4000 held-out images: policy 'escalate' differs by ")
    assert "95 % interval" in pays
    assert adapts.endswith("all images go to configuration 'w8' alone; a higher one adapts")


def test_noise_seldom_looks_like_a_gain() -> None:
    """Of sets of images on which neither score nor estimator knows anything, at most one in twenty goes unnoted."""
    unnoted = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        right = rng.random((300, 3)) < np.array([0.80, 0.88, 0.95])
        found = calibrate(Evidence(rng.random((300, 3)), rng.random((300, 3)), right), EXPENSES)
        unnoted += not any("does not surely pay" in note for note in found.notes)
    assert unnoted <= 2


def test_a_single_configuration_has_nothing_to_choose() -> None:
    """Escalation that never escalates; the note names the one."""
    right = np.array([[True], [False], [True]])
    evidence = Evidence(np.full((3, 1), 0.5), np.full((3, 1), 0.5), right)
    found = calibrate(evidence, Expenses(["w8"], [1000], [1.0], 0.02))
    assert (found.default_policy, found.default_price) == ("escalate", 0.0)
    assert "does not surely pay on 3 held-out images" in found.notes[0]


def test_the_default_price_is_the_highest_that_gives_up_little() -> None:
    """Within 0.1 points of the best configuration or, where no point comes near it, of the best on the curve."""
    accuracy = {0.0: 0.95, 0.1: 0.951, 0.2: 0.9495, 0.4: 0.9485, 0.8: 0.9493}
    points = [PricePoint(price, right, 0.0, 0.0, {}) for price, right in accuracy.items()]
    assert default_price(PolicyEntry("route", points), best_static=0.96) == 0.1
    assert default_price(PolicyEntry("route", points[:4]), best_static=0.95) == 0.2
    assert default_price(PolicyEntry("route", points), best_static=0.95) == 0.8
    assert pytest.approx(0.001) == TOLERANCE
