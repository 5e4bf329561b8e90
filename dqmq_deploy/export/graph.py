"""A plan as the ONNX graph that a bundle holds: ``ai.dqmq`` nodes on uint8 ``[N, H, W, C]`` codes.

    image uint8 [N, H, W, 3] ── QConv ── QConv ── QConvAdd ── ... ── average ── QLinear ── logits float32 [N, classes]

Channels stay last from the picture to the pool: that is how onnxruntime's QLinearConv works fastest, and why no
transpose is left once it has optimised the graph.
"""

from typing import Any

import onnx

from dqmq_deploy.errors import ExportError
from dqmq_deploy.export.nodes import TO_NCHW, TO_NHWC, GraphBuilder, float_output, image_input
from dqmq_deploy.export.plan import (
    AddStage,
    ConvStage,
    FlattenStage,
    LinearStage,
    MedianStage,
    Plan,
    PoolStage,
    ResizeStage,
)
from dqmq_deploy.export.shapes import Shape, tensor_shapes
from dqmq_deploy.export.weights import WeightStore


def build(plan: Plan, weights: WeightStore) -> onnx.ModelProto:
    """The graph of ``plan``; its packed weights go into ``weights`` and are referred to as external data.

    Input ``image``: uint8 ``[N, H, W, 3]``. Output ``logits``: float32 ``[N, classes]``. N is free.

    Raises:
        ExportError: stages do not fit together, or the last one is no linear layer that gives the logits.
    """
    shapes = tensor_shapes(plan)
    check_last(plan)
    builder = GraphBuilder()
    for stage in plan.stages:
        match stage:
            case ConvStage():
                _conv(builder, plan, stage, weights)
            case LinearStage():
                _linear(builder, plan, stage, weights)
            case PoolStage():
                _pool(builder, plan, stage)
            case MedianStage():
                builder.call("MedianFilter", stage.output, [stage.input], stage.output)
            case ResizeStage():
                builder.call("AreaResize", stage.output, [stage.input, *resize_weights(builder, stage)], stage.output)
            case AddStage():
                _add(builder, plan, stage)
            case FlattenStage():
                _flatten(builder, stage, shapes[stage.input])
    return builder.model("dqmq", image_input(*plan.image_size), float_output("logits", plan.class_count))


def check_last(plan: Plan) -> None:
    """Raise ExportError unless the last stage of ``plan`` is the linear layer that gives ``logits``."""
    last = plan.stages[-1] if plan.stages else None
    if not isinstance(last, LinearStage) or last.output != "logits":
        raise ExportError("expected a linear layer that writes 'logits' at the end of the network; add one")
    if last.weight_codes.shape[0] != plan.class_count:
        raise ExportError(f"expected {plan.class_count} logits, got {last.weight_codes.shape[0]}; check the classes")


def _operands(builder: GraphBuilder, plan: Plan, stage: ConvStage | LinearStage, weights: WeightStore) -> list[str]:
    quant = plan.tensors[stage.input]
    lowest, highest = quant.code_range(stage.act_bits)
    packed = weights.add(stage.name, stage.weight_codes, stage.weight_bits)
    return [
        stage.input,
        *builder.quant(quant),
        builder.initializer(packed.initializer(f"{stage.name}.w")),
        builder.constant(f"{stage.name}.s", stage.weight_scale),
        builder.constant(f"{stage.name}.b", stage.bias),
        builder.code(lowest),
        builder.code(highest),
    ]


def _weight_attributes(stage: ConvStage | LinearStage) -> dict[str, int | list[int]]:
    shape = stage.weight_codes.shape
    return {
        "weight_bits": stage.weight_bits,
        "act_bits": stage.act_bits,
        "w_shape": list(shape),
        "w_count": [stage.weight_codes.size // shape[0]],
    }


def _conv(builder: GraphBuilder, plan: Plan, stage: ConvStage, weights: WeightStore) -> None:
    inputs = [*_operands(builder, plan, stage, weights), *builder.quant(plan.tensors[stage.output])]
    operator = "QConv"
    if stage.residual is not None:
        if stage.sum_quant is None:
            raise ExportError(f"'{stage.name}': expected sum_quant beside a residual, got none")
        operator = "QConvAdd"
        inputs += [*builder.quant(stage.sum_quant), stage.residual, *builder.quant(plan.tensors[stage.residual])]
    builder.call(
        operator,
        stage.name,
        inputs,
        stage.output,
        kernel_shape=list(stage.weight_codes.shape[2:]),
        strides=list(stage.strides),
        pads=list(stage.pads),
        dilations=list(stage.dilations),
        group=stage.groups,
        **_weight_attributes(stage),
    )


def _linear(builder: GraphBuilder, plan: Plan, stage: LinearStage, weights: WeightStore) -> None:
    inputs = _operands(builder, plan, stage, weights)
    if stage.output == "logits":
        builder.call("QLinear", stage.name, inputs, stage.output, **_weight_attributes(stage))
    else:
        inputs += builder.quant(plan.tensors[stage.output])
        builder.call("QLinearCodes", stage.name, inputs, stage.output, **_weight_attributes(stage))


def _pool(builder: GraphBuilder, plan: Plan, stage: PoolStage) -> None:
    window: dict[str, Any] = {
        "kernel_shape": list(stage.kernel),
        "strides": list(stage.strides),
        "pads": list(stage.pads),
    }
    if stage.kind == "max":
        pooled = builder.node("MaxPool", [builder.node("Transpose", [stage.input], perm=TO_NCHW)], **window)
        builder.node("Transpose", [pooled], stage.output, perm=TO_NHWC)
        return
    inputs = [stage.input, *builder.quant(plan.tensors[stage.input]), *builder.quant(plan.tensors[stage.output])]
    if stage.kind == "global_average":
        builder.call("QGlobalAveragePool", stage.output, inputs, stage.output)
    else:
        builder.call("QAveragePool", stage.output, inputs, stage.output, **window)


def resize_weights(builder: GraphBuilder, stage: ResizeStage) -> list[str]:
    """The constants that an ``AreaResize`` reads beside its picture."""
    return [
        builder.constant(f"{stage.output}.rows", stage.rows),
        builder.constant(f"{stage.output}.columns", stage.columns),
        builder.scale(stage.area),
    ]


def _add(builder: GraphBuilder, plan: Plan, stage: AddStage) -> None:
    terms = [
        builder.node("DequantizeLinear", [name, *builder.quant(plan.tensors[name])])
        for name in (stage.input, stage.other)
    ]
    total = builder.node("Add", terms)
    builder.node("QuantizeLinear", [total, *builder.quant(plan.tensors[stage.output])], stage.output)


def _flatten(builder: GraphBuilder, stage: FlattenStage, shape: Shape) -> None:
    is_point = shape[0] == shape[1] == 1
    channels_first = stage.input if is_point else builder.node("Transpose", [stage.input], perm=TO_NCHW)
    builder.node("Flatten", [channels_first], stage.output)
