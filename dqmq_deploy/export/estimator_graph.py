"""The quality estimator as an ONNX graph.

    image uint8 [N, H, W, 3] ── Dequantize ── Transpose ── Conv ── Relu ─┬─ Conv ── Relu ─┬─ ...
                                                                        mean             mean
                                                                         └─ concat ── Gemm ── Sigmoid ── p_right [N, K]

It reads the very codes that the configurations read, so that a picture is prepared once.
"""

import onnx

from dqmq_deploy.export.float_graph import activate, conv
from dqmq_deploy.export.nodes import TO_NCHW, GraphBuilder, float_output, image_input
from dqmq_deploy.export.plan import EstimatorPlan


def build(plan: EstimatorPlan) -> onnx.ModelProto:
    """The graph of ``plan``. Input ``image``: uint8 ``[N, H, W, 3]``; output ``p_right``: float32 ``[N, K]``."""
    builder = GraphBuilder()
    real = builder.node("DequantizeLinear", ["image", *builder.quant(plan.image_quant)])
    value = builder.node("Transpose", [real], perm=TO_NCHW)
    features = []
    for stage in plan.convs:
        value = activate(builder, conv(builder, stage, value), "relu", stage.output)
        features.append(builder.node("GlobalAveragePool", [value]))
    joined = builder.node("Concat", features, axis=1) if len(features) > 1 else features[0]
    head = [
        builder.node("Flatten", [joined]),
        builder.constant("head.w", plan.head_weight),
        builder.constant("head.b", plan.head_bias),
    ]
    builder.node("Sigmoid", [builder.node("Gemm", head, transB=1)], "p_right")
    return builder.model("estimator", image_input(*plan.image_size), float_output("p_right", len(plan.head_bias)))
