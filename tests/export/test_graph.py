"""What onnxruntime makes of a plan's graph: one integer operator a stage, and nothing else."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from dqmq_deploy.bundle.onnx_file import read_facts
from dqmq_deploy.errors import ExportError
from dqmq_deploy.export import graph, reference
from dqmq_deploy.export.plan import FlattenStage, Plan
from dqmq_deploy.export.weights import WeightStore
from tests.export.onnx_runs import run_model, run_plan, write_plan
from tests.export.plans import PlanMaker, mixed_resnet20, random_images, resnet20

RESNET20 = {"QLinearConv": 21, "QLinearAdd": 9, "QLinearGlobalAveragePool": 1, "Flatten": 1, "QGemm": 1}


@pytest.mark.parametrize(("bits", "clips"), [(8, 0), (4, 18), (2, 18)])
def test_every_layer_is_fused(tmp_path: Path, bits: int, clips: int) -> None:
    """ResNet-20: 21 QLinearConv, 9 QLinearAdd, a QGemm, a Clip on the codes of each narrow input; nothing in float."""
    _, operators = run_plan(resnet20(bits, size=16), tmp_path, random_images(1, (16, 16), 0))
    assert operators == Counter(RESNET20) + Counter({"Clip": clips} if clips else {})


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_batch_is_free(tmp_path: Path, batch: int) -> None:
    """One file serves any batch, and a picture's logits do not depend on its neighbours."""
    path = write_plan(mixed_resnet20(lambda index: (2, 4, 8)[index % 3], size=8, width=4), tmp_path)
    images = random_images(5, (8, 8), 1)
    everything, _ = run_model(path, {"image": images})
    found, _ = run_model(path, {"image": images[:batch]})
    np.testing.assert_array_equal(found, everything[:batch])


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("signed", [False, True])
def test_pools(tmp_path: Path, kind: str, signed: bool) -> None:
    """Padded pools of codes with either zero point equal the reference; padding counts as zeros in an average."""
    maker = PlanMaker((9, 8), seed=3)
    pooled = maker.pool(
        kind, maker.conv("image", 6, (3, 3), 8, signed=signed), (3, 3), strides=(2, 2), pads=(1, 1, 1, 1)
    )
    plan = maker.plan(pooled)
    image = random_images(4, (9, 8), 4)
    found, operators = run_plan(plan, tmp_path, image)
    np.testing.assert_array_equal(found, reference.run(plan, image))
    assert operators["NhwcMaxPool" if kind == "max" else "QLinearAveragePool"] == 1


def test_a_sum_apart_from_a_convolution(tmp_path: Path) -> None:
    """AddStage becomes a QLinearAdd."""
    maker = PlanMaker((8, 8), seed=5)
    left = maker.conv("image", 4, (3, 3), 8, pads=(1, 1, 1, 1))
    right = maker.conv("image", 4, (1, 1), 8, signed=True)
    plan = maker.plan(maker.add(left, right))
    image = random_images(4, (8, 8), 6)
    found, operators = run_plan(plan, tmp_path, image)
    np.testing.assert_array_equal(found, reference.run(plan, image))
    assert operators["QLinearAdd"] == 1


def test_nodes_carry_the_layers_names(tmp_path: Path) -> None:
    """A kernel, a profiler and a reader find a layer by its name, and its precision in two attributes."""
    model = graph.build(resnet20(2, size=8, width=4), WeightStore())
    node = model.graph.node[1]
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    assert (node.domain, node.op_type, node.name) == ("ai.dqmq", "QConv", "conv1")
    assert (attributes["weight_bits"], attributes["act_bits"]) == (2, 2)
    assert {function.name for function in model.functions} == {
        "QConv",
        "QConvAdd",
        "QLinear",
        "QGlobalAveragePool",
    }


def test_only_weights_lie_outside(tmp_path: Path) -> None:
    """A bundle's reader accepts the graph: known domains, external data inside ``weights.bin``."""
    path = write_plan(resnet20(4, size=8, width=4), tmp_path)
    facts = read_facts(path.read_bytes())
    assert facts.domains == {"", "ai.dqmq"}
    size = (tmp_path / "weights.bin").stat().st_size
    assert len(facts.external) == 22
    for entry in facts.external:
        assert entry.location == "weights.bin"
        assert entry.length is not None
        assert entry.offset % 64 == 0
        assert entry.offset + entry.length <= size


def small_plan() -> Plan:
    """A convolution, a pool and a linear layer."""
    maker = PlanMaker((6, 6), seed=0)
    return maker.plan(maker.conv("image", 4, (3, 3), 8))


def test_a_network_that_does_not_end_in_logits() -> None:
    """It is refused with what to do."""
    plan = small_plan()
    with pytest.raises(ExportError, match="expected a linear layer that writes 'logits'"):
        graph.build(replace(plan, stages=plan.stages[:-1]), WeightStore())


def test_another_number_of_classes() -> None:
    """Logits and classes must match."""
    with pytest.raises(ExportError, match="expected 8 logits, got 7"):
        graph.build(replace(small_plan(), class_count=8), WeightStore())


def test_stages_that_do_not_fit() -> None:
    """A linear layer of other width, and a stage without its input, are refused by name."""
    plan = small_plan()
    without_pool = (plan.stages[0], FlattenStage(plan.stages[0].output, plan.stages[2].output), plan.stages[-1])
    with pytest.raises(ExportError, match="expected 4 channels, got 64"):
        graph.build(replace(plan, stages=without_pool), WeightStore())
    with pytest.raises(ExportError, match="no stage before it writes"):
        graph.build(replace(plan, stages=plan.stages[1:]), WeightStore())
