"""The flat twin of a plan: plain quantize-dequantize operators, int8 weights, no functions, no external data.

For runtimes that do not read model-local functions, such as OpenVINO. It computes what the bundle's graph computes;
4- and 2-bit weights take a byte each here.

    image uint8 [N, H, W, 3] ── Transpose ── Dequantize ── Conv ── Quantize ── Dequantize ── Conv ── ... ── logits
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import inliner

from dqmq_deploy.errors import ExportError
from dqmq_deploy.export.graph import check_last, resize_weights
from dqmq_deploy.export.nodes import TO_NCHW, GraphBuilder, float_output, image_input
from dqmq_deploy.export.plan import (
    AddStage,
    ConvStage,
    FlattenStage,
    LinearStage,
    MedianStage,
    Plan,
    PoolStage,
    ResizeStage,
    TensorQuant,
    left_aligned,
)
from dqmq_deploy.export.shapes import tensor_shapes


def build(plan: Plan) -> onnx.ModelProto:
    """The flat graph of ``plan``. Input ``image``: uint8 ``[N, H, W, 3]``; output ``logits``: float32; N is free.

    Raises:
        ExportError: stages do not fit together, or the last one is no linear layer that gives the logits.
    """
    tensor_shapes(plan)
    check_last(plan)
    flat = _Flat(plan)
    for stage in plan.stages:
        flat.append(stage)
    model = flat.builder.model("flat", image_input(*plan.image_size), float_output("logits", plan.class_count))
    flat_model: onnx.ModelProto = inliner.inline_local_functions(model)
    return flat_model


class _Flat:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.builder = GraphBuilder()
        self.pictures = {"image": "image"}  # channels last
        self.codes: dict[str, str] = {}  # channels first

    def append(self, stage: object) -> None:
        """Append the nodes of a stage."""
        match stage:
            case ConvStage():
                self._conv(stage)
            case LinearStage():
                real = self.builder.node("Gemm", self._operands(stage), transB=1)
                if stage.output == "logits":
                    self.builder.rename(real, "logits")
                else:
                    self._quantize(real, stage.output)
            case PoolStage():
                self._pool(stage)
            case MedianStage():
                self._picture("MedianFilter", stage, [])
            case ResizeStage():
                self._picture("AreaResize", stage, resize_weights(self.builder, stage))
            case AddStage():
                terms = [self._real(name, self.plan.tensors[name]) for name in (stage.input, stage.other)]
                self._quantize(self.builder.node("Add", terms), stage.output)
            case FlattenStage():
                self.codes[stage.output] = self.builder.node("Flatten", [self._codes(stage.input)], stage.output)

    def _codes(self, tensor: str) -> str:
        if tensor not in self.codes:
            self.codes[tensor] = self.builder.node("Transpose", [self.pictures[tensor]], perm=TO_NCHW)
        return self.codes[tensor]

    def _picture(self, operator: str, stage: MedianStage | ResizeStage, weights: list[str]) -> None:
        source = [self.pictures[stage.input], *weights]
        self.pictures[stage.output] = self.builder.call(operator, stage.output, source, stage.output)

    def _conv(self, stage: ConvStage) -> None:
        real = self.builder.node(
            "Conv",
            self._operands(stage),
            kernel_shape=list(stage.weight_codes.shape[2:]),
            strides=list(stage.strides),
            pads=list(stage.pads),
            dilations=list(stage.dilations),
            group=stage.groups,
        )
        if stage.residual is not None:
            if stage.sum_quant is None:
                raise ExportError(f"'{stage.name}': expected sum_quant beside a residual, got none")
            total = self.builder.quant(stage.sum_quant)
            rounded = self.builder.node(
                "DequantizeLinear", [self.builder.node("QuantizeLinear", [real, *total]), *total]
            )
            residual = self._real(stage.residual, self.plan.tensors[stage.residual])
            real = self.builder.node("Add", [rounded, residual])
        self._quantize(real, stage.output)

    def _operands(self, stage: ConvStage | LinearStage) -> list[str]:
        quant = self.plan.tensors[stage.input]
        scale = self.builder.constant(f"{stage.name}.s", stage.weight_scale)
        bias_scale = self.builder.constant(f"{stage.name}.bs", np.float32(quant.scale) * stage.weight_scale)
        return [
            self._real(stage.input, quant, stage.act_bits),
            self._dequantized(f"{stage.name}.w", left_aligned(stage), scale),
            self._dequantized(f"{stage.name}.b", stage.bias, bias_scale),
        ]

    def _dequantized(self, name: str, codes: npt.NDArray[Any], scale: str) -> str:
        zero_points = self.builder.constant(f"{name}z", np.zeros(len(codes), codes.dtype))
        return self.builder.node("DequantizeLinear", [self.builder.constant(name, codes), scale, zero_points], axis=0)

    def _real(self, tensor: str, quant: TensorQuant, act_bits: int = 8) -> str:
        codes = self._codes(tensor)
        if act_bits < 8:
            lowest, highest = quant.code_range(act_bits)
            codes = self.builder.node("Clip", [codes, self.builder.code(lowest), self.builder.code(highest)])
        return self.builder.node("DequantizeLinear", [codes, *self.builder.quant(quant)])

    def _quantize(self, real: str, output: str) -> None:
        quant = self.builder.quant(self.plan.tensors[output])
        self.codes[output] = self.builder.node("QuantizeLinear", [real, *quant], output)

    def _pool(self, stage: PoolStage) -> None:
        window: dict[str, Any] = {
            "kernel_shape": list(stage.kernel),
            "strides": list(stage.strides),
            "pads": list(stage.pads),
        }
        if stage.kind == "max":
            self.codes[stage.output] = self.builder.node("MaxPool", [self._codes(stage.input)], stage.output, **window)
            return
        real = self._real(stage.input, self.plan.tensors[stage.input])
        if stage.kind == "global_average":
            real = self.builder.node("GlobalAveragePool", [real])
        else:
            real = self.builder.node("AveragePool", [real], count_include_pad=1, **window)
        self._quantize(real, stage.output)
