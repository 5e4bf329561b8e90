"""The two files that anyone can check a time with."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.networks import quantized_plan, write_quantized
from benchmarks.opponents import ort_session
from benchmarks.random_nets import random_net
from dqmq_deploy.doctor import FLOAT_ARITHMETIC, optimised_nodes
from dqmq_deploy.quant.net import QuantNet

ROOT = Path(__file__).parent.parent.parent
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the program wrote, run by its path."""
    folder = tmp_path_factory.mktemp("networks") / "new"
    words = [sys.executable, "benchmarks/networks.py", "resnet20", "--bits", "2", "-o", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def net() -> QuantNet:
    """A network of random weights; every plan of it adds a slot."""
    return random_net("resnet20")


def logits(session: ort.InferenceSession, images: np.ndarray) -> np.ndarray:
    """Of the input ``image``."""
    found: np.ndarray = session.run(None, {"image": images})[0]
    return found


def test_it_runs_as_a_module_too() -> None:
    """From the repository's root."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.networks", "--help"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0


def test_the_quantized_graph_takes_any_batch(files: Path) -> None:
    """On stock onnxruntime, an image alone gets the logits that it gets in a batch of three."""
    session = ort_session(files / "quantized.onnx", 1)
    together = logits(session, PIXELS)
    assert together.shape == (3, 10) and np.isfinite(together).all()
    assert np.array_equal(logits(session, PIXELS[:1]), together[:1])


def test_the_float_graph_takes_any_batch(files: Path) -> None:
    """The input has the same name."""
    session = ort_session(files / "float.onnx", 1)
    images = PIXELS.transpose(0, 3, 1, 2).astype(np.float32) / 64 - 2
    assert logits(session, images).shape == (3, 10)
    assert np.isfinite(logits(session, images[:1])).all()


def test_stock_onnxruntime_fuses_every_convolution(files: Path) -> None:
    """As it does those that ``export`` writes: 21 convolutions with the two shortcuts, and no float arithmetic."""
    operators = [operator for _, operator in optimised_nodes(files / "quantized.onnx", kernels=False)]
    assert operators.count("QLinearConv") == 21
    assert FLOAT_ARITHMETIC.isdisjoint(operators)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_images_are_told_apart_to_the_end(net: QuantNet, bits: int, tmp_path: Path) -> None:
    """Codes do not die out on their way through random weights: different images get different logits."""
    path = write_quantized(quantized_plan("resnet20", net, bits), tmp_path)
    found = logits(ort_session(path, 1), PIXELS)
    assert (found.std(axis=0) > 0.001).all()  # dead, it is 0
