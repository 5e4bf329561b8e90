"""Single layers as graphs of one node, timed against the int8 peak of the core."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from benchmarks.opponents import int8_peak, ort_bound_call
from benchmarks.paired import beside_peak, settled
from dqmq_deploy.bundle.packing import pack
from dqmq_deploy.export.nodes import GraphBuilder
from dqmq_deploy.export.plan import TensorQuant

SPREAD_CODES = 40.0
"""Standard deviation of the output codes that the weights' scale is chosen for."""


@dataclass(frozen=True)
class LayerShape:
    """A convolution on square maps; a linear layer where ``size`` is 0.

    ``in_zero`` and ``out_zero`` are zero points: 0 after a ReLU, else 128.
    """

    family: str
    size: int
    channels: int
    out: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    in_zero: int = 0
    out_zero: int = 0

    @property
    def name(self) -> str:
        """Such as ``3x3 64->64 @56``."""
        if not self.size:
            return f"linear {self.channels}->{self.out}"
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        kind = f"depthwise {self.channels}" if self.groups > 1 else f"{self.channels}->{self.out}"
        return f"{self.kernel}x{self.kernel} {kind} @{self.size}{stride}"

    @property
    def out_size(self) -> int:
        """Height and width of the output."""
        return -(-self.size // self.stride)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """``[out, in / groups, kh, kw]``, or ``[out, in]``."""
        window = (self.kernel, self.kernel) if self.size else ()
        return (self.out, self.channels // self.groups, *window)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return int(np.prod(self.weight_shape)) * (self.out_size**2 if self.size else 1)


def _square(channels: int, size: int) -> LayerShape:
    return LayerShape("3x3", size, channels, channels, 3)


def _depthwise(channels: int, size: int, stride: int = 1) -> LayerShape:
    return LayerShape("depthwise", size, channels, channels, 3, stride, channels)


def _expand(channels: int, out: int, size: int) -> LayerShape:
    return LayerShape("1x1", size, channels, out, in_zero=128)


def _project(channels: int, out: int, size: int) -> LayerShape:
    return LayerShape("1x1", size, channels, out, out_zero=128)


LAYERS = (
    _square(64, 56), _square(128, 28), _square(256, 14), _square(512, 7),
    _square(16, 32), _square(32, 16), _square(64, 8),
    LayerShape("first", 224, 3, 64, 7, 2, in_zero=128),
    _expand(16, 96, 112), _project(96, 24, 56), _project(144, 32, 28), _project(384, 64, 14), _expand(96, 576, 14),
    _project(576, 96, 14), _project(960, 320, 7), _expand(320, 1280, 7),
    _depthwise(96, 112, 2), _depthwise(144, 56), _depthwise(384, 14), _depthwise(960, 7),
    LayerShape("linear", 0, 512, 1000), LayerShape("linear", 0, 1280, 1000),
)  # fmt: skip
"""The layers of ResNet-18, ResNet-20 and MobileNetV2 that decide their time."""


def layer_model(shape: LayerShape, bits: int, seed: int = 0) -> onnx.ModelProto:
    """A graph of that one layer, random weights: ``x`` uint8 ``[N, H, W, C]`` to ``y``; ``[N, C]`` if linear."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape.weight_shape).astype(np.int8)
    count = codes[0].size
    quant = TensorQuant(1.0, shape.in_zero)
    lowest, highest = quant.code_range(bits)
    deviation = np.sqrt(count) * (2**bits / 3) * 2 ** (8 - bits) * (2**bits / 3)
    # weight codes are half a step below zero on average; left alone, that sinks most outputs
    offset = count * ((lowest + highest) / 2 - shape.in_zero) * 2 ** (8 - bits) / 2
    builder = GraphBuilder()
    inputs = [
        "x",
        *builder.quant(quant),
        builder.constant("w", pack(codes, bits)),
        builder.constant("s", np.full(shape.out, SPREAD_CODES / deviation, np.float32)),
        builder.constant("b", np.full(shape.out, round(offset), np.int32)),
        builder.code(lowest),
        builder.code(highest),
    ]
    attributes: dict[str, Any] = {
        "weight_bits": bits, "act_bits": bits, "w_shape": list(shape.weight_shape), "w_count": [count],
    }  # fmt: skip
    if not shape.size:
        builder.call("QLinear", "layer", inputs, "y", **attributes)
        return builder.model("layer", _codes("x", [shape.channels]), _value("y", TensorProto.FLOAT, [shape.out]))
    pad = shape.kernel // 2
    builder.call(
        "QConv", "layer", [*inputs, *builder.quant(TensorQuant(1.0, shape.out_zero))], "y",
        kernel_shape=[shape.kernel] * 2, strides=[shape.stride] * 2, pads=[pad] * 4, dilations=[1, 1],
        group=shape.groups, **attributes,
    )  # fmt: skip
    output = _codes("y", [shape.out_size, shape.out_size, shape.out])
    return builder.model("layer", _codes("x", [shape.size, shape.size, shape.channels]), output)


def layer_input(shape: LayerShape, bits: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """One image of random codes that a layer of ``bits`` tells apart."""
    lowest, highest = TensorQuant(1.0, shape.in_zero).code_range(bits)
    dimensions = (1, shape.size, shape.size, shape.channels) if shape.size else (1, shape.channels)
    return np.random.default_rng(seed).integers(lowest, highest + 1, dimensions, dtype=np.uint8)


def measure_layers(
    folder: Path, bits: Sequence[int], threads: int, rounds: int, library: Path | None
) -> Iterator[dict[str, Any]]:
    """Block medians of each of :data:`LAYERS`, with kernels and on stock onnxruntime, and the peak beside them."""
    peak = int8_peak(library)
    for shape in LAYERS:
        candidates: dict[str, Callable[[], object]] = {}
        for width in bits:
            path = folder / "layer.onnx"
            path.write_bytes(layer_model(shape, width).SerializeToString())
            feed = layer_input(shape, width)
            candidates[f"stock-{width}"] = ort_bound_call(path, threads, feed)
            if library is not None:
                candidates[f"kernels-{width}"] = ort_bound_call(path, threads, feed, library)
        block_ms, peaks = beside_peak(settled(candidates) if threads > 1 else candidates, peak, rounds)
        yield {
            "layer": shape.name, "family": shape.family, "channels": shape.channels, "macs": shape.macs,
            "peak_gmacs": peaks, "block_ms": block_ms,
        }  # fmt: skip


def _codes(name: str, shape: list[int]) -> onnx.ValueInfoProto:
    return _value(name, TensorProto.UINT8, shape)


def _value(name: str, kind: int, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["N", *shape])
