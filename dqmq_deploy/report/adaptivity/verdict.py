"""The whole comparison in one plain sentence, chosen by the measurement."""

from typing import Any

from dqmq_deploy.report.adaptivity.sheets import gain
from dqmq_deploy.report.numbers import ms

PAYS, DOES_NOT = "Routing pays on this data: ", "Routing does not pay on this data: "


def verdict(compared: dict[str, Any]) -> str:
    """Whether choosing image by image pays, by how much, and how sure that is; of what ``compare`` found.

    It pays where, in the time of the best configuration, it is surely more accurate; or else where over all mean times
    it is surely more accurate than the best mixture of two configurations that does not look at the image.
    """
    ours, best = compared["default"], compared["best_static"]
    row = next(row for row in compared["equal_time"] if row["label"] == f"time of {best}")
    found, whole = row["differences"].get("best_static"), compared["over_the_range"]
    if found is None:
        alone = f"{best} ({ms(row['ms'], unit=True)}), the best single configuration"
        return f"{DOES_NOT}even the fastest setting of {ours} takes longer than {alone}."
    at = f"in the mean time of {best} ({ms(row['ms'], unit=True)}), the best single configuration, {ours} gains"
    if found["low"] > 0:
        return f"{PAYS}{at} {_points(found)}."
    if whole is not None and whole["low"] > 0:
        return (
            f"{PAYS}over mean times from {ms(whole['from_ms'])} to {ms(whole['to_ms'], unit=True)}, {ours} gains "
            f"{_points(whole)} on the best mixture of two configurations that does not look at the image; but {at} "
            f"{_points(found)}."
        )
    return f"{DOES_NOT}{at} {_points(found)}{'' if found['high'] < 0 else ', which may be chance'}."


def _points(found: dict[str, float]) -> str:
    """A difference in points with its interval."""
    value, low, high = (gain(found[key]) for key in ("value", "low", "high"))
    return f"{value} points of accuracy (95 % interval {low} to {high})"
