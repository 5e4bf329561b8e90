"""The tables of what was found, of one run or of several: each cell a number that knows how it is written.

Of one run, a difference has its 95 % interval in parentheses. Over several runs (seeds of training) every cell gives
the mean, and in parentheses the least and the most.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dqmq_deploy.report.adaptivity.timing import KERNELS, STOCK
from dqmq_deploy.report.numbers import NOTHING, digits3, times
from dqmq_deploy.report.tables import Table

Write = Callable[[float], str]
Cell = float | None
Interval = tuple[float, float] | None

IN_WORDS = {KERNELS: "with kernels", STOCK: "stock onnxruntime"}


@dataclass(frozen=True)
class Column:
    """A head, how numbers below it are written, and the interval of each row's number, where it has one."""

    head: str
    write: Write
    cells: dict[str, Cell]  # {row: number}
    intervals: dict[str, Interval] | None = None


@dataclass(frozen=True)
class Said:
    """A number in a note, under a name by which that of other runs is found."""

    name: str
    write: Write
    value: float


@dataclass(frozen=True)
class Sheet:
    """A table of numbers; rows are those of the first column."""

    title: str
    corner: str
    columns: tuple[Column, ...]
    note: tuple[str | Said, ...] = ()
    strong: frozenset[str] = frozenset()


def share(value: float) -> str:
    """A share of images, in percent.

    >>> share(0.98765)
    '98.77 %'
    """
    return f"{100 * value:.2f} %"


def gain(value: float) -> str:
    """A difference of shares, in points.

    >>> gain(-0.00123)
    '\u22120.12'
    """
    return f"{100 * value:+.2f}".replace("-", "\u2212").replace("\u22120.00", "+0.00")


def closed(value: float) -> str:
    """A part of a gap.

    >>> closed(0.256)
    '26 %'
    """
    return f"{100 * value:.0f} %".replace("-", "\u2212")


def count(value: float) -> str:
    """A number of images."""
    return f"{value:,.0f}"


def sheets(run: dict[str, Any]) -> list[Sheet]:
    """Every table of one run."""
    found = [_times(run)]
    for label, compared in run["compared"].items():
        where = IN_WORDS[label] if len(run["compared"]) > 1 else ""
        found += [_equal_time(compared, where), _differences(compared, where)]
    return [*found, _groups(run), _kinds(run), _grid(run)]


def as_tables(runs: Sequence[dict[str, Any]]) -> list[Table]:
    """The tables of one run, or of several side by side."""
    return [_table(same) for same in zip(*(sheets(run) for run in runs), strict=True)]


def _table(same: Sequence[Sheet]) -> Table:
    first = same[0]
    heads: list[str] = []
    written: list[dict[str, str]] = []
    rows = [row for row in first.columns[0].cells if all(row in sheet.columns[0].cells for sheet in same)]
    for column in first.columns:
        twins = [other for sheet in same for other in sheet.columns if other.head == column.head]
        if len(twins) < len(same):
            continue
        heads.append(column.head)
        written.append({row: _written(row, twins) for row in rows})
    note = "".join(piece if isinstance(piece, str) else _said(piece, same) for piece in first.note)
    if len(same) > 1:
        note = f"Over {len(same)} runs: mean (least to most). {note}".strip()
    return Table(
        first.title,
        (first.corner, *heads),
        tuple((row, *(cells[row] for cells in written)) for row in rows),
        note,
        first.strong,
    )


def _said(piece: Said, same: Sequence[Sheet]) -> str:
    found = [other for sheet in same for other in sheet.note if isinstance(other, Said) and other.name == piece.name]
    return _over_runs(piece.write, [other.value for other in found])


def _written(row: str, twins: Sequence[Column]) -> str:
    write = twins[0].write
    known = [value for twin in twins if (value := twin.cells.get(row)) is not None]
    if len(known) < len(twins):
        return NOTHING
    interval = (twins[0].intervals or {}).get(row)
    if len(known) > 1 or interval is None:
        return _over_runs(write, known)
    return f"{write(known[0])} ({write(interval[0])} to {write(interval[1])})"


def _over_runs(write: Write, values: Sequence[float]) -> str:
    """The mean, with the least and the most where they differ."""
    if min(values) == max(values):
        return write(values[0])
    return f"{write(float(np.mean(values)))} ({write(min(values))} to {write(max(values))})"


def _times(run: dict[str, Any]) -> Sheet:
    columns = []
    for label, found in run["times"].items():
        cells: dict[str, Cell] = {**found["graph_ms"], "estimator": found["estimator_ms"]}
        columns.append(Column(f"{IN_WORDS[label]}, ms", digits3, {**cells, "dispatcher": found["dispatch_ms"]}))
    if len(run["times"]) > 1:
        columns.append(Column("stock over kernels", times, dict(run["stock_over_kernels"])))
    return Sheet(
        "Mean time of one image",
        "",
        tuple(columns),
        (
            "One image at a time, one thread, all candidates in turn; each time is that of the slowest configuration "
            "times the median of ratios inside a round. The dispatcher's is what it takes beyond the graphs that it "
            "runs.",
        ),
    )


def _equal_time(compared: dict[str, Any], where: str) -> Sheet:
    reached = {row["name"] for at in compared["equal_time"] for row in at["rows"]}
    every = [*(row["name"] for row in compared["statics"]), *compared["curves"]]
    names = [name for name in every if name in reached]
    columns = []
    widest = 0.0
    for at in compared["equal_time"]:
        found = {row["name"]: row for row in at["rows"]}
        widest = max(widest, *((row["high"] - row["low"]) / 2 for row in at["rows"])) if found else widest
        cells: dict[str, Cell] = {name: found[name]["accuracy"] if name in found else None for name in names}
        columns.append(Column(at["label"], share, cells))
    oracle = compared["oracle"]
    mean_times: list[str | Said] = []
    for at in compared["equal_time"]:
        mean_times += [f"{', ' if mean_times else ''}{at['label']} ", Said(at["label"], digits3, at["ms"]), " ms"]
    return Sheet(
        _titled("Accuracy at equal mean time", where),
        "",
        tuple(columns),
        (
            "Mean times: ",
            *mean_times,
            ". Between two settings of a way images are split at random; a way that takes "
            "longer at its fastest is left out. The oracle (fastest right configuration) reaches ",
            Said("oracle", share, oracle["accuracy"]),
            " in ",
            Said("oracle, ms", digits3, oracle["ms"]),
            f" ms. 95 % intervals of a cell are at most \u00b1{100 * widest:.2f} points.",
        ),
        frozenset({compared["default"]}),
    )


def _differences(compared: dict[str, Any], where: str) -> Sheet:
    heads = {
        "best_static": ("to best configuration", gain),
        "mixture": ("to best mixture", gain),
        "random": ("to random", gain),
        "gap_closed": ("of the oracle's gap", closed),
    }
    rows = {at["label"]: at["differences"] for at in compared["equal_time"]}
    if compared["over_the_range"] is not None:
        rows["mean over all times"] = {"mixture": compared["over_the_range"]}
    columns = []
    for key, (head, write) in heads.items():
        cells: dict[str, Cell] = {row: found[key]["value"] if key in found else None for row, found in rows.items()}
        intervals: dict[str, Interval] = {
            row: (found[key]["low"], found[key]["high"]) if key in found else None for row, found in rows.items()
        }
        columns.append(Column(head, write, cells, intervals))
    return Sheet(
        _titled(f"What '{compared['default']}' gains at equal mean time", where),
        "points",
        tuple(columns),
        (
            "The best configuration is the most accurate that takes no longer; the oracle's gap is the accuracy that "
            "it is short of the oracle. 95 % intervals are paired, from drawing tracks of images again; the times that "
            "a way takes are drawn with them.",
        ),
        frozenset({f"time of {compared['best_static']}"}),
    )


def _titled(title: str, where: str) -> str:
    return f"{title}, {where}" if where else title


def _groups(run: dict[str, Any]) -> Sheet:
    rows = {group["group"]: group for group in run["groups"]}
    return Sheet(
        "Kinds seen in training, and others",
        "",
        (
            Column("images", count, {name: row["images"] for name, row in rows.items()}),
            *_accuracies(run, rows),
            Column(
                "adaptive to best, points",
                gain,
                {name: row["difference"]["value"] for name, row in rows.items()},
                {name: (row["difference"]["low"], row["difference"]["high"]) for name, row in rows.items()},
            ),
        ),
        _setting(run),
    )


def _setting(run: dict[str, Any]) -> tuple[str | Said, ...]:
    """At which of its settings the adaptive whole is told."""
    best = _first(run)["best_static"]
    in_time = run["adaptive_ms"] <= _first(run)["best_static_ms"]
    which = "slowest setting that is no slower" if in_time else "fastest setting, which is slower"
    ours = Said("adaptive, ms", digits3, run["adaptive_ms"])
    return f"Adaptive: at its {which} than the best configuration, {best}: ", ours, " ms."


def _kinds(run: dict[str, Any]) -> Sheet:
    rows = {_named(row): row for row in run["grid"] if row["severity"] == 0}
    return Sheet("By kind of degradation", "", _counted(run, rows), ("Kinds with a star are not used in training.",))


def _grid(run: dict[str, Any]) -> Sheet:
    rows = {f"{_named(row)} {row['severity']}": row for row in run["grid"] if row["severity"] > 0}
    return Sheet("By kind and severity", "", _counted(run, rows))


def _counted(run: dict[str, Any], rows: dict[str, dict[str, Any]]) -> tuple[Column, ...]:
    return (
        Column("images", count, {name: row["images"] for name, row in rows.items()}),
        *_accuracies(run, rows),
    )


def _accuracies(run: dict[str, Any], rows: dict[str, dict[str, Any]]) -> list[Column]:
    ways = [*run["configurations"], "adaptive"]
    return [Column(way, share, {name: row["accuracy"][way] for name, row in rows.items()}) for way in ways]


def _named(row: dict[str, Any]) -> str:
    return str(row["kind"]).replace("_", " ") + ("*" if row["unseen"] else "")


def _first(run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(run["compared"].values()))
    return found
