"""Nodes and shared constants of a graph under construction."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from dqmq_deploy import __version__
from dqmq_deploy.export.functions import DOMAIN, DOMAIN_VERSION, OPSET, function
from dqmq_deploy.export.plan import TensorQuant

IR_VERSION = 10
"""The newest that onnxruntime 1.20 reads."""

TO_NCHW = [0, 3, 1, 2]
TO_NHWC = [0, 2, 3, 1]


class GraphBuilder:
    """Appends nodes; equal scalars share one initializer, since small nets pay for their graph's bytes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._operators: set[str] = set()
        self._fresh = 0

    def node(self, operator: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Append a standard operator; the name of its output, a fresh one if none is given."""
        name = output or self.fresh()
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def call(self, operator: str, name: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append an ``ai.dqmq`` operator, its node named ``name``."""
        self._operators.add(operator)
        self._nodes.append(helper.make_node(operator, inputs, [output], name=name, domain=DOMAIN, **attributes))
        return output

    def rename(self, value: str, output: str) -> str:
        """Give ``value``, which the last node wrote and no other has read, the name ``output``."""
        assert list(self._nodes[-1].output) == [value]
        self._nodes[-1].output[0] = output
        return output

    def fresh(self) -> str:
        """A name no tensor has yet."""
        self._fresh += 1
        return f"_{self._fresh}"

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """An initializer of that name."""
        return self.initializer(numpy_helper.from_array(values, name))

    def initializer(self, tensor: onnx.TensorProto) -> str:
        """Add an initializer as it is; its name."""
        self._initializers[tensor.name] = tensor
        return str(tensor.name)

    def code(self, value: int) -> str:
        """A uint8 scalar, shared."""
        return self.constant(f"u{value}", np.array(value, np.uint8))

    def scale(self, value: float) -> str:
        """A float32 scalar, shared between equal values."""
        scalar = np.array(value, np.float32)
        return self.constant(f"s{scalar.view(np.uint32):08x}", scalar)

    def quant(self, quant: TensorQuant) -> list[str]:
        """Scale and zero point, shared."""
        return [self.scale(quant.scale), self.code(quant.zero_point)]

    def model(self, name: str, image: onnx.ValueInfoProto, output: onnx.ValueInfoProto) -> onnx.ModelProto:
        """The finished model, with the functions it calls."""
        graph = helper.make_graph(self._nodes, name, [image], [output], list(self._initializers.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        if self._operators:
            opsets.append(helper.make_opsetid(DOMAIN, DOMAIN_VERSION))
        return helper.make_model(
            graph,
            opset_imports=opsets,
            functions=[function(operator) for operator in sorted(self._operators)],
            ir_version=IR_VERSION,
            producer_name="dqmq-deploy",
            producer_version=__version__,
        )


def image_input(height: int, width: int) -> onnx.ValueInfoProto:
    """``image``: uint8 ``[N, height, width, 3]``, the batch free."""
    return helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", height, width, 3])


def float_output(name: str, width: int) -> onnx.ValueInfoProto:
    """Float32 ``[N, width]``, the batch free."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
