"""Whole networks with kernels against the same graphs on stock onnxruntime, and against float32 and int8 elsewhere.

NETWORK/float.onnx         float32                       on onnxruntime and OpenVINO
NETWORK/int8.onnx          it, through quantize_static   on onnxruntime and OpenVINO
NETWORK/2/quantized.onnx   as export writes it, 2 bits   with kernels and on stock onnxruntime; 4 and 8 alike

On x86 without VNNI int8 is timed on onnxruntime twice: as bundles ask for it, with exact sums, and as it comes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.networks import (
    FLOAT,
    NETWORKS,
    QUANTIZED,
    float_plan,
    image_size,
    quantized_plan,
    write_float,
    write_quantized,
)
from benchmarks.opponents import has_openvino, openvino_call, ort_call
from benchmarks.paired import block_medians, settled
from benchmarks.random_nets import random_net
from dqmq_deploy import cpu
from dqmq_deploy.export import float_graph
from dqmq_deploy.export.baseline import normalised, quantize_int8
from dqmq_deploy.export.compiled import Compiled, open_compiled
from dqmq_deploy.export.plan import TensorQuant
from dqmq_deploy.kernels import find
from dqmq_deploy.report.measure import measure
from dqmq_deploy.runtime.sessions import has_kernels, open_faster

SHIPPED = "resnet20-gtsrb"
"""The shipped model whose cheapest configuration is timed."""

CHEAPEST = "cheapest"
"""Stands for the bits of a network that mixes them."""

SCALED = "2"
"""The bits whose time on several threads is also held against one thread."""

CHECKPOINT = Path(__file__).resolve().parent.parent / "models" / SHIPPED / "checkpoint.pt"
SUBJECTS = (*NETWORKS, SHIPPED)
INT8 = "int8.onnx"
CALIBRATION_IMAGES = 8
IMAGE_QUANT = TensorQuant(1 / 64, 128)

Pixels = npt.NDArray[np.uint8]


def write_files(name: str, folder: Path, bits: Sequence[int]) -> None:
    """Write every graph of one of :data:`SUBJECTS` below ``folder / name``."""
    home = folder / name
    if name == SHIPPED:
        shipped = _shipped()
        write_quantized(shipped.plan(0), home / CHEAPEST)
        plan = shipped.float_plan()
        assert plan is not None
    else:
        net = random_net(name)
        plan = float_plan(name, net)
        for width in bits:
            write_quantized(quantized_plan(name, net, width), home / str(width))
    write_float(plan, home)
    images = normalised(random_pixels(name, CALIBRATION_IMAGES), IMAGE_QUANT)
    int8 = quantize_int8(float_graph.build(plan), images)
    (home / INT8).write_bytes(int8.SerializeToString())


def random_pixels(name: str, count: int, seed: int = 0) -> Pixels:
    """Images of noise of the size that a network reads, ``[count, H, W, 3]``."""
    height, width = _shipped().image_size if name == SHIPPED else image_size(name)
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def measure_networks(
    folder: Path,
    names: Sequence[str],
    threads: int,
    seconds: float,
    rounds: int,
    library: Path | None,
) -> Iterator[dict[str, Any]]:
    """Block medians of every candidate for each network: one image, ``seconds`` and at least ``rounds`` rounds each."""
    for name in names:
        candidates = _candidates(folder / name, random_pixels(name, 1), threads, library)
        found = measure(settled(candidates) if threads > 1 else candidates, seconds=seconds, blocks=rounds)
        yield {
            "network": name,
            "block_ms": {key: block_medians(samples) for key, samples in found.items()},
            "p50_ms": {key: samples.statistics()["p50_ms"] for key, samples in found.items()},
            "served_on_kernels": _served(folder / name, threads, random_pixels(name, 1)) if library else {},
            "lead": find().lead if library else None,
        }


def _candidates(home: Path, pixels: Pixels, threads: int, library: Path | None) -> dict[str, Callable[[], object]]:
    real = normalised(pixels, IMAGE_QUANT)
    found = {"ort-fp32": ort_call(home / FLOAT, threads, real), "ort-int8": ort_call(home / INT8, threads, real)}
    if cpu.int8_saturates():  # as it comes, faster and not right
        found["ort-int8-saturating"] = ort_call(home / INT8, threads, real, exact=False)
    if has_openvino():
        found["openvino-fp32"] = openvino_call(home / FLOAT, threads, real, float32=True)
        found["openvino-int8"] = openvino_call(home / INT8, threads, real)
    for path in sorted(home.glob(f"*/{QUANTIZED}")):
        label = path.parent.name
        found[f"stock-{label}"] = ort_call(path, threads, pixels)
        if library is not None:
            found[f"kernels-{label}"] = ort_call(path, threads, pixels, library)
            if find().lead:
                found[f"registered-{label}"] = ort_call(path, threads, pixels, library, always=False)
            if threads > 1 and label == SCALED:
                found[f"kernels-{label}-one-thread"] = ort_call(path, 1, pixels, library)
    return found


def _served(home: Path, threads: int, pixels: Pixels) -> dict[str, bool]:
    """For each quantized graph by its label: whether serving, which keeps what is faster here, runs it on kernels."""
    return {
        path.parent.name: has_kernels(open_faster(path, threads, pixels))
        for path in sorted(home.glob(f"*/{QUANTIZED}"))
    }


@cache
def _shipped() -> Compiled:
    return open_compiled(CHECKPOINT)
