"""Several runs as one."""

from copy import deepcopy
from typing import Any

import pytest

from dqmq_deploy.report.adaptivity.seeds import over_seeds, spread


def test_rows_are_matched_by_name_and_not_by_place() -> None:
    """Numbers get mean, least and most; rows and keys that one run lacks are left out; words that differ are listed."""
    one = {"rows": [{"name": "a", "ms": 1}, {"name": "b", "ms": 5.0}], "x": 1, "best": "a", "curves": {}}
    two = {
        "rows": [{"name": "b", "ms": 7.0}, {"name": "a", "ms": 2}, {"name": "c", "ms": 0}],
        "best": "b",
        "curves": {},
    }
    assert spread([one, two]) == {
        "rows": [
            {"name": "a", "ms": {"mean": 1.5, "low": 1, "high": 2}},
            {"name": "b", "ms": {"mean": 6.0, "low": 5.0, "high": 7.0}},
        ],
        "best": ["a", "b"],
    }


def test_every_figure_of_a_run_has_its_spread(judged: dict[str, Any]) -> None:
    """Two equal runs spread by nothing; kinds and severities keep their cells."""
    found = spread([judged, judged])
    assert len(found["grid"]) == len(judged["grid"])
    for mine, row in zip(found["grid"], judged["grid"], strict=True):
        value = row["accuracy"]["w2"]
        assert (mine["kind"], mine["severity"]) == (row["kind"], row["severity"])
        assert mine["accuracy"]["w2"] == pytest.approx({"mean": value, "low": value, "high": value})


def test_seeds_come_to_one_sentence(judged: dict[str, Any]) -> None:
    """How many say that it pays, mean and spread of both gains; a single one speaks for itself."""
    other = deepcopy(judged)
    other["verdict"] = "Routing pays on this data: for a test."
    other["compared"]["kernels"]["over_the_range"]["value"] += 0.01
    assert over_seeds([judged]) == judged["verdict"]
    said = over_seeds([judged, other])
    assert said.startswith("1 of 2 seeds say that routing pays on this data; in the mean time of the best single")
    assert "over all mean times" in said and said.endswith("on the best mixture of two configurations.")
    late = deepcopy(judged)
    for at in late["compared"]["kernels"]["equal_time"]:
        at["differences"] = {}
    assert over_seeds([judged, late]).endswith("in 1 it takes longer than the best single configuration.")
