"""What loading costs, with kernels and without: time to create a session, memory that a bundle's sessions keep."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from benchmarks.networks import QUANTIZED
from benchmarks.opponents import ort_session
from benchmarks.paired import single_runs
from benchmarks.random_nets import random_compiled
from dqmq_deploy.bundle.manifest import WEIGHTS
from dqmq_deploy.export import graph
from dqmq_deploy.export.nodes import GraphBuilder
from dqmq_deploy.export.plan import AddStage, ConvStage, Plan
from dqmq_deploy.export.shapes import tensor_shapes
from dqmq_deploy.export.weights import WeightStore

ROOT = Path(__file__).resolve().parent.parent


def creation(
    folder: Path, names: Sequence[str], bits: Sequence[int], rounds: int, library: Path
) -> Iterator[dict[str, Any]]:
    """Milliseconds to create a session with kernels and on stock onnxruntime, in turn, files in the disk cache."""
    for name in names:
        for width in bits:
            path = folder / name / str(width) / QUANTIZED
            openers = {"stock": partial(ort_session, path, 1), "kernels": partial(ort_session, path, 1, library)}
            single_runs(openers, 1)
            yield {"network": name, "bits": width, "run_ms": single_runs(openers, rounds)}


def bundle_memory(name: str, folder: Path, library: Path | None) -> dict[str, Any]:
    """Memory of a four-configuration bundle of random weights, on stock onnxruntime and with kernels if they are there.

    ``activations_bytes`` sums what each configuration must hold at once: they may run side by side. In turn, as
    here, they take the same memory.
    """
    net, weights = random_compiled(name), WeightStore()
    home = folder / f"{name}-bundle"
    home.mkdir()
    plans = [net.plan(index) for index in range(len(net.configurations))]
    graphs = []
    for plan, configuration in zip(plans, net.configurations, strict=True):
        graphs.append(home / f"{configuration.name}.onnx")
        graphs[-1].write_bytes(graph.build(plan, weights).SerializeToString())
    (home / WEIGHTS).write_bytes(weights.to_bytes())
    found: dict[str, Any] = {
        "network": name,
        "weights_bytes": len(weights.to_bytes()),
        "activations_bytes": sum(activation_bytes(plan) for plan in plans),
        "stock": resident_elsewhere(graphs, None),
    }
    if library is not None:
        found["kernels"] = resident_elsewhere(graphs, library)
    return found


def activation_bytes(plan: Plan) -> int:
    """Most bytes of 8-bit tensors alive at once while one image goes through ``plan``."""
    sizes = {name: int(np.prod(shape)) for name, shape in tensor_shapes(plan).items()}
    last_read: dict[str, int] = {}
    for index, stage in enumerate(plan.stages):
        read = [stage.input]
        if isinstance(stage, ConvStage) and stage.residual is not None:
            read.append(stage.residual)
        if isinstance(stage, AddStage):
            read.append(stage.other)
        last_read.update(dict.fromkeys(read, index))
    alive, most = {"image"}, 0
    for index, stage in enumerate(plan.stages):
        alive.add(stage.output)
        most = max(most, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last_read.get(name, -1) > index}
    return most


def resident_elsewhere(graphs: Sequence[Path], library: Path | None) -> dict[str, int]:
    """What :mod:`benchmarks.resident` says of ``graphs`` in a fresh process. Writes beside the first of them."""
    trivial = graphs[0].with_suffix(".trivial")
    builder = GraphBuilder()
    builder.node("Identity", ["x"], "y")
    ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", 1]) for name in ("x", "y")]
    trivial.write_bytes(builder.model("trivial", *ends).SerializeToString())
    words = [sys.executable, "-m", "benchmarks.resident", *map(str, [trivial, *graphs])]
    if library is not None:
        words += ["--library", str(library)]
    done = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found
