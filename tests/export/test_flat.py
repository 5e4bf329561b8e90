"""The flat twin gives what the bundle's graph gives, on onnxruntime and on OpenVINO, without functions."""

from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

from dqmq_deploy.bundle.onnx_file import read_facts
from dqmq_deploy.export import flat, reference
from tests.export.onnx_runs import run_model
from tests.export.plans import PlanMaker, random_images, resnet20


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_flat_twin_is_exact_on_onnxruntime(tmp_path: Path, bits: int) -> None:
    """Same codes, all in integers, one file."""
    plan = resnet20(bits, size=16, width=8)
    path = tmp_path / "flat.onnx"
    path.write_bytes(flat.build(plan).SerializeToString())
    image = random_images(3, (16, 16), 1)
    found, operators = run_model(path, {"image": image})
    np.testing.assert_array_equal(found, reference.run(plan, image))
    assert not {"Conv", "Gemm", "Add"} & operators.keys()
    facts = read_facts(path.read_bytes())
    assert (facts.domains, facts.external) == ({""}, [])


@pytest.mark.parametrize("bits", [2, 8])
def test_the_flat_twin_runs_on_openvino(tmp_path: Path, bits: int) -> None:
    """Same answers; its sums may be kept in other floats, so logits agree to 3 % of their range."""
    plan = resnet20(bits, size=16, width=8)
    path = tmp_path / "flat.onnx"
    path.write_bytes(flat.build(plan).SerializeToString())
    image = random_images(8, (16, 16), 1)
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 1})
    found = model([image])[0]
    expected = reference.run(plan, image)
    np.testing.assert_allclose(found, expected, atol=0.03 * float(np.ptp(expected)))


def test_every_kind_of_stage(tmp_path: Path) -> None:
    """Pools, a sum, a flattened map and a hidden linear layer."""
    maker = PlanMaker((10, 10), seed=2)
    left = maker.conv("image", 6, (3, 3), 4, pads=(1, 1, 1, 1), groups=3)
    right = maker.conv("image", 6, (1, 1), 8, signed=True)
    pooled = maker.pool("average", maker.pool("max", maker.add(left, right), strides=(2, 2)), strides=(2, 2))
    maker.linear(maker.linear(maker.flatten(pooled), 9, 4), 7, last=True)
    plan = maker.finish()
    model = flat.build(plan)
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / "flat.onnx"
    path.write_bytes(model.SerializeToString())
    image = random_images(3, (10, 10), 3)
    found, _ = run_model(path, {"image": image})
    np.testing.assert_array_equal(found, reference.run(plan, image))
