"""A real bundle of tiny graphs, and images for it: two classes, dark and bright, told apart by the mean pixel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from dqmq_deploy.bundle.manifest import (
    CalibrationEntry,
    ConfigurationEntry,
    EstimatorEntry,
    ImageQuant,
    LayerEntry,
    Manifest,
    Parity,
    Preprocessing,
    PricePoint,
)
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.bundle.write import write_bundle

SIZE = 8
CLASSES = ["bright", "dark"]
LAYERS = [
    LayerEntry("first", 1000, 9, True),
    LayerEntry("middle<1>", 4000, 36, False),
    LayerEntry("last", 500, 8, True),
]


def linear_graph(weight: Sequence[float], bias: Sequence[float], output: str, *, last: str | None = None) -> bytes:
    """``image`` uint8 ``[N, H, W, 3]`` -> mean of the pixels, 0 to 1 -> ``mean * weight + bias`` -> ``output``."""
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "unit"], ["share"]),
        helper.make_node("Unsqueeze", ["share", "one"], ["column"]),
        helper.make_node("Gemm", ["column", "weight", "bias"], ["logit" if last else output]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["logit"], [output]))
    return _model(nodes, "image", TensorProto.UINT8, ["N", SIZE, SIZE, 3], weight, bias, output)


def float_graph(weight: Sequence[float], bias: Sequence[float]) -> bytes:
    """The same on float32 ``[N, 3, H, W]``, normalised to -2 .. 2."""
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["share"], keepdims=0),
        helper.make_node("Unsqueeze", ["share", "one"], ["column"]),
        helper.make_node("Gemm", ["column", "weight", "bias"], ["logits"]),
    ]
    return _model(nodes, "image", TensorProto.FLOAT, ["N", 3, SIZE, SIZE], weight, bias, "logits")


def _model(
    nodes: list[onnx.NodeProto],
    name: str,
    kind: int,
    shape: list[str | int],
    weight: Sequence[float],
    bias: Sequence[float],
    output: str,
) -> bytes:
    constants: dict[str, npt.NDArray[Any]] = {
        "axes": np.array([1, 2, 3], np.int64),
        "one": np.array([1], np.int64),
        "unit": np.array(1 / 255, np.float32),
        "weight": np.array([weight], np.float32),
        "bias": np.array(bias, np.float32),
    }
    used = {item for node in nodes for item in node.input}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", len(bias)])],
        [numpy_helper.from_array(value, item) for item, value in constants.items() if item in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _configuration(name: str, bits: int, accuracy: float) -> ConfigurationEntry:
    precision = {layer.name: 8 if layer.edge else bits for layer in LAYERS}
    cost = {layer.name: layer.macs for layer in LAYERS}
    bitops = sum(macs * precision[layer] ** 2 for layer, macs in cost.items())
    dearest = sum(cost.values()) * 64
    parity = Parity(16, 1.0, 0.0)
    return ConfigurationEntry(name, precision, bitops, 700, f"{name}.onnx", bitops / dearest, accuracy, 0.02, parity)


def write_tiny_bundle(path: Path, *, baselines: bool = True, name: str = "tiny") -> Path:
    """A bundle whose cheap configuration calls everything below 0.7 dark, while the dear one cuts at 0.5."""
    files = {
        "cheap.onnx": linear_graph([20.0, -20.0], [-14.0, 14.0], "logits"),
        "dear.onnx": linear_graph([20.0, -20.0], [-10.0, 10.0], "logits"),
        "estimator.onnx": linear_graph([-4.0, 0.0], [3.0, 3.0], "p_right", last="Sigmoid"),
        "weights.bin": b"",
    }
    paths: dict[str, str] = {}
    if baselines:
        paths = {"fp32": "baselines/fp32.onnx", "ort-int8": "baselines/ort-int8.onnx"}
        files |= {item: float_graph([20.0, -20.0], [0.0, 0.0]) for item in paths.values()}
    manifest = Manifest(
        name=name,
        classes=CLASSES,
        preprocessing=Preprocessing(SIZE, SIZE),
        image_quant=ImageQuant(1 / 64, 128),
        layers=LAYERS,
        configurations=[_configuration("cheap", 2, 0.8), _configuration("dear", 8, 1.0)],
        estimator=EstimatorEntry("estimator.onnx"),
        price_curve=[
            PricePoint(0.0, 1.0, 352_000.0, 0.04, {"cheap": 0.0, "dear": 1.0}),
            PricePoint(1.0, 0.8, 112_000.0, 0.04, {"cheap": 1.0, "dear": 0.0}),
        ],
        default_price=0.2,
        calibration=CalibrationEntry(16, "test machine"),
        baselines=paths,
        versions={"dqmq_deploy": "0.1.0"},
    )
    write_bundle(path, files, manifest)
    return path


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with baselines."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.dqmq")


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    """The same, opened."""
    return Bundle.open(bundle_path)


def grey_images(count: int, seed: int) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """``[count, SIZE, SIZE, 3]`` grey images with some noise, and the class of each."""
    rng = np.random.default_rng(seed)
    levels = np.concatenate([rng.uniform(20, 115, count // 2), rng.uniform(140, 235, count - count // 2)])
    noise = rng.integers(-10, 11, (count, SIZE, SIZE, 3))
    pixels = np.clip(levels[:, None, None, None] + noise, 0, 255).astype(np.uint8)
    return pixels, ["dark" if level < 127 else "bright" for level in levels]


def write_images(root: Path, count: int = 40, seed: int = 0) -> Path:
    """A folder of class folders with ``count`` images."""
    pixels, classes = grey_images(count, seed)
    for index, (image, name) in enumerate(zip(pixels, classes, strict=True)):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index:03}.png")
    return root


@pytest.fixture(scope="session")
def images_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled folder of forty images."""
    return write_images(tmp_path_factory.mktemp("images"))
