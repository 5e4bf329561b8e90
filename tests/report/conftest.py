"""The shared small bundle with float baselines added, and a report measured on it once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.bundle.write import write_bundle
from dqmq_deploy.report.bench import BenchJob, bench
from tests.tiny_bundle import HEIGHT, WIDTH

HOSTILE = 'tiny <script>alert("1")</script> & co | *x*'


def float_graph() -> bytes:
    """The tiny network in float: float32 ``[N, 3, H, W]``, normalised -> the mean of each channel, a tenth of it."""
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "tenth"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [
            numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
            numpy_helper.from_array(np.array([0.1], np.float32), "tenth"),
        ],
    )
    data: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    ).SerializeToString()
    return data


@pytest.fixture(scope="session")
def measured_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle with both baselines, under a name that markup would trip over."""
    path = tmp_path_factory.mktemp("measured") / "measured.dqmq"
    files = {name: tiny_bundle.file(name).read_bytes() for name in tiny_bundle.manifest.files}
    baselines = {"fp32": "baselines/fp32.onnx", "ort-int8": "baselines/ort-int8.onnx"}
    files |= {name: float_graph() for name in baselines.values()}
    write_bundle(path, files, replace(tiny_bundle.manifest, name=HOSTILE, baselines=baselines))
    return Bundle.open(path)


@pytest.fixture(scope="session")
def report_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where :func:`report` was written."""
    return tmp_path_factory.mktemp("report") / "new" / "folder"


@pytest.fixture(scope="session")
def report(measured_bundle: Bundle, picture_folder: Path, report_folder: Path) -> dict[str, Any]:
    """A whole report on labelled pictures with every baseline."""
    job = BenchJob(
        measured_bundle.path,
        picture_folder,
        threads=(2,),
        out=report_folder,
        seconds=0.1,
        blocks=3,
        batch=4,
        command="dqmq-deploy bench measured.dqmq --images pictures",
    )
    return bench(job)
