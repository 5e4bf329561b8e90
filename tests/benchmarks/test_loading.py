"""What loading costs."""

from pathlib import Path

import numpy as np

from benchmarks.layers import LAYERS, layer_model
from benchmarks.loading import activation_bytes, resident_elsewhere
from dqmq_deploy.export.plan import AddStage, FlattenStage, Plan, PoolStage, TensorQuant

QUANT = TensorQuant(1.0, 0)


def test_activations_alive_at_once() -> None:
    """A 4x4 image, halved, and its own sum: the most is image and half together, unless the image is read again."""
    half = PoolStage("max", "image", "half", (2, 2), (2, 2))
    twice = AddStage("half", "half", "twice")
    tensors = dict.fromkeys(("image", "half", "twice", "again", "flat"), QUANT)
    plan = Plan((4, 4), tensors, (half, twice, FlattenStage("twice", "flat")), 1)
    assert activation_bytes(plan) == 48 + 12
    again = PoolStage("max", "image", "again", (2, 2), (2, 2))
    assert activation_bytes(Plan((4, 4), tensors, (half, again, AddStage("half", "again", "flat")), 1)) == 48 + 12 + 12


def test_sessions_keep_memory(tmp_path: Path) -> None:
    """In a process of its own, a layer of 1.28 M weights of 8 bits keeps at least those."""
    (shape,) = (shape for shape in LAYERS if shape.name == "linear 1280->1000")
    path = tmp_path / "layer.onnx"
    path.write_bytes(layer_model(shape, 8).SerializeToString())
    kept = resident_elsewhere([path], None)
    assert np.prod(shape.weight_shape) < kept["anonymous_bytes"] <= kept["resident_bytes"] < 100_000_000
