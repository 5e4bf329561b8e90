"""The float baseline, its int8 twin and the estimator compute what torch computes from the same numbers."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch.nn import functional as F

from dqmq_deploy.export import baseline, estimator_graph, float_graph
from dqmq_deploy.export.plan import (
    AddStage,
    FlattenStage,
    FloatConv,
    FloatLinear,
    FloatPlan,
    PoolStage,
    TensorQuant,
)
from tests.export.onnx_runs import run_model
from tests.export.planned_net import PlannedNet
from tests.export.plans import IMAGE_QUANT, random_images, resnet20

RNG = np.random.default_rng(0)


def weight(*shape: int) -> npt.NDArray[np.float32]:
    """Random weights of a fitting size."""
    fan_in = int(np.prod(shape[1:]))
    values: npt.NDArray[np.float32] = (RNG.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    return values


def write(model: onnx.ModelProto, folder: Path) -> Path:
    """A checked model in a file."""
    onnx.checker.check_model(model, full_check=True)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_float_graph_against_torch(tmp_path: Path) -> None:
    """Every kind of stage and activation."""
    first, left, right = weight(8, 3, 3, 3), weight(8, 4, 3, 3), weight(8, 8, 1, 1)
    hidden, last = weight(10, 8 * 3 * 3), weight(5, 10)
    bias8, bias10, bias5 = weight(8, 1)[:, 0], weight(10, 1)[:, 0], weight(5, 1)[:, 0]
    plan = FloatPlan(
        (12, 12),
        IMAGE_QUANT,
        (
            FloatConv("a", "image", "a", first, bias8, pads=(1, 1, 1, 1), activation="relu6"),
            PoolStage("max", "a", "m", (3, 3), (2, 2), (1, 1, 1, 1)),
            FloatConv("b", "m", "b", left, bias8, pads=(1, 1, 1, 1), groups=2, residual="m", activation="relu"),
            FloatConv("c", "m", "c", right, bias8),
            AddStage("b", "c", "s", "relu"),
            PoolStage("average", "s", "p", (2, 2), (2, 2)),
            FlattenStage("p", "f"),
            FloatLinear("d", "f", "d", hidden, bias10, "relu"),
            FloatLinear("e", "d", "logits", last, bias5),
        ),
        5,
    )
    pixels = baseline.normalised(random_images(4, (12, 12), 1), IMAGE_QUANT)
    found, _ = run_model(write(float_graph.build(plan), tmp_path), {"image": pixels})

    tensors = [torch.from_numpy(array) for array in (first, left, right, hidden, last, bias8, bias10, bias5)]
    first_t, left_t, right_t, hidden_t, last_t, bias8_t, bias10_t, bias5_t = tensors
    a = F.max_pool2d(F.relu6(F.conv2d(torch.from_numpy(pixels), first_t, bias8_t, padding=1)), 3, 2, 1)
    b = F.relu(F.conv2d(a, left_t, bias8_t, padding=1, groups=2) + a)
    pooled = F.avg_pool2d(F.relu(b + F.conv2d(a, right_t, bias8_t)), 2, 2)
    expected = F.linear(F.relu(F.linear(pooled.flatten(1), hidden_t, bias10_t)), last_t, bias5_t)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_global_average(tmp_path: Path) -> None:
    """The mean over positions, then a linear layer."""
    last = weight(4, 3)
    stages = (
        PoolStage("global_average", "image", "p"),
        FlattenStage("p", "f"),
        FloatLinear("l", "f", "logits", last, np.zeros(4, np.float32)),
    )
    pixels = baseline.normalised(random_images(2, (5, 6), 1), IMAGE_QUANT)
    found, _ = run_model(
        write(float_graph.build(FloatPlan((5, 6), IMAGE_QUANT, stages, 4)), tmp_path), {"image": pixels}
    )
    np.testing.assert_allclose(found, pixels.mean(axis=(2, 3)) @ last.T, rtol=1e-4, atol=1e-5)


def test_pixels_become_numbers() -> None:
    """Codes to ``(code - zero_point) * scale``, channels first."""
    found = baseline.normalised(np.array([[[[0, 128, 255]]]], np.uint8), TensorQuant(1 / 64, 128))
    assert found.dtype == np.float32
    assert found.tolist() == [[[[-2.0]], [[0.0]], [[127 / 64]]]]


def test_int8_baseline_runs_in_integers(tmp_path: Path) -> None:
    """quantize_static's graph has its convolutions fused, reads floats, and resembles the float network."""
    net = PlannedNet({"w8": resnet20(8, size=16, width=8)})
    plan = net.float_plan()
    assert plan is not None
    pixels = baseline.normalised(net.calibration_images, IMAGE_QUANT)
    model = float_graph.build(plan)
    quantized = baseline.quantize_int8(model, pixels)
    expected, _ = run_model(write(model, tmp_path), {"image": pixels})
    found, operators = run_model(write(quantized, tmp_path), {"image": pixels})
    assert operators["QLinearConv"] == 21
    assert not {"Conv", "FusedConv"} & operators.keys()
    assert {entry.domain for entry in quantized.opset_import} == {""}
    assert np.abs(found - expected).mean() < 0.1 * np.ptp(expected)


def test_estimator_against_torch(tmp_path: Path) -> None:
    """Means of every convolution's output through one linear layer and a sigmoid, straight from uint8 pictures."""
    net = PlannedNet({"w2": resnet20(2, size=16, width=4), "w8": resnet20(8, size=16, width=4)})
    plan = net.estimator_plan()
    images = random_images(5, (16, 16), 2)
    found, _ = run_model(write(estimator_graph.build(plan), tmp_path), {"image": images})
    value = torch.from_numpy(baseline.normalised(images, IMAGE_QUANT))
    features = []
    for conv in plan.convs:
        value = F.relu(F.conv2d(value, torch.from_numpy(conv.weight), torch.from_numpy(conv.bias), stride=2, padding=1))
        features.append(value.mean((2, 3)))
    logits = F.linear(torch.cat(features, 1), torch.from_numpy(plan.head_weight), torch.from_numpy(plan.head_bias))
    assert found.shape == (5, 2)
    np.testing.assert_allclose(found, torch.sigmoid(logits).numpy(), atol=1e-5)
