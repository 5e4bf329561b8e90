"""What is done to pictures first: the same codes on our kernels, stock, torch and the reference; no crashes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageFilter

from dqmq_deploy.export import reference
from dqmq_deploy.export.functions import DOMAIN, OPSET, function
from dqmq_deploy.export.plan import MedianStage, PictureStage, Plan, ResizeStage, StandardStage
from dqmq_deploy.quant.shrink import Shrinking, area_taps, shrink_codes
from dqmq_deploy.quant.standard import standardize
from dqmq_deploy.standard import MOST_GAIN, MOST_VALUES
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


def expected(stage: PictureStage, x: Codes) -> Codes:
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


def amounts(spread: float = 60.0, most_gain: float = MOST_GAIN) -> Weights:
    """What the operator that standardizes reads beside the picture."""
    return {"spread": np.array(spread, np.float32), "most_gain": np.array(most_gain, np.float32)}


def lights(shape: tuple[int, ...]) -> Codes:
    """Random pictures, from nearly one colour to all codes, at any brightness; the first is of one colour all over."""
    rng = np.random.default_rng(shape)
    of_each = shape[0], 1, 1, 1
    wide = rng.uniform(0, 256, shape) * rng.uniform(0.01, 1, of_each) + rng.uniform(-60, 200, of_each)
    wide[0] = 97
    return np.clip(wide, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(9, 32, 32, 3), (40, 5, 7, 1), (3, 1, 1, 4), (2, 3, 400, 300), (2, 224, 224, 3)])
@pytest.mark.parametrize("spread", [60.0, 33.3])
def test_one_light(shape: tuple[int, ...], spread: float) -> None:
    """Kernel, function body, NumPy and torch round alike, for sums that no float32 holds as well."""
    x = lights(shape)
    graph = model("Standardize", amounts(spread))
    ours, stock = (open_model(graph, kernels=kernels).run(None, {"x": x})[0] for kernels in (True, False))
    np.testing.assert_array_equal(ours, stock)
    np.testing.assert_array_equal(ours, expected(StandardStage("x", "y", spread), x))
    of_torch = standardize(torch.from_numpy(x).permute(0, 3, 1, 2).float(), spread)
    np.testing.assert_array_equal(ours, of_torch.permute(0, 2, 3, 1).numpy())
    assert (ours[0] == 128).all()


def test_one_light_takes_light_away() -> None:
    """A picture at half the light, and one with its contrast lost, come out nearly as the picture itself."""
    x = np.random.default_rng(0).integers(0, 200, (1, 32, 32, 3)).astype(np.uint8)
    changed = np.concatenate([x, x // 2, 90 + x // 4])
    one, dark, pale = (row.astype(int) for row in expected(StandardStage("x", "y", 50.0), changed))
    assert abs(one.mean() - 128) < 1 and abs(one.std() - 50) < 1
    assert np.abs(dark - one).max() <= 2 and np.abs(pale - one).max() <= 4


def test_weights_that_come_with_the_call() -> None:
    """The same answer as from constants of the graph."""
    x = pictures((1, 6, 6, 3))
    stage = ResizeStage("x", "y", area_taps(6, 1, 3), area_taps(6, 0, 4))
    constant = open_model(model("AreaResize", weights(stage)), kernels=True).run(None, {"x": x})[0]
    fed = open_model(model("AreaResize", weights(stage), fed=True), kernels=True)
    np.testing.assert_array_equal(fed.run(None, {"x": x, **weights(stage)})[0], constant)
    standard = open_model(model("Standardize", amounts(), fed=True), kernels=True).run(None, {"x": x, **amounts()})[0]
    np.testing.assert_array_equal(standard, expected(StandardStage("x", "y", 60.0), x))


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


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"spread": np.array(0, np.float32)}, "spread: expected a number above 0"),
        ({"spread": np.array(np.inf, np.float32)}, "spread: expected a number above 0"),
        ({"most_gain": np.array(np.nan, np.float32)}, "most_gain: expected a number above 0"),
        ({"spread": np.ones(2, np.float32)}, "spread"),
    ],
)
def test_lights_that_make_no_sense(changed: dict[str, npt.NDArray[Any]], message: str) -> None:
    """An error when the session is made; one when a picture comes whose sums would not fit."""
    with pytest.raises(Exception, match=message):
        open_model(model("Standardize", {**amounts(), **changed}), kernels=True)
    session = open_model(model("Standardize", amounts()), kernels=True)
    with pytest.raises(Exception, match=rf"pictures of at most {MOST_VALUES} values"):
        session.run(None, {"x": np.zeros((1, 1, 1, MOST_VALUES + 1), np.uint8)})


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 4, 5, 3), (1, 0, 4, 3)])
def test_pictures_that_make_no_sense(shape: tuple[int, ...]) -> None:
    """An error when they come: wrong rank, another size than the weights are for, empty."""
    stage = ResizeStage("x", "y", area_taps(4, 0, 2), area_taps(4, 0, 2))
    session = open_model(model("AreaResize", weights(stage)), kernels=True)
    with pytest.raises(Exception, match=r"AreaResize|x: expected"):
        session.run(None, {"x": np.zeros(shape, np.uint8)})
