"""Several runs of the same comparison (seeds of training) as one: mean, least and most of every number."""

from collections.abc import Sequence
from typing import Any

from dqmq_deploy.report.adaptivity.sheets import gain
from dqmq_deploy.report.adaptivity.verdict import PAYS

NAMED_BY = (("label",), ("name",), ("group",), ("kind", "severity"))
"""What tells rows of a list apart."""

APART = frozenset({"curves", "gained", "lost"})
"""What has no mean: settings and images are each run's own."""


def spread(same: Sequence[Any]) -> Any:
    """The same figure of several runs; rows and keys that one of them lacks are left out.

    >>> spread([{"ms": 1.0, "name": "a"}, {"ms": 3.0, "name": "a"}])
    {'ms': {'mean': 2.0, 'low': 1.0, 'high': 3.0}, 'name': 'a'}
    """
    first = same[0]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in same):
        return {"mean": sum(same) / len(same), "low": min(same), "high": max(same)}
    if all(isinstance(value, dict) for value in same):
        common = [key for key in first if key not in APART and all(key in value for value in same)]
        return {key: spread([value[key] for value in same]) for key in common}
    if all(isinstance(value, list) for value in same):
        rows = [_rows(value) for value in same]
        common = [key for key in rows[0] if all(key in found for found in rows)]
        return [_named(spread([found[key] for found in rows]), rows[0][key]) for key in common]
    return first if all(value == first for value in same) else list(same)


def _rows(values: list[Any]) -> dict[Any, Any]:
    """Rows by what names them, or by their position."""

    def key(position: int, value: Any) -> Any:
        keys = next((keys for keys in NAMED_BY if isinstance(value, dict) and all(k in value for k in keys)), ())
        return tuple(value[k] for k in keys) or position

    return {key(position, value): value for position, value in enumerate(values)}


def _named(row: Any, first: Any) -> Any:
    """A row under its own name, which may be a number."""
    named = {key: first[key] for keys in NAMED_BY for key in keys if isinstance(first, dict) and key in first}
    return {**row, **named} if named else row


def over_seeds(runs: Sequence[dict[str, Any]]) -> str:
    """The verdicts of several seeds in one sentence; that of a single one as it is."""
    if len(runs) == 1:
        return str(runs[0]["verdict"])
    paying = sum(run["verdict"].startswith(PAYS) for run in runs)
    said = f"{paying} of {len(runs)} seeds say that routing pays on this data"
    found = [_gains(run) for run in runs]
    gains = [at_best for at_best, _ in found if at_best is not None]
    if len(gains) < len(runs):
        return f"{said}; in {len(runs) - len(gains)} it takes longer than the best single configuration."
    told = f"{said}; in the mean time of the best single configuration it gains {_told(gains)}"
    whole = [over_all for _, over_all in found if over_all is not None]
    if len(whole) == len(runs):
        told += f", and over all mean times {_told(whole)} on the best mixture of two configurations"
    return f"{told}."


def _gains(run: dict[str, Any]) -> tuple[float | None, float | None]:
    """What a run gains at the time of the best configuration, and over all mean times."""
    compared = next(iter(run["compared"].values()))
    label = f"time of {compared['best_static']}"
    at = next(at for at in compared["equal_time"] if at["label"] == label)["differences"].get("best_static")
    whole = compared["over_the_range"]
    return None if at is None else at["value"], None if whole is None else whole["value"]


def _told(gains: Sequence[float]) -> str:
    return f"{gain(sum(gains) / len(gains))} points of accuracy ({gain(min(gains))} to {gain(max(gains))})"
