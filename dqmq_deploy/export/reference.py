"""A plan computed with integers in NumPy: the plain reference that every fast path must agree with.

The float order is that of onnxruntime's fused operators (:mod:`dqmq_deploy.export.functions`), found by trying every
pair of codes: one float32 factor per channel, multiplied, rounded half to even, zero point added, clamped. Slow, and
meant for tests.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.export.plan import (
    AddStage,
    ConvStage,
    FlattenStage,
    LinearStage,
    MedianStage,
    Plan,
    PoolStage,
    ResizeStage,
    Stage,
    TensorQuant,
    left_aligned,
)

Codes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def run(plan: Plan, image: Codes) -> Floats:
    """Logits, float32 ``[N, classes]``, of images ``uint8 [N, H, W, 3]``."""
    return run_all(plan, image)["logits"].astype(np.float32)


def run_all(plan: Plan, image: Codes) -> dict[str, npt.NDArray[Any]]:
    """Every tensor of ``plan`` by name: codes ``uint8 [N, H, W, C]`` or ``[N, C]``, and the float32 ``logits``."""
    tensors: dict[str, npt.NDArray[Any]] = {"image": image}
    for stage in plan.stages:
        tensors[stage.output] = run_stage(plan, stage, tensors)
    return tensors


def run_stage(plan: Plan, stage: Stage, tensors: Mapping[str, Codes]) -> npt.NDArray[Any]:
    """What ``stage`` makes of its inputs among ``tensors``."""
    match stage:
        case ConvStage():
            x_quant, y_quant = plan.tensors[stage.input], plan.tensors[stage.output]
            acc = _conv(centred(tensors[stage.input], x_quant, stage.act_bits), stage) + stage.bias
            c_quant = y_quant if stage.sum_quant is None else stage.sum_quant
            codes = requantize(acc, np.float32(x_quant.scale) * stage.weight_scale, c_quant)
            if stage.residual is None:
                return codes
            return add(codes, c_quant, tensors[stage.residual], plan.tensors[stage.residual], y_quant)
        case LinearStage():
            x_quant = plan.tensors[stage.input]
            x = centred(tensors[stage.input], x_quant, stage.act_bits)
            acc = x @ left_aligned(stage).T.astype(np.int64) + stage.bias
            factor = np.float32(x_quant.scale) * stage.weight_scale
            if stage.output == "logits":
                return acc.astype(np.float32) * factor
            return requantize(acc, factor, plan.tensors[stage.output])
        case PoolStage():
            return _pool(stage, tensors[stage.input], plan)
        case MedianStage():
            return _median(tensors[stage.input])
        case ResizeStage():
            return _resize(stage, tensors[stage.input])
        case AddStage():
            quants = plan.tensors[stage.input], plan.tensors[stage.other], plan.tensors[stage.output]
            return add(tensors[stage.input], quants[0], tensors[stage.other], quants[1], quants[2])
        case FlattenStage():
            x_codes = tensors[stage.input]
            return x_codes.transpose(0, 3, 1, 2).reshape(len(x_codes), -1)
    raise TypeError(f"expected a stage of a plan, got {type(stage).__name__}")


def centred(codes: Codes, quant: TensorQuant, act_bits: int) -> Integers:
    """Codes as a layer of ``act_bits`` reads them: clipped to its range, zero point subtracted."""
    return np.clip(codes, *quant.code_range(act_bits)).astype(np.int64) - quant.zero_point


def requantize(acc: Integers, factor: Floats | np.floating[Any], quant: TensorQuant) -> Codes:
    """``clamp(round(acc * (factor / scale)) + zero_point, 0, 255)``, in float32, half to even."""
    ratio = factor / np.float32(quant.scale)
    return _to_codes(acc.astype(np.float32) * ratio, quant.zero_point)


def add(a: Codes, a_quant: TensorQuant, b: Codes, b_quant: TensorQuant, y_quant: TensorQuant) -> Codes:
    """Sum of two tensors of codes, requantized: zero points in one constant, then two fused multiply-adds, b first."""
    a_ratio = np.float32(a_quant.scale) / np.float32(y_quant.scale)
    b_ratio = np.float32(b_quant.scale) / np.float32(y_quant.scale)
    zeros = a_ratio * np.float32(a_quant.zero_point) + b_ratio * np.float32(b_quant.zero_point)
    total = _fma(a, a_ratio, _fma(b, b_ratio, np.float32(y_quant.zero_point) - zeros))
    return _to_codes(total, 0)


def _fma(codes: Codes, ratio: np.floating[Any], plus: Floats | np.floating[Any]) -> Floats:
    # a code times a float32 has 32 bits, so that float64 holds the sum whole and rounds once
    exact = codes.astype(np.float64) * np.float64(ratio) + np.asarray(plus, np.float64)
    rounded: Floats = exact.astype(np.float32)
    return rounded


def _to_codes(values: Floats, zero_point: int) -> Codes:
    codes: Codes = np.clip(np.rint(values) + zero_point, 0, 255).astype(np.uint8)
    return codes


def _windows(
    x: npt.NDArray[Any],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
) -> npt.NDArray[Any]:
    """``[N, H, W, C]``, padded already, to ``[N, out H, out W, C, kernel H, kernel W]``."""
    reach = tuple(dilation * (size - 1) + 1 for dilation, size in zip(dilations, kernel, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(1, 2))
    return windows[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]


def _pad(x: npt.NDArray[Any], pads: tuple[int, int, int, int], value: int) -> npt.NDArray[Any]:
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _conv(x: Integers, stage: ConvStage) -> Integers:
    out, per_group, height, width = stage.weight_codes.shape
    windows = _windows(_pad(x, stage.pads, 0), (height, width), stage.strides, stage.dilations)
    rows = windows.reshape(-1, stage.groups, per_group * height * width).swapaxes(0, 1)
    kernels = left_aligned(stage).reshape(stage.groups, out // stage.groups, -1).swapaxes(1, 2)
    # float64 holds every sum exactly, and multiplies matrices much faster than int64
    acc = (rows.astype(np.float64) @ kernels.astype(np.float64)).astype(np.int64)
    return acc.swapaxes(0, 1).reshape(*windows.shape[:3], out)


def _pool(stage: PoolStage, x: Codes, plan: Plan) -> Codes:
    if stage.kind == "max":
        highest: Codes = _windows(_pad(x, stage.pads, 0), stage.kernel, stage.strides, (1, 1)).max(axis=(4, 5))
        return highest
    x_quant, y_quant = plan.tensors[stage.input], plan.tensors[stage.output]
    centre = x.astype(np.int64) - x_quant.zero_point
    if stage.kind == "global_average":
        total, count = centre.sum(axis=(1, 2), keepdims=True), x.shape[1] * x.shape[2]
    else:
        windows = _windows(_pad(centre, stage.pads, 0), stage.kernel, stage.strides, (1, 1))
        total, count = windows.sum(axis=(4, 5)), stage.kernel[0] * stage.kernel[1]
    return requantize(total, np.float32(x_quant.scale) / np.float32(count), y_quant)


def _median(x: Codes) -> Codes:
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    middle: Codes = np.median(_windows(padded, (3, 3), (1, 1), (1, 1)), axis=(4, 5)).astype(np.uint8)
    return middle


def _resize(stage: ResizeStage, x: Codes) -> Codes:
    total = np.einsum("ij,njkc,lk->nilc", stage.rows.astype(np.int64), x.astype(np.int64), stage.columns, optimize=True)
    return _to_codes(total.astype(np.float32) / np.float32(stage.area), 0)
