"""The ai.dqmq functions on stock onnxruntime equal the NumPy integer reference, for any shape and precision."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from dqmq_deploy.export import reference
from dqmq_deploy.export.functions import DOMAIN, OPERATORS, function
from dqmq_deploy.export.plan import Plan
from tests.export.odd_plans import odd_plans
from tests.export.onnx_runs import run_plan, write_plan
from tests.export.plans import PlanMaker, random_images, resnet20

FLOAT_ARITHMETIC = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "Add", "Relu"}


def check(plan: Plan, seed: int = 0) -> None:
    """The logits of a plan are those of the reference, bit by bit, and no convolution runs in float."""
    image = random_images(3, plan.image_size, seed + 1)
    with tempfile.TemporaryDirectory() as folder:
        found, operators = run_plan(plan, Path(folder), image)
    np.testing.assert_array_equal(found, reference.run(plan, image))
    assert not FLOAT_ARITHMETIC & operators.keys(), operators


@given(odd_plans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_convolution_equals_the_reference(plan: Plan) -> None:
    """QConv and QConvAdd give the reference's codes exactly: same products, same float order, same rounding."""
    check(plan)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_hidden_linear_layer(bits: int) -> None:
    """QLinearCodes between a flattened map and the last layer, at every precision."""
    maker = PlanMaker((7, 6), seed=bits)
    flat = maker.flatten(maker.conv("image", 5, (3, 3), 8))
    maker.linear(maker.linear(flat, 11, bits), 7, last=True)
    check(maker.finish())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_all_of_a_residual_network(bits: int) -> None:
    """Rounding errors do not add up over 20 layers, since there are none."""
    check(resnet20(bits, size=16, width=8))


@pytest.mark.parametrize("codes", [0, 127, 128, 255])
def test_flat_pictures(codes: int) -> None:
    """Black, grey and white pictures, where padding meets a zero point of 128."""
    plan = resnet20(2, size=8, width=4)
    image = np.full((1, 8, 8, 3), codes, np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        found, _ = run_plan(plan, Path(folder), image)
    np.testing.assert_array_equal(found, reference.run(plan, image))


@pytest.mark.parametrize("operator", OPERATORS)
def test_functions_are_valid(operator: str) -> None:
    """Every function has one output, lies in our domain and passes onnx's checker."""
    made = function(operator)
    assert (made.domain, made.name, list(made.output)) == (DOMAIN, operator, ["y"])
    context = onnx.checker.DEFAULT_CONTEXT
    context.opset_imports = {"": 21}
    onnx.checker.check_function(made, context)


def test_a_graph_passes_the_full_check(tmp_path: Path) -> None:
    """onnx's checker and shape inference accept the file as it lies in a bundle."""
    path = write_plan(resnet20(4, size=8, width=4), tmp_path)
    onnx.checker.check_model(str(path), full_check=True)
