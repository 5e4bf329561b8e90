"""Ways at equal mean time, differences with intervals, and the sentence that it comes to."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap
from dqmq_deploy.report.adaptivity.compare import ADAPTIVE, CASCADE, ROUTER, TRIAL, Judged, compare, rivals
from dqmq_deploy.report.adaptivity.settings import Times, by_halves, calibrate, for_all
from dqmq_deploy.report.adaptivity.verdict import verdict
from dqmq_deploy.routing import Evidence
from tests.report.adaptivity.evidences import TIMES, shuffled, simulated

IMAGES = 4000


def compared(judged: Evidence, held: Evidence, default: str, times: Times = TIMES) -> dict[str, Any]:
    """Judged on some images, fitted on others."""
    folds = for_all(calibrate(held, times), IMAGES)
    return compare(rivals(Judged(judged, ("cheap", "dear"), np.arange(IMAGES)), times, folds, default), _fresh())


def _fresh() -> Bootstrap:
    return Bootstrap(np.arange(IMAGES), seed=0, draws=300)


@pytest.fixture(scope="module")
def telling() -> dict[str, Any]:
    """Scores and estimator know which images are hard."""
    return compared(simulated(IMAGES, 1), simulated(IMAGES, 2), TRIAL)


def at(found: dict[str, Any], label: str) -> dict[str, Any]:
    """The row of one mean time."""
    row: dict[str, Any] = next(row for row in found["equal_time"] if row["label"] == label)
    return row


def test_ways_are_told_at_the_time_of_every_configuration_and_between(telling: dict[str, Any]) -> None:
    """Only those that are fast enough; none takes longer than told; every accuracy lies in its interval."""
    labels = ["time of cheap", "0.6 x the slowest", "0.8 x the slowest", "time of dear"]
    assert [row["label"] for row in telling["equal_time"]] == labels
    assert [row["ms"] for row in telling["equal_time"]] == pytest.approx([1.0, 1.8, 2.4, 3.0])
    assert [row["name"] for row in at(telling, "time of cheap")["rows"]] == ["cheap", "best mixture of two"]
    assert {*ADAPTIVE, "cheap", "dear"} < {row["name"] for row in at(telling, "time of dear")["rows"]}
    for found in telling["equal_time"]:
        for row in found["rows"]:
            assert row["ms"] <= found["ms"] * (1 + 1e-9)
            assert row["low"] <= row["accuracy"] <= row["high"]


def test_differences_are_those_of_the_rows(telling: dict[str, Any]) -> None:
    """Ours minus each rival at the same time; the oracle's gap is closed by their ratio."""
    found = at(telling, "time of dear")
    rows = {row["name"]: row["accuracy"] for row in found["rows"]}
    ours, differences = rows[TRIAL], found["differences"]
    assert found["best_static"] == "dear"
    assert differences["best_static"]["value"] == pytest.approx(ours - rows["dear"])
    assert differences["mixture"]["value"] == pytest.approx(ours - rows["best mixture of two"])
    assert differences["random"]["value"] == pytest.approx(ours - rows["random, same mix"])
    gap = telling["oracle"]["accuracy"] - rows["dear"]
    assert differences["gap_closed"]["value"] == pytest.approx((ours - rows["dear"]) / gap)
    assert at(telling, "0.6 x the slowest")["best_static"] == "cheap"


def test_choosing_pays_where_scores_tell(telling: dict[str, Any]) -> None:
    """Better than random and than mixtures with the whole interval, and the verdict says so."""
    assert at(telling, "0.8 x the slowest")["differences"]["random"]["low"] > 0.01
    assert telling["over_the_range"]["low"] > 0
    assert verdict(telling).startswith("Routing pays on this data: ")
    assert verdict(telling).count(".\n") == 0 and verdict(telling).endswith(".")


@pytest.mark.parametrize("default", ADAPTIVE)
def test_choosing_does_not_pay_where_nothing_tells(default: str) -> None:
    """Shuffled scores and estimates know nothing: no way beats the best mixture."""
    found = compared(shuffled(simulated(IMAGES, 1), 5), shuffled(simulated(IMAGES, 2), 6), default)
    assert found["over_the_range"]["low"] < 0
    assert verdict(found).startswith("Routing does not pay on this data: ")


def test_a_perfect_estimator_closes_the_gap() -> None:
    """It knows who is right: the router reaches the oracle, in less than the time of the best configuration."""
    some = simulated(IMAGES, 1)
    knowing = Evidence(some.right.astype(float), some.score, some.right)
    found = compared(knowing, knowing, ROUTER, replace(TIMES, estimator=0.0, dispatch=0.0))
    closed = at(found, "time of dear")["differences"]["gap_closed"]
    assert closed == pytest.approx({"value": 1.0, "low": 1.0, "high": 1.0}, abs=1e-5)


def test_a_way_that_takes_longer_than_the_best_is_told_so() -> None:
    """An estimator as slow as the best configuration cannot pay."""
    found = compared(simulated(IMAGES, 1), simulated(IMAGES, 2), ROUTER, replace(TIMES, estimator=5.0))
    assert found["over_the_range"] is None
    assert "takes longer than dear (3.00 ms)" in verdict(found)


def test_halves_of_the_images_judge_each_other() -> None:
    """Without other images the same comes out, but for chance."""
    evidence, track = simulated(IMAGES, 1), np.arange(IMAGES)
    folds = by_halves(evidence, TIMES, track, seed=0)
    found = compare(rivals(Judged(evidence, ("cheap", "dear"), track), TIMES, folds, CASCADE), _fresh())
    apart = compared(evidence, simulated(IMAGES, 2), CASCADE)
    both = [at(each, "time of dear")["differences"]["best_static"]["value"] for each in (found, apart)]
    assert both[0] == pytest.approx(both[1], abs=0.01)


def verdict_of(value: float, low: float, high: float, whole: tuple[float, float, float]) -> str:
    """The sentence for these differences."""
    keys = ("value", "low", "high")
    differences = {"best_static": dict(zip(keys, (value, low, high), strict=True))}
    return verdict(
        {
            "default": "x",
            "best_static": "dear",
            "equal_time": [{"label": "time of dear", "ms": 2.0, "differences": differences}],
            "over_the_range": {"from_ms": 1.0, "to_ms": 2.0, **dict(zip(keys, whole, strict=True))},
        }
    )


def test_the_measurement_chooses_the_sentence() -> None:
    """Surely better at the same time; only against mixtures; by chance; surely worse."""
    none = (0.0, -0.01, 0.01)
    assert verdict_of(0.01, 0.005, 0.015, none) == (
        "Routing pays on this data: in the mean time of dear (2.00 ms), the best single configuration, x gains "
        "+1.00 points of accuracy (95 % interval +0.50 to +1.50)."
    )
    assert "x gains +2.00 points of accuracy (95 % interval +1.00 to +3.00) on the best mixture" in verdict_of(
        *none, (0.02, 0.01, 0.03)
    )
    assert verdict_of(*none, none).endswith("(95 % interval \u22121.00 to +1.00), which may be chance.")
    assert verdict_of(-0.02, -0.03, -0.01, none).endswith("(95 % interval \u22123.00 to \u22121.00).")
