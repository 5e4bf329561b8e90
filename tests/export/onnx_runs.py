"""Plans on stock onnxruntime: what they give and what onnxruntime made of their graph."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from dqmq_deploy.export import graph
from dqmq_deploy.export.plan import Plan
from dqmq_deploy.export.weights import WeightStore


def write_plan(plan: Plan, folder: Path) -> Path:
    """The graph of ``plan`` in a file, its weights beside it."""
    weights = WeightStore()
    model = graph.build(plan, weights)
    (folder / "weights.bin").write_bytes(weights.to_bytes())
    path = folder / "plan.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def run_model(path: Path, feed: Mapping[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], Counter[str]]:
    """Output of the model in a file for ``feed``, and how often each operator occurs in its optimised graph."""
    optimised = path.with_suffix(".optimised")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.optimized_model_filepath = str(optimised)
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(optimised, load_external_data=False).graph.node
    output: npt.NDArray[Any] = session.run(None, dict(feed))[0]
    return output, Counter(node.op_type for node in nodes)


def run_plan(plan: Plan, folder: Path, image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Counter[str]]:
    """Logits of ``plan`` on onnxruntime, and the operators of its optimised graph."""
    return run_model(write_plan(plan, folder), {"image": image})
