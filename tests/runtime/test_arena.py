"""Working memory that sessions share: how much of it they keep, and that answers stay what they are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from dqmq_deploy.runtime.arena import share_arena

MB = 1 << 20
SIDE = 2048

PROGRAM = """
import sys
import numpy as np
import onnxruntime as ort
from dqmq_deploy.runtime.arena import share_arena

def anonymous_bytes():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(lines["RssAnon"].split()[0])

x = np.ones((1, 2048, 2048), np.float32)
kept, sizes = [], []
for _ in range(4):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    share_arena(options)
    kept.append(ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"]))
    kept[-1].run(None, {"x": x})
    sizes.append(anonymous_bytes())
print(sizes[-1] - sizes[0])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A graph whose inner tensors are 16 MiB each: a softmax, turned over and summed."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["a"], axis=2),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1]),
        helper.make_node("ReduceSum", ["b"], ["y"], keepdims=0),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", SIDE, SIDE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    model = helper.make_model(
        helper.make_graph(nodes, "large", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    file = tmp_path / "large.onnx"
    file.write_bytes(model.SerializeToString())
    return file


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc/self/status, which is Linux's")
def test_sessions_share_it(path: Path) -> None:
    """Three more sessions that need 32 MiB each add less than one of them would."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], check=True, stdout=subprocess.PIPE, text=True)
    assert int(done.stdout) < 16 * MB


def test_it_is_registered_once_and_answers_stay(path: Path) -> None:
    """However many sessions ask for it."""
    x = np.random.default_rng(0).random((1, SIDE, SIDE), np.float32)
    answers = []
    for shares in (False, True, True):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        if shares:
            share_arena(options)
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {"x": x})[0])
    assert answers[0] == answers[1] == answers[2]
