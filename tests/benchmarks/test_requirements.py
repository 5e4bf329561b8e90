"""Verdicts on known times."""

from typing import Any

import pytest

from benchmarks.kernel_report import markdown
from benchmarks.requirements import Promise, peak_share, promises
from dqmq_deploy.report.environment import environment

STEADY = {"median": 2.0, "low": 2.0, "high": 2.0, "rounds": 3}


def found() -> dict[str, Any]:
    """Measurements of a machine where everything takes one millisecond but 2-bit kernels, which take half of one."""
    slow, fast = [1.0, 1.0], [0.5, 0.5]
    place = {"cap": "avx512", "threads": 1, "others_cores": 0.0}
    times = {"ort-int8": slow, "openvino-int8": slow, "stock-2": slow, "kernels-2": fast, "stock-8": slow}
    layer = {"family": "3x3", "channels": 128, "macs": 10**8, "peak_gmacs": [100.0, 100.0]}
    return {
        "environment": environment(),
        "command": "python benchmarks/kernels.py",
        "notes": ["a note"],
        "load_average_after": 0.0,
        "networks": [
            {
                **place,
                "network": "resnet18",
                "block_ms": {**times, "kernels-8": slow},
                "served_on_kernels": {"2": True, "8": True},
                "lead": None,
            }
        ],
        "layers": [{**place, **layer, "layer": "3x3", "block_ms": {"kernels-2": fast, "stock-2": slow}}],
        "creation": [{**place, "network": "resnet18", "bits": 2, "run_ms": {"stock": fast, "kernels": slow}}],
        "memory": [
            {
                **place,
                "network": "resnet18",
                "weights_bytes": 80,
                "activations_bytes": 20,
                "stock": {"resident_bytes": 1000, "anonymous_bytes": 900},
                "kernels": {"resident_bytes": 120, "anonymous_bytes": 110},
            }
        ],
    }


@pytest.mark.parametrize(
    ("start", "measured", "verdict"),
    [
        ("resnet18, 2 bits, against onnxruntime int8", 2.0, "met"),
        ("resnet18, 8 bits, against onnxruntime int8", 1.0, "MISSED"),
        ("resnet18, 2 bits, against our own 8 bits", 2.0, "met"),
        ("3x3 layers of 128 channels", 2.0, "met"),
        ("creating a session", 2.0, "MISSED"),
        ("resnet18: memory", 1.2, "met"),
        ("no network served slower with the library than without, avx512 (the worst: resnet18, 8 bits", 1.0, "met"),
        ("no network registered slower with the library", 1.0, "met"),
    ],
)
def test_a_promise_is_judged(start: str, measured: float, verdict: str) -> None:
    """By the median, floors from below and ceilings from above."""
    (promise,) = (promise for promise in promises(found()) if promise.text.startswith(start))
    assert promise.spread is not None
    assert promise.spread["median"] == pytest.approx(measured)
    assert promise.verdict == verdict


def test_what_is_left_to_stock_onnxruntime_is_not_slower_than_that() -> None:
    """Whatever kernels would have taken; the report names the graph."""
    slower = found()
    (row,) = slower["networks"]
    row["block_ms"]["kernels-8"] = [4.0, 4.0]
    for is_ours, worst in ((True, 0.25), (False, 1.0)):
        row["served_on_kernels"]["8"] = is_ours
        (promise,) = (promise for promise in promises(slower) if promise.text.startswith("no network served slower"))
        assert promise.spread is not None and promise.spread["median"] == pytest.approx(worst)
    for lead, worst in ((None, 0.25), ("AVX-512 VNNI", 1.0)):
        row["lead"] = lead
        (promise,) = (promise for promise in promises(slower) if promise.text.startswith("no network registered"))
        assert promise.spread is not None and promise.spread["median"] == pytest.approx(worst)
    assert "onnxruntime's own kernels, which use AVX-512 VNNI" in markdown(slower)
    assert "Serving keeps to stock onnxruntime, which is faster here, for: 8 bits." in markdown(slower)


def test_what_was_not_measured_is_not_judged() -> None:
    """Such as two threads, or another network."""
    verdicts = {promise.text: promise.verdict for promise in promises({})}
    assert set(verdicts.values()) == {"not measured"}


def test_a_floor_within_the_spread_is_a_close_call() -> None:
    """The next run may say otherwise."""
    assert Promise("", 2.1, None, {**STEADY, "high": 2.2}).verdict == "MISSED, a close call"
    assert Promise("", 1.9, None, {**STEADY, "low": 1.8}).verdict == "met, a close call"
    assert Promise("", 1.9, None, STEADY).verdict == "met"


def test_a_share_of_the_peak_is_of_all_cores_in_use() -> None:
    """Two threads are held against twice the peak of a core."""
    row = {**found()["layers"][0], "threads": 2}
    share = peak_share(row, "kernels-2")
    assert share is not None and share["median"] == pytest.approx(1.0)
    assert peak_share({**row, "peak_gmacs": []}, "kernels-2") is None


def test_the_tables_say_where_and_how() -> None:
    """Machine, command and notes, and a section for each part."""
    text = markdown(found())
    parts = ["onnxruntime 1.", "python benchmarks/kernels.py", "- a note", "## resnet18, avx512, 1 thread"]
    parts += ["| 3x3 | 200 (2.00) | 100 (1.00) | 100 |", "## Creating a session", "| resnet18, kernels |"]
    for part in parts:
        assert part in text, part
