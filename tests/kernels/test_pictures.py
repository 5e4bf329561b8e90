"""What makes small pictures, as nodes: the same codes on our kernels, stock, torch and the reference; no crashes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageFilter

from dqmq_deploy.export import reference
from dqmq_deploy.export.functions import DOMAIN, OPSET, function
from dqmq_deploy.export.plan import MedianStage, Plan, ResizeStage
from dqmq_deploy.quant.shrink import Shrinking, area_taps, shrink_codes
from tests.kernels.nodes import open_model

Codes = npt.NDArray[np.uint8]


Weights = dict[str, npt.NDArray[Any]]


def model(operator: str, given: Weights | None = None, *, fed: bool = False) -> bytes:
    """A model of one operator; what it reads beside the picture is constant unless ``fed``."""
    given = given or {}
    types = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "uint8": TensorProto.UINT8}
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, None)]
    if fed:
        inputs += [helper.make_tensor_value_info(n, types[v.dtype.name], None) for n, v in given.items()]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *given], ["y"], name="picture", domain=DOMAIN)],
        "picture", inputs, [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [] if fed else [numpy_helper.from_array(v, n) for n, v in given.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    made = helper.make_model(graph, opset_imports=opsets, functions=[function(operator)], ir_version=10)
    return bytes(made.SerializeToString())


def pictures(shape: tuple[int, ...]) -> Codes:
    """Random ones."""
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


def expected(stage: MedianStage | ResizeStage, x: Codes) -> Codes:
    """What the reference makes of ``x``."""
    return np.asarray(reference.run_stage(Plan((1, 1), {}, (stage,), 1), stage, {"x": x}), np.uint8)


def weights(stage: ResizeStage) -> Weights:
    """What the operator reads beside the picture."""
    return {"rows": stage.rows, "columns": stage.columns, "area": np.array(stage.area, np.float32)}


@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (2, 5, 7, 1), (3, 1, 1, 4), (1, 1, 9, 3), (2, 40, 2, 17)])
def test_median(shape: tuple[int, ...]) -> None:
    """Any size, any number of channels and images; what Pillow calls a median filter."""
    x = pictures(shape)
    graph = model("MedianFilter")
    ours, stock = (open_model(graph, kernels=kernels).run(None, {"x": x})[0] for kernels in (True, False))
    np.testing.assert_array_equal(ours, stock)
    np.testing.assert_array_equal(ours, expected(MedianStage("x", "y"), x))
    if shape[3] == 3 and min(shape[1:3]) > 1:
        pillow = [np.asarray(Image.fromarray(one).filter(ImageFilter.MedianFilter(3))) for one in x]
        np.testing.assert_array_equal(ours, np.stack(pillow))


@pytest.mark.parametrize(
    ("size", "crop", "fewer"),
    [((32, 32), 0, (16, 16)), ((32, 32), 3, (16, 16)), ((32, 48), 4, (16, 24)), ((7, 5), 0, (3, 2)),
     ((9, 9), 2, (5, 5)), ((6, 6), 0, (6, 6)), ((4, 4), 1, (1, 1)), ((224, 224), 13, (112, 112))],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_areas(size: tuple[int, int], crop: int, fewer: tuple[int, int], channels: int) -> None:
    """Whole and broken pixels to the mean, half to even; torch, which trains on them, finds the same codes."""
    x = pictures((2, *size, channels))
    rows, columns = (area_taps(s, crop, f) for s, f in zip(size, fewer, strict=True))
    stage = ResizeStage("x", "y", rows, columns)
    graph = model("AreaResize", weights(stage))
    ours, stock = (open_model(graph, kernels=kernels).run(None, {"x": x})[0] for kernels in (True, False))
    np.testing.assert_array_equal(ours, stock)
    np.testing.assert_array_equal(ours, expected(stage, x))
    shrink = size[0] // fewer[0]
    if fewer == (size[0] // shrink, size[1] // shrink):
        tensor = torch.from_numpy(x).permute(0, 3, 1, 2).float()
        np.testing.assert_array_equal(
            ours, shrink_codes(tensor, shrink, Shrinking(crop)).round().permute(0, 2, 3, 1).numpy()
        )


def test_weights_that_come_with_the_call() -> None:
    """The same answer as from constants of the graph."""
    x = pictures((1, 6, 6, 3))
    stage = ResizeStage("x", "y", area_taps(6, 1, 3), area_taps(6, 0, 4))
    constant = open_model(model("AreaResize", weights(stage)), kernels=True).run(None, {"x": x})[0]
    fed = open_model(model("AreaResize", weights(stage), fed=True), kernels=True)
    np.testing.assert_array_equal(fed.run(None, {"x": x, **weights(stage)})[0], constant)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rows": np.array([[1, -1, 0, 0]], np.int32)}, "from 0"),
        ({"rows": np.ones(4, np.int32)}, r"rows: expected int32 \[parts, pixels\]"),
        ({"rows": np.full((1, 4), 40_000, np.int32)}, "at most 65793"),
        ({"area": np.array(0, np.float32)}, "area: expected"),
        ({"area": np.array(np.nan, np.float32)}, "area: expected"),
        ({"area": np.ones(2, np.float32)}, "area"),
    ],
)
def test_weights_that_make_no_sense(changed: dict[str, npt.NDArray[Any]], message: str) -> None:
    """An error when the session is made, which says what was expected."""
    stage = ResizeStage("x", "y", area_taps(4, 0, 2), area_taps(4, 0, 2))
    with pytest.raises(Exception, match=message):
        open_model(model("AreaResize", {**weights(stage), **changed}), kernels=True)


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 4, 5, 3), (1, 0, 4, 3)])
def test_pictures_that_make_no_sense(shape: tuple[int, ...]) -> None:
    """An error when they come: wrong rank, another size than the weights are for, empty."""
    stage = ResizeStage("x", "y", area_taps(4, 0, 2), area_taps(4, 0, 2))
    session = open_model(model("AreaResize", weights(stage)), kernels=True)
    with pytest.raises(Exception, match=r"AreaResize|x: expected"):
        session.run(None, {"x": np.zeros(shape, np.uint8)})
