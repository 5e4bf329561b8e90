"""Whole graphs give the same bits on our kernels, on stock onnxruntime and in the NumPy reference, at every level."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import ExportError
from dqmq_deploy.export import parity, reference
from dqmq_deploy.export.plan import Plan
from dqmq_deploy.export.run import export_compiled
from dqmq_deploy.kernels import CAP, SWITCH, find
from dqmq_deploy.runtime.sessions import Sessions, open_session
from tests.export.odd_plans import odd_plans
from tests.export.onnx_runs import write_plan
from tests.export.planned_net import planned_resnet20
from tests.export.plans import PlanMaker, random_images, resnet20
from tests.kernels.nodes import node

LEVELS = find().available


def check(plan: Plan, batch: int = 3, seed: int = 1) -> None:
    """Logits of a plan, bit for bit; at every level that this CPU has, on one thread and on two."""
    image = random_images(batch, plan.image_size, seed)
    expected = reference.run(plan, image)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = write_plan(plan, Path(folder))
        np.testing.assert_array_equal(logits(open_session(path, kernels=False), image), expected)
        for level in LEVELS:
            patch.setenv(CAP, level)
            for threads in (1, 2):
                found = logits(open_session(path, threads), image)
                np.testing.assert_array_equal(found, expected, f"{level}, {threads} threads")


def logits(session: ort.InferenceSession, image: np.ndarray) -> np.ndarray:
    """What a session answers."""
    found: np.ndarray = session.run(["logits"], {"image": image})[0]
    return found


@given(odd_plans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_convolution(plan: Plan) -> None:
    """Grouped, depthwise, dilated, strided, unevenly padded, any channels, with and without residual."""
    check(plan)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_residual_network(bits: int) -> None:
    """All of a small ResNet-20."""
    check(resnet20(bits, size=16, width=8), batch=2)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("channels", [64, 72])
def test_many_channels(bits: int, channels: int) -> None:
    """Wide enough for every way to lay out channels in lanes, with and without a remainder."""
    maker = PlanMaker((9, 8), seed=bits)
    first = maker.conv("image", channels, (7, 7), 8, pads=(3, 3, 3, 3))
    inner = maker.conv(first, channels, (3, 3), bits, pads=(1, 1, 1, 1))
    deep = maker.conv(inner, channels, (3, 3), bits, pads=(1, 1, 1, 1), groups=channels)
    check(maker.plan(maker.conv(deep, channels, (1, 1), bits, residual=first)), batch=1)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("act_bits", [2, 3, 5, 8])
def test_any_mix_of_bits(bits: int, act_bits: int) -> None:
    """Activations of 2 to 8 bits on weights of 2, 4 and 8."""
    maker = PlanMaker((8, 8), seed=act_bits)
    first = maker.conv("image", 16, (3, 3), 8, pads=(1, 1, 1, 1))
    check(maker.plan(maker.conv(first, 20, (3, 3), bits, act_bits=act_bits, pads=(1, 1, 1, 1))))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_hidden_linear_layer(bits: int) -> None:
    """QLinearCodes, then QLinear."""
    maker = PlanMaker((7, 6), seed=bits)
    flat = maker.flatten(maker.conv("image", 5, (3, 3), 8))
    maker.linear(maker.linear(flat, 70, bits), 7, last=True)
    check(maker.finish())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operator", ["QConv", "QConvAdd", "QLinear", "QLinearCodes"])
def test_no_pictures(monkeypatch: pytest.MonkeyPatch, operator: str, level: str) -> None:
    """An empty batch gives an empty answer."""
    monkeypatch.setenv(CAP, level)
    one = node(operator, 2)
    found = one.changed(x=one.tensors["x"][:0], r=one.tensors["r"][:0]).run(kernels=True)
    assert found.shape == (0, *one.run(kernels=True).shape[1:])


def test_an_export_says_which_kernels_it_checked(tmp_path: Path) -> None:
    """The manifest names the instruction set."""
    made = export_compiled(planned_resnet20(size=8, width=4), tmp_path / "net.dqmq")
    assert made.manifest.versions["kernels"] == find().isa


def test_an_export_stops_where_the_kernels_differ() -> None:
    """By a single bit of a single image."""
    stock = np.arange(12, dtype=np.float32).reshape(3, 4)
    parity.check_kernels("w4", stock, stock.copy())
    found = stock.copy()
    found[1, 2] = np.nextafter(found[1, 2], np.float32(99))
    with pytest.raises(ExportError, match=r"configuration 'w4': kernels .* differ on 1 of 3 images"):
        parity.check_kernels("w4", stock, found)


def test_a_bundle_answers_the_same_without_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file for both, and a switch."""
    net = planned_resnet20(size=16, width=8)
    bundle = Bundle.open(export_compiled(net, tmp_path / "net.dqmq").path)
    ours = Sessions(bundle)
    monkeypatch.setenv(SWITCH, "off")
    stock = Sessions(bundle)
    for index in range(4):
        image = net.calibration_images
        np.testing.assert_array_equal(ours.logits(index, image), stock.logits(index, image))
