"""The whole export: a checkpoint in, a bundle out, every graph checked against torch on the way. Needs no data set.

checkpoint ── open_compiled ── plans ── graphs, weights.bin ── parity, latency, price curves ── manifest ── bundle
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx

from dqmq_deploy.bits import Configuration, Layer
from dqmq_deploy.bundle.manifest import (
    WEIGHTS,
    CalibrationEntry,
    ConfigurationEntry,
    EstimatorEntry,
    ImageQuant,
    LayerEntry,
    Manifest,
    Preprocessing,
)
from dqmq_deploy.bundle.read import Bundle, lies_inside
from dqmq_deploy.bundle.write import check_target, write_bundle
from dqmq_deploy.errors import ExportError
from dqmq_deploy.export import baseline, estimator_graph, flat, float_graph, graph, parity
from dqmq_deploy.export.calibrate import calibrate
from dqmq_deploy.export.compiled import open_compiled
from dqmq_deploy.export.curve import Expenses
from dqmq_deploy.export.machine import machine, versions
from dqmq_deploy.export.plan import EstimatorPlan, FloatPlan, Plan, TensorQuant
from dqmq_deploy.export.weights import WeightStore, external_bytes
from dqmq_deploy.routing import Evidence

ESTIMATOR = "estimator.onnx"


class CompiledNet(Protocol):
    """What an export needs of a compiled checkpoint; configurations come cheapest first, K of them."""

    @property
    def name(self) -> str:
        """Of the model; the bundle's default name."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of the logits."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width."""

    @property
    def image_quant(self) -> TensorQuant:
        """How pixel codes are read."""

    @property
    def layers(self) -> Sequence[Layer]:
        """Every layer that multiplies."""

    @property
    def configurations(self) -> Sequence[Configuration]:
        """Cheapest first."""

    @property
    def calibration_images(self) -> npt.NDArray[np.uint8]:
        """``[n, H, W, 3]``, of mixed quality."""

    @property
    def evidence(self) -> Evidence:
        """What held-out images say."""

    def bitops(self, index: int) -> int:
        """BitOPs per image of a configuration."""

    def shrink(self, index: int) -> int:
        """By how much a configuration shrinks the picture first; 1 leaves it as it is."""

    def plan(self, index: int) -> Plan:
        """The compiled network of a configuration."""

    def float_plan(self) -> FloatPlan | None:
        """The float network, if the checkpoint has it."""

    def estimator_plan(self) -> EstimatorPlan:
        """The quality estimator."""

    def reference_logits(self, index: int, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """What torch computes, ``[N, classes]``, for pictures ``uint8 [N, H, W, 3]``."""


@dataclass(frozen=True)
class ExportResult:
    """Where the bundle is and what its manifest says."""

    path: Path
    manifest: Manifest


def export(
    checkpoint: Path, out: Path | None = None, *, with_baselines: bool = False, flat: bool = False
) -> ExportResult:
    """Write the bundle of a checkpoint to ``out``, by default ``NAME.dqmq`` in the current folder.

    ``with_baselines`` adds the float network and its ``quantize_static`` twin; ``flat`` plain QDQ graphs for other
    runtimes.

    Raises:
        CheckpointError: the file is damaged, unsafe or from a newer version.
        ExportError: a graph disagrees with torch, or the bundle cannot be written; an older one is left as it was.
    """
    return export_compiled(open_compiled(checkpoint), out, with_baselines=with_baselines, flat=flat)


def export_compiled(
    net: CompiledNet, out: Path | None = None, *, with_baselines: bool = False, flat: bool = False
) -> ExportResult:
    """What :func:`export` does once the checkpoint is open."""
    target = Path(f"{net.name}.dqmq") if out is None else out
    check_target(target.absolute())
    _check_configurations(net)
    graphs, files = _build(net, with_baselines=with_baselines, with_flat=flat)
    with tempfile.TemporaryDirectory(prefix="dqmq-export-") as folder:
        _write_plain(Path(folder), files)
        entries, expenses = _measure(net, Path(folder), graphs, files, with_flat=flat)
    manifest = _manifest(net, entries, expenses, [path for path in files if path.startswith("baselines/")])
    write_bundle(target, files, manifest)
    return ExportResult(target, Bundle.open(target).manifest)


def _check_configurations(net: CompiledNet) -> None:
    names = [configuration.name for configuration in net.configurations]
    if not names:
        raise ExportError("expected one configuration or more, got none; train again")
    for name in names:
        if (
            not name
            or not lies_inside(f"{name}.onnx")
            or "/" in name
            or f"{name}.onnx" == ESTIMATOR
            or names.count(name) > 1
        ):
            raise ExportError(f"expected configurations with different names that can name a file, got '{name}'")


def _build(
    net: CompiledNet, *, with_baselines: bool, with_flat: bool
) -> tuple[dict[str, onnx.ModelProto], dict[str, bytes]]:
    """The configurations' graphs by name, and every file of the bundle but the manifest."""
    weights = WeightStore()
    graphs = {}
    files: dict[str, bytes] = {}
    for index, configuration in enumerate(net.configurations):
        plan = net.plan(index)
        if plan.class_count != len(net.classes):
            raise ExportError(f"expected a network of {len(net.classes)} classes, got {plan.class_count} logits")
        graphs[configuration.name] = graph.build(plan, weights)
        files[f"{configuration.name}.onnx"] = graphs[configuration.name].SerializeToString()
        if with_flat:
            files[f"flat/{configuration.name}.onnx"] = flat.build(plan).SerializeToString()
    files[ESTIMATOR] = estimator_graph.build(net.estimator_plan()).SerializeToString()
    files[WEIGHTS] = weights.to_bytes()
    if with_baselines:
        files.update(_baselines(net))
    return graphs, files


def _baselines(net: CompiledNet) -> dict[str, bytes]:
    plan = net.float_plan()
    if plan is None:
        raise ExportError("this checkpoint has no float network; export without baselines")
    model = float_graph.build(plan)
    images = baseline.normalised(net.calibration_images, plan.image_quant)
    return {
        "baselines/fp32.onnx": model.SerializeToString(),
        "baselines/ort-int8.onnx": baseline.quantize_int8(model, images).SerializeToString(),
    }


def _write_plain(folder: Path, files: dict[str, bytes]) -> None:
    try:
        for relative, data in files.items():
            if "/" not in relative:
                (folder / relative).write_bytes(data)
    except OSError as error:
        raise ExportError(
            f"{folder}: cannot write temporary files ({error.strerror}); free some space there or set TMPDIR"
        ) from None


def _measure(
    net: CompiledNet, folder: Path, graphs: dict[str, onnx.ModelProto], files: dict[str, bytes], *, with_flat: bool
) -> tuple[list[ConfigurationEntry], Expenses]:
    """Run every graph: agreement with torch, milliseconds. The entries, and what an image costs.

    Stock onnxruntime is compared with torch, our kernels with stock; what serving would run here is timed.
    """
    images = net.calibration_images
    agreements = []
    sessions = {ESTIMATOR: parity.open_session(folder / ESTIMATOR, kernels=True)}
    for index, name in enumerate(graphs):
        path = folder / f"{name}.onnx"
        stock = parity.logits(name, parity.open_session(path), images)
        agreements.append(parity.compare(name, net.reference_logits(index, images), stock))
        sessions[path.name] = parity.open_session(path, kernels=True)
        parity.check_kernels(name, stock, parity.logits(name, sessions[path.name], images))
    latency_ms = parity.latencies_ms(sessions, images)
    spent = [net.bitops(index) for index in range(len(net.configurations))]
    taken = [latency_ms[f"{name}.onnx"] for name in graphs]
    expenses = Expenses(list(graphs), spent, [round(ms, 4) for ms in taken], round(latency_ms[ESTIMATOR], 4))
    accuracy = net.evidence.right.mean(axis=0)
    entries = [
        ConfigurationEntry(
            name=configuration.name,
            bits=dict(configuration.bits),
            bitops=spent[index],
            bytes=len(files[f"{configuration.name}.onnx"]) + external_bytes(graphs[configuration.name]),
            graph=f"{configuration.name}.onnx",
            cost=float(expenses.cost[index]),
            accuracy=float(accuracy[index]),
            latency_ms=expenses.latency_ms[index],
            parity=agreements[index],
            shrink=net.shrink(index),
            flat=f"flat/{configuration.name}.onnx" if with_flat else None,
        )
        for index, configuration in enumerate(net.configurations)
    ]
    return entries, expenses


def _manifest(
    net: CompiledNet, entries: list[ConfigurationEntry], expenses: Expenses, baselines: list[str]
) -> Manifest:
    height, width = net.image_size
    dispatching = calibrate(net.evidence, expenses)
    positions = range(len(entries))
    return Manifest(
        name=net.name,
        classes=list(net.classes),
        preprocessing=Preprocessing(height, width),
        image_quant=ImageQuant(net.image_quant.scale, net.image_quant.zero_point),
        layers=[LayerEntry(layer.name, layer.macs, layer.weight_count, layer.edge) for layer in net.layers],
        configurations=entries,
        estimator=EstimatorEntry(ESTIMATOR, expenses.estimator_ms, expenses.estimator_cost),
        policies=dispatching.policies,
        memory=[[net.evidence.remembered(first, last) for last in positions] for first in positions],
        default_policy=dispatching.default_policy,
        default_price=dispatching.default_price,
        calibration=CalibrationEntry(len(net.calibration_images), machine()),
        baselines={Path(path).stem: path for path in baselines},
        versions=versions(),
        notes=dispatching.notes,
    )
