"""The reference's float order is onnxruntime's, tie for tie."""

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from dqmq_deploy.export import reference
from dqmq_deploy.export.plan import Plan, PoolStage, TensorQuant
from tests.export.onnx_runs import run_model

ROUND_SCALES = [0.01, 0.0125, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06]  # whose ratios make many exact ties


def write_qdq(path: Path, inputs: dict[str, TensorQuant], middle: NodeProto, y: TensorQuant) -> Path:
    """A file: dequantize ``inputs``, one node from ``NAME_real`` to ``y_real``, quantize to ``y``."""
    quants = {**inputs, "y": y}
    constants = [
        numpy_helper.from_array(np.array(quant.scale, np.float32), f"{name}_s") for name, quant in quants.items()
    ]
    constants += [
        numpy_helper.from_array(np.array(quant.zero_point, np.uint8), f"{name}_z") for name, quant in quants.items()
    ]
    nodes = [
        helper.make_node("DequantizeLinear", [name, f"{name}_s", f"{name}_z"], [f"{name}_real"]) for name in inputs
    ]
    graph = helper.make_graph(
        [*nodes, middle, helper.make_node("QuantizeLinear", ["y_real", "y_s", "y_z"], ["y"])],
        "qdq",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", "C", "H", "W"]) for name in inputs],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, ["N", "C", "OH", "OW"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("seed", range(12))
def test_a_sum_of_every_pair_of_codes(tmp_path: Path, seed: int) -> None:
    """All 65,536 pairs, at scales that make ties: not one code differs from onnxruntime's QLinearAdd."""
    rng = np.random.default_rng(seed)
    a, b, y = (TensorQuant(float(rng.choice(ROUND_SCALES)), int(rng.choice([0, 128]))) for _ in range(3))
    first = np.repeat(np.arange(256), 256).astype(np.uint8).reshape(1, 1, 256, 256)
    second = first.swapaxes(2, 3).copy()
    path = write_qdq(
        tmp_path / "sum.onnx", {"a": a, "b": b}, helper.make_node("Add", ["a_real", "b_real"], ["y_real"]), y
    )
    found, operators = run_model(path, {"a": first, "b": second})
    assert operators == {"QLinearAdd": 1}
    np.testing.assert_array_equal(found, reference.add(first, a, second, b, y))


@pytest.mark.parametrize("seed", range(6))
def test_a_global_average_at_ties(tmp_path: Path, seed: int) -> None:
    """Powers of two make every other mean a tie; half to even decides it here as there."""
    rng = np.random.default_rng(seed)
    x, y = (TensorQuant(float(2.0 ** -rng.integers(4, 7)), int(rng.choice([0, 128]))) for _ in range(2))
    codes = rng.integers(0, 256, (64, 33, 4, 4), dtype=np.uint8)
    path = write_qdq(tmp_path / "mean.onnx", {"x": x}, helper.make_node("GlobalAveragePool", ["x_real"], ["y_real"]), y)
    found, operators = run_model(path, {"x": codes})
    assert operators == {"QLinearGlobalAveragePool": 1}
    stage = PoolStage("global_average", "x", "y")
    expected = reference.run_stage(
        Plan((4, 4), {"x": x, "y": y}, (stage,), 1), stage, {"x": codes.transpose(0, 2, 3, 1)}
    )
    np.testing.assert_array_equal(found, expected.transpose(0, 3, 1, 2))


def test_rounding_is_half_to_even() -> None:
    """0.5 goes to 0, 1.5 and 2.5 to 2, and what lies outside is clamped."""
    acc = np.array([1, 3, 5, -1, 1000, -1000])
    assert reference.requantize(acc, np.float32(0.5), TensorQuant(1.0, 0)).tolist() == [0, 2, 2, 0, 255, 0]
    assert reference.requantize(acc, np.float32(0.5), TensorQuant(1.0, 128)).tolist() == [128, 130, 130, 128, 255, 0]
