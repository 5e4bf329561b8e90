"""A small real bundle, made by hand: it tells red, green and blue pictures apart, at four precisions.

A configuration of b bits rounds the pixels down to 2**b levels, averages over the picture and weighs the channels. Few
levels lose dark pictures: all channels round to 0. The estimator sees only the brightness and predicts just that.
So a bright picture is cheap to get right, a dark one needs the dearest configuration. A configuration that sees all
channels alike scores a third: escalating works, too.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from dqmq_deploy.bits import Layer, bitops
from dqmq_deploy.bundle.manifest import (
    CalibrationEntry,
    ConfigurationEntry,
    EstimatorEntry,
    ImageQuant,
    LayerEntry,
    Manifest,
    Parity,
    PolicyEntry,
    Preprocessing,
    PricePoint,
)
from dqmq_deploy.bundle.write import write_bundle
from dqmq_deploy.routing import Evidence, best_cascade, evidence_of, run_cascade, run_route

CLASSES = ["red", "green", "blue"]
HEIGHT, WIDTH = 12, 16
MEMORY = np.triu(np.full((4, 4), 0.15), 1)
BITS = {"w2": 2, "w3": 3, "w4": 4, "w8": 8}
DARKEST = {"w2": 0.26, "w3": 0.13, "w4": 0.065, "w8": 0.0}  # of 1: below this mean brightness a configuration guesses

PRICES = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)
ESTIMATOR_COST = 0.02

Pixels = npt.NDArray[np.uint8]


def pictures(count: int, seed: int = 0) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Noisy pictures uint8 ``[count, HEIGHT, WIDTH, 3]`` of one strong channel, dark to bright; and that channel."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    level = rng.uniform(12, 220, (count, 1, 1, 1)) * np.where(np.arange(3) == labels[:, None], 1.0, 0.5)[:, None, None]
    noisy = level + rng.uniform(-3, 3, (count, HEIGHT, WIDTH, 3))
    return noisy.clip(0, 255).astype(np.uint8), labels


def reference_logits(pixels: Pixels, bits: int) -> npt.NDArray[np.float32]:
    """What the graph of ``bits`` answers, in NumPy."""
    step = 2 ** (8 - bits)
    means = (pixels // step * step).mean(axis=(1, 2), dtype=np.float64)
    return np.asarray(0.1 * means, np.float32)


def reference_p_right(pixels: Pixels) -> npt.NDArray[np.float32]:
    """What the estimator answers, in NumPy."""
    brightness = pixels.mean(axis=(1, 2, 3), dtype=np.float64)[:, None] / 255
    return np.asarray(1 / (1 + np.exp(-60 * (brightness - np.array(list(DARKEST.values()))))), np.float32)


def reference_evidence(pixels: Pixels, labels: npt.NDArray[np.int64]) -> Evidence:
    """What the bundle's own calibration images say."""
    logits = np.stack([reference_logits(pixels, bits) for bits in BITS.values()], axis=1)
    return evidence_of(reference_p_right(pixels), logits, labels, MEMORY)


def write_tiny_bundle(path: Path, classes: list[str] = CLASSES, policy: str = "route") -> None:
    """Write the bundle; other ``classes`` than three make one whose graphs do not fit its manifest.

    ``policy`` is its default.
    """
    pixels, labels = pictures(300)
    layers = [Layer("first", 1000, 30, edge=True), Layer("inner", 9000, 300), Layer("last", 300, 9, edge=True)]
    bits = {name: {"first": 8, "inner": inner, "last": 8} for name, inner in BITS.items()}
    spent = {name: bitops(layers, chosen) for name, chosen in bits.items()}
    cost = np.array(list(spent.values())) / spent["w8"]
    evidence = reference_evidence(pixels, labels)
    configurations = [
        ConfigurationEntry(
            name=name,
            bits=bits[name],
            bitops=spent[name],
            bytes=1000 + 100 * BITS[name],
            graph=f"{name}.onnx",
            cost=float(cost[index]),
            accuracy=float(evidence.right[:, index].mean()),
            latency_ms=0.01,
            parity=Parity(300, 1.0, 0.0),
            shrink=1,
        )
        for index, name in enumerate(BITS)
    ]
    weights = np.diag([0.1, 0.1, 0.1]).astype(np.float32).tobytes()
    files = {f"{name}.onnx": _graph(inner).SerializeToString() for name, inner in BITS.items()}
    manifest = Manifest(
        name="tiny",
        classes=classes,
        preprocessing=Preprocessing(HEIGHT, WIDTH),
        image_quant=ImageQuant(1 / 64, 128),
        layers=[LayerEntry(layer.name, layer.macs, layer.weight_count, layer.edge) for layer in layers],
        configurations=configurations,
        estimator=EstimatorEntry("estimator.onnx", 0.0002, ESTIMATOR_COST),
        policies=[
            PolicyEntry("escalate", [_cascade_point(price, evidence, cost) for price in PRICES]),
            PolicyEntry("route", [_route_point(price, evidence, cost) for price in PRICES]),
        ],
        memory=MEMORY.tolist(),
        default_policy=policy,
        default_price=0.2,
        calibration=CalibrationEntry(300, "a test"),
        baselines={},
        versions={"dqmq_deploy": "0.1.0"},
    )
    write_bundle(path, {**files, "estimator.onnx": _estimator().SerializeToString(), "weights.bin": weights}, manifest)


def _route_point(price: float, evidence: Evidence, cost: npt.NDArray[np.float64]) -> PricePoint:
    outcome = run_route(evidence, cost, 0.0, price)
    routes = (evidence.p_right - price * cost).argmax(axis=1)
    share = np.bincount(routes, minlength=len(cost)) / len(routes)
    mix = dict(zip(BITS, share.tolist(), strict=True))
    return PricePoint(price, float(outcome.right.mean()), float(outcome.cost.mean()) * 1e6, 0.02, mix)


def _cascade_point(price: float, evidence: Evidence, cost: npt.NDArray[np.float64]) -> PricePoint:
    cascade = best_cascade(evidence, cost, ESTIMATOR_COST, price)
    outcome = run_cascade(cascade, evidence, cost, 0.0)
    skipped = cascade.skipped(evidence.p_right)
    again = ~skipped & cascade.escalated(evidence.score[:, cascade.first])
    share = np.bincount(np.where(skipped | again, cascade.last, cascade.first), minlength=len(cost)) / len(again)
    names = list(BITS)
    return PricePoint(
        price,
        float(outcome.right.mean()),
        float(outcome.cost.mean()) * 1e6,
        0.02,
        dict(zip(BITS, share.tolist(), strict=True)),
        first=names[cascade.first],
        last=names[cascade.last],
        threshold=cascade.threshold,
        skip=cascade.skip,
        escalated=float(again.mean()),
        skipped=float(skipped.mean()),
    )


def _graph(bits: int) -> ModelProto:
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[3, 3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "36")):
        weights.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("BitwiseAnd", ["image", "mask"], ["coarse"]),
        helper.make_node("Cast", ["coarse"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(256 - 2 ** (8 - bits), np.uint8), "mask"),
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        weights,
    ]
    return _model(nodes, constants, "logits", 3)


def _estimator() -> ModelProto:
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "shape"], ["column"]),
        helper.make_node("Div", ["column", "full"], ["brightness"]),
        helper.make_node("Sub", ["brightness", "darkest"], ["margin"]),
        helper.make_node("Mul", ["margin", "slope"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["p_right"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
        numpy_helper.from_array(np.array([-1, 1], np.int64), "shape"),
        numpy_helper.from_array(np.array(255, np.float32), "full"),
        numpy_helper.from_array(np.array([list(DARKEST.values())], np.float32), "darkest"),
        numpy_helper.from_array(np.array(60, np.float32), "slope"),
    ]
    return _model(nodes, constants, "p_right", len(BITS))


def _model(nodes: list[NodeProto], constants: list[TensorProto], output: str, width: int) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        output,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", width])],
        constants,
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model
