"""Models of one ``ai.dqmq`` node each, to be bent out of shape at will."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from dqmq_deploy import op_library_path
from dqmq_deploy.bundle.packing import row_bytes
from dqmq_deploy.cpu import session_settings
from dqmq_deploy.export.functions import DOMAIN, OPSET, function
from dqmq_deploy.kernels import SESSION_SWITCH

Array = npt.NDArray[Any]

# fmt: off
ORDER = [
    "x", "x_scale", "x_zp", "w", "w_scale", "bias", "x_min", "x_max", "y_scale", "y_zp", "c_scale", "c_zp",
    "r", "r_scale", "r_zp",
]
# fmt: on
COUNTS = {"QConv": 10, "QConvAdd": 15, "QLinear": 8, "QLinearCodes": 10}
OUT, CHANNELS, SIZE = 6, 5, 7


@dataclass(frozen=True)
class Node:
    """A node and all of its inputs; ``changed`` gives one that differs in some of them."""

    operator: str
    attributes: dict[str, Any]
    tensors: dict[str, Array]

    def changed(self, attributes: Mapping[str, Any] | None = None, **tensors: Array) -> "Node":
        """This node with other attributes, None to leave one out, and other tensors."""
        mixed = {**self.attributes, **(attributes or {})}
        kept = {key: value for key, value in mixed.items() if value is not None}
        return replace(self, attributes=kept, tensors={**self.tensors, **tensors})

    def model(self, fed: Collection[str] = ("x", "r")) -> bytes:
        """The ONNX file. Inputs in ``fed`` come with each run, the others are constants of the graph."""
        names = ORDER[: COUNTS[self.operator]]
        node = helper.make_node(self.operator, names, ["y"], name="node", domain=DOMAIN, **self.attributes)
        made = helper.make_graph(
            [node],
            "one node",
            # of unknown shape, so that it is the node that has to check them
            [_info(name, self.tensors[name].dtype) for name in names if name in fed],
            [_info("y", np.dtype(np.float32 if self.operator == "QLinear" else np.uint8))],
            [numpy_helper.from_array(self.tensors[name], name) for name in names if name not in fed],
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
        functions = [function(self.operator)]
        return cast(bytes, helper.make_model(made, opset_imports=opsets, functions=functions, ir_version=10)
                    .SerializeToString())  # fmt: skip

    def run(self, *, kernels: bool, fed: Collection[str] = ("x", "r"), threads: int = 1) -> Array:
        """What the node gives, on our kernels or on stock onnxruntime."""
        session = open_model(self.model(fed), kernels=kernels, threads=threads)
        feed = {name: self.tensors[name] for name in ORDER[: COUNTS[self.operator]] if name in fed}
        return cast(Array, session.run(None, feed)[0])


def open_model(model: bytes, *, kernels: bool, threads: int = 1, switch: str | None = "always") -> ort.InferenceSession:
    """A session on our kernels, whatever the level unless ``switch`` says otherwise, or on stock onnxruntime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    for key, value in session_settings().items():
        options.add_session_config_entry(key, value)
    if kernels:
        if switch is not None:
            options.add_session_config_entry(SESSION_SWITCH, switch)
        options.register_custom_ops_library(str(op_library_path()))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def node(operator: str, bits: int = 8, act_bits: int | None = None, seed: int = 0) -> Node:
    """A node that makes sense: 3x3 with pads over ``[2, SIZE, SIZE, CHANNELS]``, or linear over ``[2, CHANNELS]``."""
    rng = np.random.default_rng(seed)
    is_conv = operator.startswith("QConv")
    act_bits = bits if act_bits is None else act_bits
    w_shape = [OUT, CHANNELS, 3, 3] if is_conv else [OUT, CHANNELS]
    count = int(np.prod(w_shape[1:]))
    x_shape = (2, SIZE, SIZE, CHANNELS) if is_conv else (2, CHANNELS)
    attributes: dict[str, Any] = {
        "weight_bits": bits,
        "act_bits": act_bits,
        "w_shape": w_shape,
        "w_count": [count],
    }
    if is_conv:
        attributes |= {
            "kernel_shape": [3, 3],
            "strides": [1, 1],
            "pads": [1, 1, 1, 1],
            "dilations": [1, 1],
            "group": 1,
        }
    tensors = {
        "x": rng.integers(0, 256, x_shape, np.uint8),
        "x_scale": np.float32(0.02),
        "x_zp": np.uint8(3),
        "w": rng.integers(0, 256, (OUT, row_bytes(count, bits)), np.uint8),
        "w_scale": rng.uniform(-0.02, 0.02, OUT).astype(np.float32),
        "bias": rng.integers(-3000, 3000, OUT, np.int32),
        "x_min": np.uint8(3),
        "x_max": np.uint8(3 + 2**act_bits - 1 if act_bits < 8 else 255),
        "y_scale": np.float32(0.1),
        "y_zp": np.uint8(120),
        "c_scale": np.float32(0.07),
        "c_zp": np.uint8(128),
        "r": rng.integers(0, 256, (2, SIZE, SIZE, OUT), np.uint8),
        "r_scale": np.float32(0.05),
        "r_zp": np.uint8(9),
    }
    return Node(operator, attributes, {name: np.asarray(value) for name, value in tensors.items()})


def _info(name: str, dtype: np.dtype[Any]) -> Any:
    types = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int32": TensorProto.INT32}
    return helper.make_tensor_value_info(name, types[dtype.name], None)
