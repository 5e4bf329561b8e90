"""The library in the oldest onnxruntime that may load it, in an environment of its own.

``.ci/run`` makes that environment and names its interpreter in ``DQMQ_OLDER_PYTHON``. It needs onnxruntime and NumPy
alone: nodes and inputs go there as files. Exported graphs have a newer format than onnxruntime 1.17 reads; nodes that
our library computes need nothing newer, so their models are relabelled for it.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dqmq_deploy import op_library_path
from dqmq_deploy.kernels import CAP, find
from tests.kernels.nodes import COUNTS, Node, node

OLDER_PYTHON = "DQMQ_OLDER_PYTHON"
OLDEST_FORMAT, OLDEST_OPSET = 9, 20  # the newest that onnxruntime 1.17 reads

_RUN = """
import sys
import numpy as np
import onnxruntime as ort
library, model, feed, out = sys.argv[1:]
options = ort.SessionOptions()
options.log_severity_level = 4
options.add_session_config_entry("ai.dqmq.kernels", "always")
options.register_custom_ops_library(library)
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
np.save(out, session.run(None, dict(np.load(feed)))[0])
print(ort.__version__)
"""


def relabelled(model: bytes) -> bytes:
    """The same nodes in a format that the oldest runtime reads."""
    loaded = onnx.load_from_string(model)
    loaded.ir_version = OLDEST_FORMAT
    for opsets in [loaded.opset_import, *(function.opset_import for function in loaded.functions)]:
        for opset in opsets:
            if not opset.domain:
                opset.version = OLDEST_OPSET
    made: bytes = loaded.SerializeToString()
    return made


def run_there(one: Node, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a node in the older runtime on our kernels; the answer is in ``y.npy``."""
    python = os.environ.get(OLDER_PYTHON)
    if not python:
        pytest.skip(f"needs {OLDER_PYTHON}, an interpreter with onnxruntime 1.17")
    (folder / "node.onnx").write_bytes(relabelled(one.model()))
    feed: dict[str, Any] = {name: one.tensors[name] for name in fed(one)}
    np.savez(folder / "feed.npz", **feed)
    files = [str(folder / name) for name in ("node.onnx", "feed.npz", "y.npy")]
    command = [python, "-c", _RUN, str(op_library_path()), *files]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def fed(one: Node) -> list[str]:
    """Inputs that come with the call."""
    return ["x", "r"] if one.operator == "QConvAdd" else ["x"]


@pytest.mark.parametrize("level", find().available)
@pytest.mark.parametrize("operator", list(COUNTS))
def test_the_same_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operator: str, level: str) -> None:
    """As stock onnxruntime of today gives for the function."""
    monkeypatch.setenv(CAP, level)
    one = node(operator, 2)
    done = run_there(one, tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), one.run(kernels=False))


def test_an_error_and_no_crash(tmp_path: Path) -> None:
    """Weights that are too short are an error there, too."""
    done = run_there(node("QConv").changed(w=np.zeros((6, 44), np.uint8)), tmp_path)
    assert done.returncode == 1
    assert "QConv: w: expected uint8 [6, 45], got uint8 [6, 44]" in done.stderr
