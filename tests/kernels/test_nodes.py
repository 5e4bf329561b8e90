"""Single nodes: all that the function body accepts, and errors instead of crashes for what makes no sense."""

from typing import Any

import numpy as np
import onnx
import pytest

from dqmq_deploy.kernels import CAP
from tests.kernels.nodes import COUNTS, ORDER, Node, node, open_model

OPERATORS = list(COUNTS)


def same(one: Node) -> None:
    """The node gives on our kernels what its function gives on stock onnxruntime."""
    np.testing.assert_array_equal(one.run(kernels=True), one.run(kernels=False))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator(operator: str, bits: int) -> None:
    """The nodes that the other tests bend are sound."""
    same(node(operator, bits))


@pytest.mark.parametrize("operator", OPERATORS)
def test_parameters_that_come_with_the_call(operator: str) -> None:
    """Each of them alone, and all at once: the same answer as from constants."""
    one = node(operator, 4)
    names = ORDER[: COUNTS[operator]]
    expected = one.run(kernels=True)
    for fed in [*[("x", "r", name) for name in names], names]:
        np.testing.assert_array_equal(one.run(kernels=True, fed=fed), expected)


def test_attributes_that_are_left_out() -> None:
    """Conv's own defaults."""
    names = ("kernel_shape", "strides", "pads", "dilations", "group")
    same(node("QConv").changed(dict.fromkeys(names)))


@pytest.mark.parametrize("operator", OPERATORS)
def test_one_weight_scale_for_all_channels(operator: str) -> None:
    """A single scale serves every channel."""
    scale = np.float32(0.01)
    ours = node(operator).changed(w_scale=np.array([scale])).run(kernels=True)
    np.testing.assert_array_equal(ours, node(operator).changed(w_scale=np.full(6, scale)).run(kernels=False))


def test_rows_longer_than_they_need_be() -> None:
    """What stands behind a row's last code is not read."""
    one = node("QConv", 2)
    padded = np.pad(one.tensors["w"], ((0, 0), (0, 3)), constant_values=255)
    same(one.changed(w=padded))


def test_bounds_that_cross() -> None:
    """As Clip has it, the upper one wins."""
    same(node("QConv", 2).changed(x_min=np.array(9, np.uint8), x_max=np.array(5, np.uint8)))


@pytest.mark.parametrize("act_bits", [-3, 0, 1, 7, 8, 9, 2**40])
def test_any_number_of_activation_bits(act_bits: int) -> None:
    """Less than 8 means that codes are clamped to what comes as bounds, as in the function."""
    same(node("QConv", 2).changed({"act_bits": act_bits}))


def test_scalars_of_one_element() -> None:
    """Scales and zero points of shape [1]."""
    one = node("QConvAdd", 4)
    names = ("x_scale", "x_zp", "y_scale", "y_zp", "c_scale", "c_zp", "r_scale", "r_zp")
    reshaped = one.changed(None, **{name: one.tensors[name].reshape(1) for name in names})
    np.testing.assert_array_equal(reshaped.run(kernels=True), one.run(kernels=False))


HUGE = 2**62

# (operator, attributes, tensors by name, what the error says)
WRONG: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("QConv", {"weight_bits": None}, {}, "weight_bits: expected an integer, got none"),
    ("QConv", {"weight_bits": 3}, {}, "weight_bits: expected 2, 4 or 8, got 3"),
    ("QConv", {"weight_bits": 2.0}, {}, "weight_bits: expected an integer, got another type"),
    ("QConv", {"act_bits": None}, {}, "act_bits: expected an integer, got none"),
    ("QLinear", {"act_bits": 7.0}, {}, "act_bits: expected an integer, got another type"),
    ("QConv", {"strides": [1.0, 1.0]}, {}, r"strides: expected 2 integers, got \[\]"),
    ("QConv", {"strides": 1}, {}, r"strides: expected 2 integers, got \[\]"),
    ("QConv", {"group": "many"}, {}, "group: expected an integer, got another type"),
    ("QConv", {"w_shape": [6, 5, 3]}, {}, r"w_shape: expected 4 integers, got \[6, 5, 3\]"),
    ("QConv", {"w_shape": [6, 5, 0, 3]}, {}, "w_shape: expected integers from 1"),
    ("QConv", {"w_shape": [6, 5, -3, -3]}, {}, "w_shape: expected integers from 1"),
    ("QConv", {"w_shape": [HUGE, 5, 3, 3]}, {}, "w_shape: .* too many weights"),
    ("QConv", {"w_count": [44]}, {}, r"w_count: expected \[45\], got \[44\]"),
    ("QConv", {"w_count": [45, 45]}, {}, r"w_count: expected \[45\], got \[45, 45\]"),
    ("QConv", {"kernel_shape": [3, 5]}, {}, r"kernel_shape: expected \[3, 3\], got \[3, 5\]"),
    ("QConv", {"strides": [1]}, {}, "strides: expected 2 integers"),
    ("QConv", {"strides": [0, 1]}, {}, "strides from 1"),
    ("QConv", {"strides": [1, -1]}, {}, "strides from 1"),
    ("QConv", {"dilations": [1, 0]}, {}, "dilations from 1"),
    ("QConv", {"dilations": [HUGE, HUGE]}, {}, "dilations from 1"),
    ("QConv", {"pads": [1, 1]}, {}, "pads: expected 4 integers"),
    ("QConv", {"pads": [0, 0, 0, -1]}, {}, "pads from 0"),
    ("QConv", {"pads": [HUGE] * 4}, {}, "pads from 0"),
    ("QConv", {"group": 0}, {}, "group: expected an integer from 1"),
    ("QConv", {"group": -1}, {}, "group: expected an integer from 1"),
    ("QConv", {"group": HUGE}, {}, "group: expected an integer from 1"),
    ("QConv", {"group": 4}, {}, "groups that divide"),
    ("QConv", {"group": 2}, {}, r"x: expected uint8 \[N, H, W, 10\]"),
    ("QConv", {}, {"x": np.zeros((2, 7, 7, 4), np.uint8)}, r"x: expected uint8 \[N, H, W, 5\]"),
    ("QConv", {}, {"x": np.zeros((7, 7, 5), np.uint8)}, r"x: expected uint8 \[N, H, W, 5\], got uint8 \[7, 7, 5\]"),
    ("QConv", {}, {"x": np.array(1, np.uint8)}, r"got uint8 \[\]"),
    ("QConv", {"pads": [0] * 4}, {"x": np.zeros((1, 2, 7, 5), np.uint8)}, "that the kernel fits into"),
    ("QConv", {}, {"x": np.zeros((1, 0, 7, 5), np.uint8)}, "that the kernel fits into"),
    ("QConv", {}, {"w": np.zeros((6, 44), np.uint8)}, r"w: expected uint8 \[6, 45\], got uint8 \[6, 44\]"),
    ("QConv", {}, {"w": np.zeros((5, 45), np.uint8)}, r"w: expected uint8 \[6, 45\], got uint8 \[5, 45\]"),
    ("QConv", {}, {"w": np.zeros((270,), np.uint8)}, r"w: expected uint8 \[6, 45\], got uint8 \[270\]"),
    ("QConv", {}, {"w": np.zeros((6, 0), np.uint8)}, r"w: expected uint8 \[6, 45\], got uint8 \[6, 0\]"),
    ("QConv", {}, {"w_scale": np.ones(5, np.float32)}, r"w_scale: expected float32 \[6\], got float32 \[5\]"),
    ("QConv", {}, {"w_scale": np.ones((6, 1), np.float32)}, r"w_scale: expected float32 \[6\], got float32 \[6, 1\]"),
    ("QConv", {}, {"w_scale": np.ones(0, np.float32)}, r"w_scale: expected float32 \[6\], got float32 \[0\]"),
    ("QConv", {}, {"bias": np.zeros(1, np.int32)}, r"bias: expected int32 \[6\], got int32 \[1\]"),
    ("QConv", {}, {"bias": np.zeros((2, 3), np.int32)}, r"bias: expected int32 \[6\], got int32 \[2, 3\]"),
    ("QConv", {}, {"x_scale": np.ones(2, np.float32)}, r"x_scale: expected float32 \[\], got float32 \[2\]"),
    ("QConv", {}, {"x_scale": np.ones(0, np.float32)}, r"x_scale: expected float32 \[\], got float32 \[0\]"),
    ("QConv", {}, {"x_zp": np.zeros(5, np.uint8)}, r"x_zp: expected uint8 \[\]"),
    ("QConv", {"act_bits": 2}, {"x_max": np.zeros(2, np.uint8)}, r"x_max: expected uint8 \[\]"),
    ("QConv", {}, {"y_scale": np.array(0, np.float32)}, "scales with a finite ratio"),
    ("QConv", {}, {"y_scale": np.array(np.nan, np.float32)}, "scales with a finite ratio"),
    ("QConv", {}, {"w_scale": np.full(6, np.inf, np.float32)}, "scales with a finite ratio"),
    ("QConvAdd", {}, {"r": np.zeros((2, 7, 7, 5), np.uint8)}, r"r: expected uint8 \[2, 7, 7, 6\], got uint8 \[2"),
    ("QConvAdd", {}, {"r": np.zeros((1, 7, 7, 6), np.uint8)}, r"r: expected uint8 \[2, 7, 7, 6\]"),
    ("QConvAdd", {}, {"r": np.zeros((0,), np.uint8)}, r"r: expected uint8 \[2, 7, 7, 6\]"),
    ("QConvAdd", {}, {"c_scale": np.array(0, np.float32)}, "scales with a finite ratio"),
    ("QConvAdd", {}, {"r_scale": np.array(np.inf, np.float32)}, "scales with a finite ratio"),
    ("QLinear", {"w_shape": [6, 5, 1, 1]}, {}, "w_shape: expected 2 integers"),
    ("QLinear", {}, {"x": np.zeros((2, 4), np.uint8)}, r"x: expected uint8 \[N, 5\], got uint8 \[2, 4\]"),
    ("QLinear", {}, {"x": np.zeros((2, 1, 5), np.uint8)}, r"x: expected uint8 \[N, 5\], got uint8 \[2, 1, 5\]"),
    ("QLinearCodes", {}, {"y_scale": np.array(0, np.float32)}, "scales with a finite ratio"),
]  # fmt: skip


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "fed"])
@pytest.mark.parametrize(
    ("operator", "attributes", "tensors", "message"), WRONG, ids=[f"{w[0]}-{w[1] or list(w[2])}" for w in WRONG]
)
def test_what_makes_no_sense(
    operator: str, attributes: dict[str, Any], tensors: dict[str, Any], message: str, constant: bool
) -> None:
    """An error of onnxruntime with one clear line, whether the wrong tensor is a constant or comes with the call."""
    wrong = node(operator).changed(attributes, **tensors)
    fed = ("x", "r") if constant else ORDER
    with pytest.raises(Exception, match=message):
        wrong.run(kernels=True, fed=[name for name in ORDER if name in fed])


@pytest.mark.parametrize("operator", OPERATORS)
def test_inputs_of_another_type(operator: str) -> None:
    """onnxruntime holds every input to the type that our library declares."""
    for name in ORDER[: COUNTS[operator]]:
        given = node(operator).tensors[name]
        for other in (np.uint8, np.int32, np.float32):
            if given.dtype != other:
                with pytest.raises(Exception, match=r"(?i)type"):
                    node(operator).changed(None, **{name: given.astype(other)}).run(kernels=True)


@pytest.mark.parametrize("operator", OPERATORS)
def test_inputs_that_are_missing(operator: str) -> None:
    """None of them is optional, and there are no more of them."""
    model = onnx.load_from_string(node(operator).model())
    names = list(model.graph.node[0].input)
    wrong = [[*names[:at], "", *names[at + 1 :]] for at in range(len(names))]
    for inputs in [*wrong, names[:-1], [*names, "bias"]]:
        model.graph.node[0].input[:] = inputs
        with pytest.raises(Exception, match=f"INVALID_GRAPH.*{operator}"):
            open_model(model.SerializeToString(), kernels=True)


def test_an_output_too_large_for_any_memory() -> None:
    """Pads may ask for more than there is: an error, not a crash."""
    wrong = node("QConv").changed({"pads": [2**20] * 4})
    with pytest.raises(Exception, match=r"(?i)memory|alloc"):
        wrong.run(kernels=True)


def test_a_cap_that_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered by hand, too, the library names the levels."""
    monkeypatch.setenv(CAP, "mmx")
    with pytest.raises(Exception, match=r"DQMQ_MAX_ISA: expected one of reference, portable,.* got 'mmx'"):
        node("QConv").run(kernels=True)
