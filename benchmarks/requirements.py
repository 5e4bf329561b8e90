"""What the kernels promise, each promise beside what was measured.

A promise is a floor that must hold and an aim; for what should be small, a ceiling. It is met if the median over rounds
meets it; where the floor lies between the 10th and the 90th percentile the verdict says that it is a close call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.network_times import CHEAPEST, SHIPPED
from benchmarks.paired import Spread, gmacs, speedup, spread

Found = dict[str, Any]
"""All that was measured: lists of rows under ``networks``, ``layers``, ``creation`` and ``memory``."""

CREATION_CEILING = 1.3
MEMORY_CEILING = 1.2
PEAK_CHANNELS = 128
"""3x3 layers of that many channels or more are held against the int8 peak."""


@dataclass(frozen=True)
class Promise:
    """A floor (or with ``at_most`` a ceiling) and what was measured; ``spread`` is None where that was not."""

    text: str
    floor: float
    aim: float | None
    spread: Spread | None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the median meets the floor; None where nothing was measured."""
        if self.spread is None:
            return None
        median = self.spread["median"]
        return median <= self.floor if self.at_most else median >= self.floor

    @property
    def verdict(self) -> str:
        """In words."""
        if self.spread is None or self.met is None:
            return "not measured"
        close = self.spread["low"] < self.floor < self.spread["high"]
        return ("met" if self.met else "MISSED") + (", a close call" if close else "")


_PAIRS = (
    ("resnet18", "2", "ort-int8", 2.0, 2.3),
    ("resnet18", "2", "openvino-int8", 1.8, 2.1),
    ("resnet20", "2", "ort-int8", 2.2, 2.8),
    ("resnet18", "8", "ort-int8", 1.12, 1.2),
    ("resnet20", "8", "ort-int8", 1.4, 1.6),
    ("resnet18", "2", "kernels-8", 1.7, 2.0),
    ("resnet20", "2", "kernels-8", 1.5, 1.8),
    ("mobilenetv2", "8", "ort-int8", 1.2, 1.6),
    ("mobilenetv2", "8", "openvino-int8", 1.1, 1.5),
    (SHIPPED, CHEAPEST, f"stock-{CHEAPEST}", 1.7, 2.5),
)
"""Network, bits, opponent, floor and aim; one thread, best ISA."""


def promises(found: Found) -> list[Promise]:
    """Every promise that these measurements can judge."""
    judged = [
        Promise(
            f"{network}, {_bits(bits)}, against {_opponent(opponent)}", floor, aim,
            _speedup(found, "avx512", 1, network, f"kernels-{bits}", opponent),
        )
        for network, bits, opponent, floor, aim in _PAIRS
    ]  # fmt: skip
    judged.append(Promise(*_worst_peak_share(found)))
    two = _speedup(found, "avx512", 2, "resnet18", "kernels-2", "kernels-2-one-thread")
    judged.append(Promise("resnet18, 2 bits, 2 threads against 1", 1.7, 1.9, two))
    capped = _speedup(found, "avx2", 1, "resnet18", "kernels-2", "openvino-int8")
    judged.append(Promise("resnet18, 2 bits, both capped to AVX2, against OpenVINO int8", 1.8, 2.3, capped))
    return [*judged, *_creation(found), *_memory(found), *_never_slower(found)]


def _bits(label: str) -> str:
    return "cheapest graph" if label == CHEAPEST else f"{label} bits"


def _opponent(name: str) -> str:
    runtime, _, kind = name.partition("-")
    if runtime == "kernels":
        return f"our own {kind} bits"
    if runtime == "stock":
        return "the same graph on stock onnxruntime"
    return f"{'onnxruntime' if runtime == 'ort' else 'OpenVINO'} {kind}"


def _speedup(found: Found, cap: str, threads: int, network: str, ours: str, theirs: str) -> Spread | None:
    for row in found.get("networks", []):
        if (row["cap"], row["threads"], row["network"]) == (cap, threads, network):
            times = row["block_ms"]
            if ours in times and theirs in times:
                return speedup(times[ours], times[theirs])
    return None


def _worst_peak_share(found: Found) -> tuple[str, float, float, Spread | None]:
    shares = []
    for row in found.get("layers", []):
        here = (row["cap"], row["threads"], row["family"]) == ("avx512", 1, "3x3") and row["channels"] >= PEAK_CHANNELS
        share = peak_share(row, "kernels-2") if here else None
        if share is not None:
            shares.append((share["median"], row["layer"], share))
    text = f"3x3 layers of {PEAK_CHANNELS} channels or more, 2 bits, against the core's int8 peak"
    if not shares:
        return text, 1.9, 2.2, None
    _, layer, share = min(shares, key=lambda entry: entry[0])
    return f"{text} (the worst: {layer})", 1.9, 2.2, share


def peak_share(row: dict[str, Any], candidate: str) -> Spread | None:
    """Speed of a layer over the int8 peak of as many cores, measured beside it; None without either."""
    if not row["peak_gmacs"] or candidate not in row["block_ms"]:
        return None
    speeds = gmacs(row["macs"], row["block_ms"][candidate])
    return spread([speed / (row["threads"] * peak) for speed, peak in zip(speeds, row["peak_gmacs"], strict=True)])


def _worst(rows: Sequence[tuple[str, Spread]], worse: Callable[[float, float], bool]) -> tuple[str, Spread] | None:
    worst = None
    for row in rows:
        if worst is None or worse(row[1]["median"], worst[1]["median"]):
            worst = row
    return worst


def _creation(found: Found) -> list[Promise]:
    rows = [
        (f"{row['network']}, {row['bits']} bits", speedup(row["run_ms"]["stock"], row["run_ms"]["kernels"]))
        for row in found.get("creation", [])
    ]
    text = "creating a session, time over stock's"
    worst = _worst(rows, lambda one, other: one > other)
    if worst is None:
        return [Promise(text, CREATION_CEILING, None, None, at_most=True)]
    return [Promise(f"{text} (the worst: {worst[0]})", CREATION_CEILING, None, worst[1], at_most=True)]


def memory_share(row: dict[str, Any], side: str) -> float:
    """Resident bytes of a bundle's sessions over its packed weights and activations."""
    return float(row[side]["resident_bytes"] / (row["weights_bytes"] + row["activations_bytes"]))


def _memory(found: Found) -> list[Promise]:
    text = "memory of four configurations over packed weights and activations"
    rows = [row for row in found.get("memory", []) if "kernels" in row]
    if not rows:
        return [Promise(text, MEMORY_CEILING, None, None, at_most=True)]
    return [
        Promise(f"{row['network']}: {text}", MEMORY_CEILING, None, spread([memory_share(row, "kernels")]), at_most=True)
        for row in rows
    ]


def _never_slower(found: Found) -> list[Promise]:
    return [
        *_none_slower(found, "served", lambda row, graph: bool(row["served_on_kernels"][graph])),
        *_none_slower(found, "registered", lambda row, graph: row["lead"] is None),
    ]


def _none_slower(found: Found, how: str, is_ours: Callable[[dict[str, Any], str], bool]) -> list[Promise]:
    """What is left to stock onnxruntime is the same graph on the same kernels, and as fast as that."""
    judged = []
    for cap in dict.fromkeys(row["cap"] for row in found.get("networks", [])):
        rows = []
        for row in found["networks"]:
            for name, times in row["block_ms"].items():
                stock = name.replace("kernels-", "stock-")
                if row["cap"] == cap and name != stock and stock in row["block_ms"]:
                    graph = name.removeprefix("kernels-")
                    label = f"{row['network']}, {_bits(graph)}, threads: {row['threads']}"
                    ours = times if is_ours(row, graph) else row["block_ms"][stock]
                    rows.append((label, speedup(ours, row["block_ms"][stock])))
        worst = _worst(rows, lambda one, other: one < other)
        text = f"no network {how} slower with the library than without, {cap}"
        if worst is None:
            judged.append(Promise(text, 1.0, None, None))
        else:
            judged.append(Promise(f"{text} (the worst: {worst[0]})", 1.0, None, worst[1]))
    return judged
