"""``weights.bin``: every packed weight tensor once, however many configurations use it.

Graphs refer to a tensor by its offset and length, as ONNX external data. Tensors start on multiples of 64 bytes, a
cache line and the width of the widest vector load.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from dqmq_deploy.bundle.manifest import WEIGHTS
from dqmq_deploy.bundle.packing import pack

ALIGNMENT = 64


@dataclass(frozen=True)
class PackedTensor:
    """Where a packed tensor ``uint8 [out, row bytes]`` lies in ``weights.bin``."""

    offset: int
    shape: tuple[int, int]

    @property
    def length(self) -> int:
        """Bytes of the tensor."""
        return self.shape[0] * self.shape[1]

    def initializer(self, name: str) -> onnx.TensorProto:
        """An initializer of that name whose data are these bytes of ``weights.bin``."""
        tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.UINT8, dims=self.shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", str(self.offset)), ("length", str(self.length))):
            tensor.external_data.add(key=key, value=value)
        return tensor


class WeightStore:
    """Collects packed weights while graphs are built, then gives the bytes of ``weights.bin``."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._known: dict[tuple[str, int, bytes], PackedTensor] = {}

    def add(self, layer: str, codes: npt.NDArray[np.int8], bits: int) -> PackedTensor:
        """Place the codes ``[out, ...]`` of a layer at a precision, or find them where they already are."""
        packed = pack(codes, bits)
        content = packed.tobytes()
        key = (layer, bits, content)
        if key not in self._known:
            self._data.extend(bytes(-len(self._data) % ALIGNMENT))
            self._known[key] = PackedTensor(len(self._data), (packed.shape[0], packed.shape[1]))
            self._data.extend(content)
        return self._known[key]

    def to_bytes(self) -> bytes:
        """The bytes of ``weights.bin``."""
        return bytes(self._data)


def external_bytes(model: onnx.ModelProto) -> int:
    """Bytes of ``weights.bin`` that a graph refers to, each counted once."""
    parts = set()
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            parts.add((int(entries["offset"]), int(entries["length"])))
    return sum(length for _, length in parts)
