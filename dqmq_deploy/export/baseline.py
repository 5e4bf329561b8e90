"""The same network as onnxruntime itself would quantize it: the baseline our int8 graphs must keep up with."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from dqmq_deploy.export.plan import TensorQuant

CALIBRATION_BATCH = 32


def normalised(images: npt.NDArray[np.uint8], quant: TensorQuant) -> npt.NDArray[np.float32]:
    """Pictures ``uint8 [N, H, W, 3]`` as the float graph reads them: ``float32 [N, 3, H, W]``."""
    centred = images.astype(np.float32) - np.float32(quant.zero_point)
    return np.ascontiguousarray(centred.transpose(0, 3, 1, 2) * np.float32(quant.scale))


def quantize_int8(model: onnx.ModelProto, images: npt.NDArray[np.float32]) -> onnx.ModelProto:
    """``model`` through ``quantize_static``: QDQ, uint8 activations, int8 weights per channel, min and max calibration.

    ``images``: float32 ``[N, 3, H, W]``, normalised.
    """
    with tempfile.TemporaryDirectory(prefix="dqmq-int8-") as folder, _quiet():
        plain, prepared, quantized = (str(Path(folder) / name) for name in ("plain", "prepared", "quantized"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            _Batches(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return _without_unused_domains(onnx.load(quantized))


def _without_unused_domains(model: onnx.ModelProto) -> onnx.ModelProto:
    # pre-processing imports every domain onnxruntime knows, and a bundle takes only those it needs
    used = {node.domain for node in model.graph.node}
    for index in reversed(range(len(model.opset_import))):
        if model.opset_import[index].domain not in used:
            del model.opset_import[index]
    return model


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: npt.NDArray[np.float32]) -> None:
        self._batches = iter(np.split(images, range(CALIBRATION_BATCH, len(images), CALIBRATION_BATCH)))

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


@contextmanager
def _quiet() -> Iterator[None]:
    # it warns through the root logger that pre-processing would help, done or not
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)
