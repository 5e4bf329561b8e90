"""What the bundle is measured against: the same network in float, and as others would quantize and run it.

| name | file in the bundle | runtime |
|---|---|---|
| ``fp32`` | ``baselines["fp32"]`` | onnxruntime |
| ``ort-int8`` | ``baselines["ort-int8"]``, quantized by onnxruntime's ``quantize_static`` | onnxruntime |
| ``openvino-int8`` | the same file as ``ort-int8`` | OpenVINO, same number of threads |

onnxruntime runs them by its own settings, as it would elsewhere: where its int8 saturates, which is faster and less
exact than the bundle's graphs, a note says so. A baseline that cannot be measured is left out with a note that says why
and what to do.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.manifest import ImageQuant
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.cpu import int8_saturates
from dqmq_deploy.errors import BenchError, InputError, unknown_key
from dqmq_deploy.report.runners import OnnxRunner, Pixels, Subject, normalised

BASELINES = ("fp32", "ort-int8", "openvino-int8")
"""Names that ``--against`` takes."""

_SATURATES = (
    "ort-int8 runs by onnxruntime's own settings, by which sums of int8 products saturate on this CPU; the bundle's "
    "graphs are exact on stock onnxruntime, too, and slower there for it."
)


def find_baselines(bundle: Bundle, names: tuple[str, ...]) -> tuple[list[Subject], list[str]]:
    """The baselines that can be measured here, and what has to be said of them or of those that cannot.

    Raises:
        InputError: a name that is no baseline.
    """
    subjects: list[Subject] = []
    notes: list[str] = []
    quant = bundle.manifest.image_quant
    for name in dict.fromkeys(names):
        if name not in BASELINES:
            raise InputError(unknown_key(name, BASELINES, "--against"))
        key = "ort-int8" if name == "openvino-int8" else name
        if key not in bundle.manifest.baselines:
            notes.append(f"{name} was not measured: the bundle holds no such graph; export with --with-baselines.")
            continue
        path = bundle.file(bundle.manifest.baselines[key])
        if name != "openvino-int8":
            subjects.append(_onnx(name, path, quant))
            if name == "ort-int8" and int8_saturates():
                notes.append(_SATURATES)
        elif find_spec("openvino") is None:
            notes.append(f"{name} was not measured: OpenVINO is not installed; pip install openvino.")
        else:
            subjects.append(_openvino(name, path, quant))
    return subjects, notes


def _onnx(name: str, path: Path, quant: ImageQuant) -> Subject:
    return Subject(
        name, "baseline", path, lambda threads, batch: OnnxRunner(path, threads, quant, kernels=False, exact=False)
    )


def _openvino(name: str, path: Path, quant: ImageQuant) -> Subject:
    return Subject(name, "baseline", path, lambda threads, batch: OpenVinoRunner(path, threads, batch, quant))


class OpenVinoRunner:
    """A graph on OpenVINO's CPU plugin: one stream of ``threads`` threads, compiled for one batch size.

    A fixed batch is OpenVINO's fast path; left free, it would be measured at a disadvantage.
    """

    def __init__(self, path: Path, threads: int, batch: int, image_quant: ImageQuant) -> None:
        import openvino

        hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        try:
            core = openvino.Core()
            model = core.read_model(str(path))
            shape = model.inputs[0].partial_shape
            shape[0] = batch
            model.reshape(shape)
            self._float_input = model.inputs[0].element_type == openvino.Type.f32
            self._request = core.compile_model(model, "CPU", hints).create_infer_request()
        except Exception as error:
            reason = str(error).strip().splitlines()[-1]
            raise BenchError(f"{path}: OpenVINO {openvino.__version__} cannot load it: {reason}") from None
        self._batch = batch
        self._image_quant = image_quant

    def prepare(self, pixels: Pixels) -> tuple[npt.NDArray[Any], int]:
        """The input tensor, a short batch filled up with zeros, and how many images count."""
        count = len(pixels)
        if count < self._batch:
            pixels = np.concatenate([pixels, np.zeros((self._batch - count, *pixels.shape[1:]), np.uint8)])
        return (normalised(pixels, self._image_quant) if self._float_input else pixels), count

    def run(self, feed: tuple[npt.NDArray[Any], int]) -> npt.NDArray[np.float32]:
        """Output of the model for the images that count; a copy, since OpenVINO reuses its output buffer."""
        pixels, count = feed
        self._request.infer({0: pixels}, share_inputs=True, share_outputs=True)
        output: npt.NDArray[np.float32] = self._request.get_output_tensor(0).data[:count].copy()
        return output
