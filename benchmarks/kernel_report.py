"""What ``benchmarks/kernels.py`` found, as Markdown tables."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.network_times import CHEAPEST
from benchmarks.paired import Spread, gmacs, speedup
from benchmarks.requirements import memory_share, peak_share, promises
from dqmq_deploy.kernels import SWITCH
from dqmq_deploy.report.environment import machine_line
from dqmq_deploy.report.numbers import NOTHING, digits3, ms

OPPONENTS = ("ort-fp32", "ort-int8", "ort-int8-saturating", "openvino-fp32", "openvino-int8")
SIDES = {"kernels": "kernels", "stock": "stock onnxruntime", "registered": "registered"}
"""How a graph of ours runs, in names of candidates and in words."""

OTHERS_LIMIT = 0.1
"""Cores kept busy by other processes, from which on a table says so."""


def markdown(found: dict[str, Any]) -> str:
    """All tables, the verdicts first."""
    facts = found["environment"]
    parts = [
        "# Kernels: what was measured",
        f"{facts['date'][:16]}, {machine_line(facts)}, commit {facts['commit'] or 'unknown'}; load average "
        f"{facts['load_average']} before, {found['load_average_after']} after.",
        f"    {found['command']}",
        *(f"- {note}" for note in found["notes"]),
        "## What must hold",
        _promises(found),
        "Ratios are medians over rounds in which all candidates took turns in one process, with the 10th to 90th "
        "percentile. Above 1 is faster, but for creation and memory, where less is better.",
    ]
    for row in found["networks"]:
        parts += [_title(row["network"], row), _network(row)]
    for cap, threads in dict.fromkeys((row["cap"], row["threads"]) for row in found["layers"]):
        rows = [row for row in found["layers"] if (row["cap"], row["threads"]) == (cap, threads)]
        parts += [_title("Layers", rows[0]), _layers(rows)]
    if found["creation"]:
        parts += ["## Creating a session", _creation(found["creation"])]
    if found["memory"]:
        parts += ["## Memory of a bundle of four configurations", _memory(found["memory"])]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, all but its first column aligned to the right.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | ---: |
    | 1 | 2 |
    """
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def with_spread(value: Spread | None) -> str:
    """A ratio, and its range where there is one.

    >>> with_spread({"median": 2.0, "low": 1.9, "high": 2.1, "rounds": 5})
    '2.00 (1.90 to 2.10)'
    """
    if value is None:
        return NOTHING
    shown = f"{value['median']:.2f}"
    return shown if value["rounds"] == 1 else f"{shown} ({value['low']:.2f} to {value['high']:.2f})"


def _promises(found: dict[str, Any]) -> str:
    rows = [
        [
            promise.text,
            ("at most " if promise.at_most else "") + f"{promise.floor:g}",
            f"{promise.aim:g}" if promise.aim else NOTHING,
            with_spread(promise.spread),
            promise.verdict,
        ]
        for promise in promises(found)
    ]
    return table(["", "floor", "aim", "measured", "verdict"], rows)


def _title(what: str, row: dict[str, Any]) -> str:
    threads = f"{row['threads']} thread{'' if row['threads'] == 1 else 's'}"
    busy = row["others_cores"]
    disturbed = f" (other processes kept {busy:g} cores busy)" if busy > OTHERS_LIMIT else ""
    return f"## {what}, {row['cap']}, {threads}{disturbed}"


def _network(row: dict[str, Any]) -> str:
    times = row["block_ms"]
    opponents = [name for name in OPPONENTS if name in times]
    rows = []
    for name, block_ms in times.items():
        against = [with_spread(speedup(block_ms, times[other])) if other != name else NOTHING for other in opponents]
        stock = f"stock-{name.partition('-')[2]}"
        is_ours = name.startswith(("kernels-", "registered-")) and stock in times
        beside = with_spread(speedup(block_ms, times[stock])) if is_ours else NOTHING
        rows.append([_candidate(name), ms(median(block_ms)), *against, beside])
    shown = table(["", "ms", *(f"times {name}" for name in opponents), "times the same graph on stock"], rows)
    if row["lead"]:
        shown += (
            f"\n\nA program that registers the library here keeps onnxruntime's own kernels, which use {row['lead']} "
            f"(registered); ours were timed as with `{SWITCH}=always` (kernels)."
        )
    stock_labels = [label for label, is_ours in row["served_on_kernels"].items() if not is_ours]
    if not stock_labels:
        return shown
    graphs = ", ".join(label if label == CHEAPEST else f"{label} bits" for label in stock_labels)
    return f"{shown}\n\nServing keeps to stock onnxruntime, which is faster here, for: {graphs}."


def _candidate(name: str) -> str:
    side, _, label = name.partition("-")
    if side not in SIDES:
        return name
    bits, _, single = label.partition("-")
    words = "cheapest graph" if bits == CHEAPEST else f"{bits} bits"
    return f"{words}, {SIDES[side]}{', one thread' if single else ''}"


def _layers(rows: Sequence[dict[str, Any]]) -> str:
    names = sorted(rows[0]["block_ms"], key=lambda name: (name.partition("-")[2], name))
    has_peak = bool(rows[0]["peak_gmacs"])
    lines = []
    for row in rows:
        cells = []
        for name in names:
            speed = digits3(median(gmacs(row["macs"], row["block_ms"][name])))
            share = peak_share(row, name)
            cells.append(speed if share is None else f"{speed} ({share['median']:.2f})")
        peak = [digits3(row["threads"] * median(row["peak_gmacs"]))] if has_peak else []
        lines.append([row["layer"], *cells, *peak])
    head = ["GMAC/s (of int8 peak)" if has_peak else "GMAC/s", *map(_candidate, names)]
    return table([*head, "int8 peak"] if has_peak else head, lines)


def _creation(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        times = row["run_ms"]
        ratio = with_spread(speedup(times["stock"], times["kernels"]))
        lines.append([f"{row['network']}, {row['bits']} bits", *(ms(median(times[s])) for s in times), ratio])
    return table(["", *(f"{side}, ms" for side in rows[0]["run_ms"]), "kernels / stock"], lines)


def _memory(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        for side in ("stock", "kernels"):
            if side in row:
                kept = row[side]
                sizes = (row["weights_bytes"], row["activations_bytes"], *kept.values())
                share = f"{memory_share(row, side):.2f}"
                lines.append([f"{row['network']}, {side}", *(f"{size / 1e6:.2f}" for size in sizes), share])
    head = ["MB", "packed weights", "activations", "resident", "of it anonymous", "resident / (weights + activations)"]
    return table(head, lines)
