"""A whole export, with the NumPy reference in torch's place."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dqmq_deploy.bits import Configuration
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import ExportError
from dqmq_deploy.export.calibrate import TOLERANCE
from dqmq_deploy.export.parity import compare
from dqmq_deploy.export.plan import FloatPlan, LinearStage, Plan
from dqmq_deploy.export.run import ExportResult, export_compiled
from tests.export.planned_net import PlannedNet, planned_resnet20
from tests.export.plans import resnet20


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """ResNet-20 in four configurations, with baselines and flat twins."""
    out = tmp_path_factory.mktemp("export") / "resnet20.dqmq"
    return export_compiled(planned_resnet20(size=16), out, with_baselines=True, flat=True)


def small_net() -> PlannedNet:
    """Two small configurations."""
    return PlannedNet({"w2": resnet20(2, size=8, width=4), "w8": resnet20(8, size=8, width=4)})


def test_the_bundle_opens_and_says_what_was_exported(exported: ExportResult) -> None:
    """The manifest read back is the one returned; configurations come cheapest first."""
    bundle = Bundle.open(exported.path)
    manifest = bundle.manifest
    assert manifest == exported.manifest
    assert [entry.name for entry in manifest.configurations] == ["w2", "w4", "mixed", "w8"]
    assert [entry.cost for entry in manifest.configurations] == sorted(entry.cost for entry in manifest.configurations)
    assert manifest.configurations[-1].cost == 1
    slowest = max(entry.latency_ms for entry in manifest.configurations)
    assert manifest.configurations[0].cost == manifest.configurations[0].latency_ms / slowest
    assert all(entry.cost >= entry.latency_ms / slowest for entry in manifest.configurations)
    assert manifest.estimator.cost == manifest.estimator.latency_ms / slowest > 0
    assert {entry.shrink for entry in manifest.configurations} == {1}
    assert manifest.configurations[0].bits["conv0"] == 8
    assert set(manifest.configurations[0].bits.values()) == {2, 8}
    assert manifest.baselines == {"fp32": "baselines/fp32.onnx", "ort-int8": "baselines/ort-int8.onnx"}
    named = {"dqmq_deploy", "python", "torch", "onnx", "onnxruntime", "numpy", "kernels"}
    assert named == manifest.versions.keys()
    assert manifest.calibration.images == 24


def test_parity_and_latency_are_recorded(exported: ExportResult) -> None:
    """Against the reference every graph is exact; every latency was measured."""
    for entry in exported.manifest.configurations:
        assert (entry.parity.images, entry.parity.top1_agreement) == (24, 1.0)
        assert entry.parity.max_abs_logit_difference == 0
        assert entry.latency_ms > 0


def test_policies_are_calibrated(exported: ExportResult) -> None:
    """Both are there, the default price is a point of the default one, and what does not pay is noted."""
    manifest = exported.manifest
    policy = manifest.policy(manifest.default_policy)
    assert manifest.default_price in [point.price for point in policy.curve]
    point = policy.at(manifest.default_price)
    least = min(max(row.accuracy for row in rows) for rows in (policy.curve, manifest.configurations)) - TOLERANCE
    assert point.accuracy >= least
    told = ["adapting does not surely pay on 200 held-out images"]
    if max(point.mix.values()) == 1:
        told.append("all images go to configuration")
    assert all(any(words in note for words in told) for note in manifest.notes)


def test_four_configurations_take_less_than_the_float_network(exported: ExportResult) -> None:
    """All files of the bundle but baselines and flat twins: at most 0.75 of the float32 ONNX file of ResNet-20."""
    files = {name: entry.size for name, entry in exported.manifest.files.items()}
    own = sum(size for name, size in files.items() if "/" not in name)
    own += (exported.path / "manifest.json").stat().st_size
    assert own <= 0.75 * files["baselines/fp32.onnx"]


def test_bytes_of_a_configuration(exported: ExportResult) -> None:
    """Its graph and its weights: a 2-bit configuration is about a third of the 8-bit one, graph structure included."""
    sizes = {entry.name: entry.bytes for entry in exported.manifest.configurations}
    assert sizes["w2"] < sizes["w4"] < sizes["mixed"] < sizes["w8"]
    assert sizes["w2"] < 0.35 * sizes["w8"]


def test_the_default_output_is_named_after_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME.dqmq in the current folder, without baselines and flat twins unless asked for."""
    monkeypatch.chdir(tmp_path)
    result = export_compiled(small_net())
    assert result.path == Path("planned.dqmq")
    assert sorted(os.listdir("planned.dqmq")) == [
        "estimator.onnx",
        "manifest.json",
        "w2.onnx",
        "w8.onnx",
        "weights.bin",
    ]


@dataclass
class WrongNet(PlannedNet):
    """A network whose torch side computes something else."""

    def reference_logits(self, index: int, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Classes in another order."""
        return np.roll(super().reference_logits(index, images), 1, axis=1)


def test_lost_parity_stops_the_export(tmp_path: Path) -> None:
    """A graph that answers otherwise than torch is never written."""
    plans = small_net().plans
    with pytest.raises(
        ExportError, match=r"configuration 'w2': torch and onnxruntime agree on .*expected at least 98%"
    ):
        export_compiled(WrongNet(plans), tmp_path / "a.dqmq")
    assert os.listdir(tmp_path) == []


def test_a_folder_in_the_way_is_noticed_before_the_work(tmp_path: Path) -> None:
    """The output is checked first."""
    (tmp_path / "a.dqmq").mkdir()
    (tmp_path / "a.dqmq" / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="found another folder"):
        export_compiled(WrongNet(small_net().plans), tmp_path / "a.dqmq")


def test_class_count_mismatch(tmp_path: Path) -> None:
    """Names and logits must match in number."""

    class Renamed(PlannedNet):
        @property
        def classes(self) -> list[str]:
            """One too few."""
            return super().classes[:-1]

    with pytest.raises(ExportError, match="expected a network of 42 classes, got 43 logits"):
        export_compiled(Renamed(small_net().plans), tmp_path / "a.dqmq")


@pytest.mark.parametrize("name", ["estimator", "../a", "a/b", ""])
def test_names_that_cannot_name_a_file(tmp_path: Path, name: str) -> None:
    """A configuration's name is a file name, too."""
    with pytest.raises(ExportError, match="that can name a file"):
        export_compiled(PlannedNet({name: resnet20(2, size=8, width=4)}), tmp_path / "a.dqmq")


def test_configurations_out_of_order(tmp_path: Path) -> None:
    """The dispatcher relies on cheapest first: what is faster than one before it costs as much."""
    plans = dict(reversed(small_net().plans.items()))
    manifest = export_compiled(PlannedNet(plans), tmp_path / "a.dqmq").manifest
    costs = [entry.cost for entry in manifest.configurations]
    assert [entry.name for entry in manifest.configurations] == list(plans)
    assert costs == sorted(costs)


def test_no_configuration(tmp_path: Path) -> None:
    """Nothing to export."""

    class Empty(PlannedNet):
        @property
        def configurations(self) -> list[Configuration]:
            return []

    with pytest.raises(ExportError, match="expected one configuration or more"):
        export_compiled(Empty(small_net().plans), tmp_path / "a.dqmq")


def test_no_float_network_to_compare_with(tmp_path: Path) -> None:
    """Baselines need one."""

    class Quantized(PlannedNet):
        def float_plan(self) -> FloatPlan | None:
            """There is none."""
            return None

    with pytest.raises(ExportError, match="has no float network; export without baselines"):
        export_compiled(Quantized(small_net().plans), tmp_path / "a.dqmq", with_baselines=True)


def test_logits_that_are_no_numbers(tmp_path: Path) -> None:
    """A network that overflowed is not exported."""
    plan = resnet20(8, size=8, width=4)
    last = plan.stages[-1]
    assert isinstance(last, LinearStage)
    scale = np.full_like(last.weight_scale, np.inf)
    broken = Plan(
        plan.image_size, plan.tensors, (*plan.stages[:-1], replace(last, weight_scale=scale)), plan.class_count
    )
    with np.errstate(all="ignore"), pytest.raises(ExportError, match="expected finite logits"):
        export_compiled(PlannedNet({"w8": broken}), tmp_path / "a.dqmq")


def test_comparing_logits() -> None:
    """Share of equal answers, and the largest difference of a logit."""
    expected = np.eye(100, dtype=np.float32)
    found = expected.copy()
    found[0] = found[0, ::-1] * 0.5
    parity = compare("w2", expected, found)
    assert (parity.images, parity.top1_agreement, parity.max_abs_logit_difference) == (100, 0.99, 1.0)
    with pytest.raises(ExportError, match=r"configuration 'w2': expected logits \(100, 100\)"):
        compare("w2", expected, found[:, :5])


def test_toss_ups_do_not_stop_an_export() -> None:
    """Answers that hang on a hundredth of the spread may flip; they are recorded, and clear ones still count."""
    expected = np.zeros((100, 4), np.float32)
    expected[:, 0], expected[:, 1] = 5.0, 4.99
    found = expected.copy()
    found[:50, 1] = 5.01
    assert compare("w2", expected, found).top1_agreement == 0.5
    expected[:, 1] = 3.0
    with pytest.raises(ExportError, match=r"agree on 50\.0% of 100 clear images"):
        compare("w2", expected, found)
