"""Single layers as graphs."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.layers import LAYERS, LayerShape, layer_input, layer_model
from benchmarks.opponents import ort_bound_call, ort_session

FAMILIES = {shape.family: shape for shape in LAYERS}


def test_names_are_distinct() -> None:
    """A row of the table is found by its name."""
    assert len({shape.name for shape in LAYERS}) == len(LAYERS)


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("3x3 64->64 @56", 56 * 56 * 64 * 64 * 9),
        ("7x7 3->64 @224 stride 2", 112 * 112 * 64 * 3 * 49),
        ("3x3 depthwise 96 @112 stride 2", 56 * 56 * 96 * 9),
        ("1x1 144->32 @28", 28 * 28 * 144 * 32),
        ("linear 512->1000", 512_000),
    ],
)
def test_macs(name: str, macs: int) -> None:
    """Positions times outputs times what each output adds up."""
    (shape,) = (shape for shape in LAYERS if shape.name == name)
    assert shape.macs == macs


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", FAMILIES.values(), ids=FAMILIES)
def test_a_layer_runs_on_stock_onnxruntime(shape: LayerShape, bits: int, tmp_path: Path) -> None:
    """With the shape that its graph declares, its codes spread over more than the two ends."""
    path = tmp_path / "layer.onnx"
    path.write_bytes(layer_model(shape, bits).SerializeToString())
    feed = layer_input(shape, bits)
    session = ort_session(path, 1)
    output = session.run(None, {"x": feed})[0]
    assert list(output.shape) == [1, *session.get_outputs()[0].shape[1:]]
    assert len(np.unique(output)) > 20
    ort_bound_call(path, 1, feed)()
