"""The float32 network as an ordinary ONNX graph: the baseline that quantized graphs are measured against.

image float32 [N, 3, H, W] ── Conv ── Relu ── Conv ── Add ── Relu ── ... ── Gemm ── logits float32 [N, classes]
"""

from typing import Any

import onnx
from onnx import TensorProto, helper

from dqmq_deploy.export.nodes import GraphBuilder, float_output
from dqmq_deploy.export.plan import AddStage, FlattenStage, FloatConv, FloatLinear, FloatPlan, PoolStage
from dqmq_deploy.export.shapes import IMAGE_CHANNELS


def build(plan: FloatPlan) -> onnx.ModelProto:
    """The graph of ``plan``. Input ``image``: float32 ``[N, 3, H, W]``, normalised; output ``logits``; N is free."""
    builder = GraphBuilder()
    for stage in plan.stages:
        match stage:
            case FloatConv():
                value = conv(builder, stage)
                if stage.residual is not None:
                    value = builder.node("Add", [value, stage.residual])
                activate(builder, value, stage.activation, stage.output)
            case FloatLinear():
                weight = builder.constant(f"{stage.name}.w", stage.weight)
                bias = builder.constant(f"{stage.name}.b", stage.bias)
                value = builder.node("Gemm", [stage.input, weight, bias], transB=1)
                activate(builder, value, stage.activation, stage.output)
            case PoolStage(kind="global_average"):
                builder.node("GlobalAveragePool", [stage.input], stage.output)
            case PoolStage():
                _pool(builder, stage)
            case AddStage():
                activate(builder, builder.node("Add", [stage.input, stage.other]), stage.activation, stage.output)
            case FlattenStage():
                builder.node("Flatten", [stage.input], stage.output)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", IMAGE_CHANNELS, *plan.image_size])
    return builder.model("float32", image, float_output("logits", plan.class_count))


def conv(builder: GraphBuilder, stage: FloatConv, source: str | None = None) -> str:
    """Append the convolution alone, without residual and activation; the name of its result."""
    inputs = [
        source or stage.input,
        builder.constant(f"{stage.name}.w", stage.weight),
        builder.constant(f"{stage.name}.b", stage.bias),
    ]
    return builder.node(
        "Conv",
        inputs,
        kernel_shape=list(stage.weight.shape[2:]),
        strides=list(stage.strides),
        pads=list(stage.pads),
        dilations=list(stage.dilations),
        group=stage.groups,
    )


def activate(builder: GraphBuilder, value: str, activation: str, output: str) -> str:
    """Append the activation to the last node's ``value``, giving its result the name ``output``."""
    if activation == "relu":
        return builder.node("Relu", [value], output)
    if activation == "relu6":
        return builder.node("Clip", [value, builder.scale(0.0), builder.scale(6.0)], output)
    return builder.rename(value, output)


def _pool(builder: GraphBuilder, stage: PoolStage) -> None:
    window: dict[str, Any] = {
        "kernel_shape": list(stage.kernel),
        "strides": list(stage.strides),
        "pads": list(stage.pads),
    }
    if stage.kind == "max":
        builder.node("MaxPool", [stage.input], stage.output, **window)
    else:
        builder.node("AveragePool", [stage.input], stage.output, count_include_pad=1, **window)
