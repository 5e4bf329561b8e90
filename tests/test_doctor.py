"""The doctor must see the difference between a graph that runs in integers and one that only looks quantized."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dqmq_deploy.doctor import FLOAT_ARITHMETIC, machine, optimised_nodes
from dqmq_deploy.errors import BundleError
from dqmq_deploy.export import graph
from dqmq_deploy.export.weights import WeightStore
from dqmq_deploy.kernels import OPERATORS
from tests.export.plans import PlanMaker


def test_our_own_graph_runs_in_integers(tmp_path: Path) -> None:
    """Convolutions at 2 and 8 bits with a residual, a pool and a linear layer: nothing is left in float, either way."""
    maker = PlanMaker((12, 12), seed=3)
    first = maker.conv("image", 8, (3, 3), 8, pads=(1, 1, 1, 1))
    inner = maker.conv(first, 8, (3, 3), 2, pads=(1, 1, 1, 1))
    plan = maker.plan(maker.conv(inner, 8, (3, 3), 2, pads=(1, 1, 1, 1), residual=first))
    weights = WeightStore()
    path = tmp_path / "graph.onnx"
    path.write_bytes(graph.build(plan, weights).SerializeToString())
    (tmp_path / "weights.bin").write_bytes(weights.to_bytes())
    stock = [op_type for _, op_type in optimised_nodes(path, kernels=False)]
    ours = [op_type for _, op_type in optimised_nodes(path)]
    assert stock.count("QLinearConv") == 3 and not OPERATORS.intersection(stock)
    assert ours.count("QConv") == 2 and ours.count("QConvAdd") == ours.count("QLinear") == 1
    assert not FLOAT_ARITHMETIC.intersection(stock + ours)


def looks_quantized(bias_scale: float) -> onnx.ModelProto:
    """Quantize and dequantize around a convolution; it is fused only if the bias has the scale that fusion needs."""
    weights, scales = np.ones((4, 3, 1, 1), np.int8), np.full(4, 0.5, np.float32)
    constants = {
        "s": np.float32(0.5), "z": np.uint8(128), "w": weights, "ws": scales, "wz": np.zeros(4, np.int8),
        "b": np.arange(4, dtype=np.int32), "bs": np.full(4, bias_scale, np.float32), "bz": np.zeros(4, np.int32),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bf"], axis=0),
        helper.make_node("Conv", ["xf", "wf", "bf"], ["cf"], name="the convolution"),
        helper.make_node("QuantizeLinear", ["cf", "s", "z"], ["y"]),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, 4, 4, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model: onnx.ModelProto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model


def test_a_convolution_that_lost_its_fusion_is_named(tmp_path: Path) -> None:
    """A bias scale that is not input scale times weight scale loses it without a word; the doctor says which node."""
    path = tmp_path / "graph.onnx"
    for bias_scale, fused in ((0.25, True), (0.3, False)):
        path.write_bytes(looks_quantized(bias_scale).SerializeToString())
        in_float = [(name, op_type) for name, op_type in optimised_nodes(path) if op_type in FLOAT_ARITHMETIC]
        assert in_float == ([] if fused else [("the convolution", "Conv")])


def test_a_graph_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    """One line with the file and onnxruntime's reason."""
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"graph\.onnx: onnxruntime cannot load it"):
        optimised_nodes(path)


def test_the_machine_is_told_without_what_its_kind_cannot_have() -> None:
    """No ARM instruction set is missed on x86, and no flag is both there and missing."""
    facts = machine()
    flags, absent = facts["flags"], facts["flags_absent"]
    assert isinstance(flags, list) and isinstance(absent, list)
    assert not set(flags) & set(absent)
    assert not {"avx2", "i8mm"} <= {*flags, *absent}
