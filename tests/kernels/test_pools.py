"""Average pools as nodes: the same codes on our kernels, on stock onnxruntime and in the reference; no crashes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper, numpy_helper

from dqmq_deploy.export import reference
from dqmq_deploy.export.functions import DOMAIN, OPSET, function
from dqmq_deploy.export.plan import Plan, PoolStage, TensorQuant
from tests.kernels.nodes import open_model

Codes = npt.NDArray[np.uint8]
X, Y = TensorQuant(0.02, 7), TensorQuant(0.013, 100)
WINDOWS: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 0, 0]}


def model(operator: str, attributes: Mapping[str, Any], *, fed: bool = False, **changed: npt.NDArray[Any]) -> bytes:
    """A model of one pool; scales and zero points are constants of the graph unless ``fed``."""
    given: dict[str, npt.NDArray[Any]] = {
        "x_scale": np.array(X.scale, np.float32), "x_zp": np.array(X.zero_point, np.uint8),
        "y_scale": np.array(Y.scale, np.float32), "y_zp": np.array(Y.zero_point, np.uint8), **changed,
    }  # fmt: skip
    types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, None)]
    if fed:
        inputs += [helper.make_tensor_value_info(n, types[v.dtype.name], None) for n, v in given.items()]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *given], ["y"], name="pool", domain=DOMAIN, **attributes)],
        "pool", inputs, [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [] if fed else [numpy_helper.from_array(v, n) for n, v in given.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    made = helper.make_model(graph, opset_imports=opsets, functions=[function(operator)], ir_version=10)
    return bytes(made.SerializeToString())


def expected(stage: PoolStage, x: Codes) -> Codes:
    """What the reference makes of ``x``."""
    plan = Plan((x.shape[1], x.shape[2]), {"x": X, "y": Y}, (stage,), 1)
    return np.asarray(reference.run_stage(plan, stage, {"x": x}), np.uint8)


@pytest.mark.parametrize("shape", [(1, 8, 8, 64), (2, 7, 7, 5), (1, 1, 1, 3), (3, 16, 4, 1)])
def test_the_whole_picture(shape: tuple[int, ...]) -> None:
    """Any size, any number of channels and images."""
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    graph = model("QGlobalAveragePool", {})
    ours, stock = (open_model(graph, kernels=kernels).run(None, {"x": x})[0] for kernels in (True, False))
    np.testing.assert_array_equal(ours, expected(PoolStage("global_average", "x", "y"), x))
    np.testing.assert_array_equal(ours, stock)


@pytest.mark.parametrize(
    ("kernel", "strides", "pads"),
    [([2, 2], [2, 2], [0, 0, 0, 0]), ([3, 2], [1, 2], [1, 0, 1, 1]), ([1, 1], [1, 1], [0, 0, 0, 0]),
     ([4, 4], [4, 4], [0, 0, 0, 0]), ([3, 3], [2, 2], [1, 1, 1, 1])],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3, 33])
def test_windows(kernel: list[int], strides: list[int], pads: list[int], channels: int) -> None:
    """Padding counts as zeros, in the mean's divisor, too."""
    x = np.random.default_rng(1).integers(0, 256, (2, 12, 9, channels), np.uint8)
    graph = model("QAveragePool", {"kernel_shape": kernel, "strides": strides, "pads": pads})
    ours, stock = (open_model(graph, kernels=kernels).run(None, {"x": x})[0] for kernels in (True, False))
    stage = PoolStage("average", "x", "y", (kernel[0], kernel[1]), (strides[0], strides[1]), tuple(pads))  # type: ignore[arg-type]
    np.testing.assert_array_equal(ours, expected(stage, x))
    np.testing.assert_array_equal(ours, stock)


def test_scales_that_come_with_the_call() -> None:
    """The same answer as from constants of the graph."""
    x = np.random.default_rng(2).integers(0, 256, (1, 6, 6, 4), np.uint8)
    constant = open_model(model("QAveragePool", WINDOWS), kernels=True).run(None, {"x": x})[0]
    feed = {"x": x, "x_scale": np.array(X.scale, np.float32), "x_zp": np.array(X.zero_point, np.uint8)}
    feed |= {"y_scale": np.array(Y.scale, np.float32), "y_zp": np.array(Y.zero_point, np.uint8)}
    fed = open_model(model("QAveragePool", WINDOWS, fed=True), kernels=True).run(None, feed)[0]
    np.testing.assert_array_equal(fed, constant)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"strides": [2, 2]}, "kernel_shape: expected integers, got none"),
        ({"kernel_shape": [2]}, "kernel_shape: expected 2 integers"),
        ({"kernel_shape": [0, 2]}, "kernel height"),
        ({"kernel_shape": [2, 2], "strides": [0, 1]}, "strides"),
        ({"kernel_shape": [2, 2], "pads": [1, 1]}, "pads: expected 4 integers"),
        ({"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}, "pads"),
        ({"kernel_shape": [1] * 9}, "at most 8 integers"),
    ],
)
def test_windows_that_make_no_sense(attributes: dict[str, Any], message: str) -> None:
    """An error when the session is made, which names the attribute."""
    with pytest.raises(Exception, match=message):
        open_model(model("QAveragePool", attributes), kernels=True)


@pytest.mark.parametrize("scale", [0.0, np.inf, np.nan])
def test_scales_without_a_finite_ratio(scale: float) -> None:
    """An error, too."""
    with pytest.raises(Exception, match="finite ratio"):
        open_model(model("QGlobalAveragePool", {}, y_scale=np.array(scale * 0, np.float32)), kernels=True)


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 1, 1, 3), (1, 0, 4, 3)])
def test_pictures_that_make_no_sense(shape: tuple[int, ...]) -> None:
    """An error when they come: wrong rank, smaller than the window, empty."""
    session = open_model(model("QAveragePool", {**WINDOWS, "kernel_shape": [3, 3]}), kernels=True)
    with pytest.raises(Exception, match=r"QAveragePool|x: expected"):
        session.run(None, {"x": np.zeros(shape, np.uint8)})
