"""What this machine offers, and whether a bundle's graphs really run in integers on it, and on our kernels.

A quantized graph that a runtime did not fuse still gives the right answer, at float speed, and says nothing. So the
graph that onnxruntime made of each configuration is written out, read back and searched for float arithmetic.
"""

import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dqmq_deploy.bundle.onnx_file import read_nodes
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.cpu import session_settings
from dqmq_deploy.errors import BundleError
from dqmq_deploy.kernels import OPERATORS, register
from dqmq_deploy.report.environment import TELLING_FLAGS, cpu_flags, environment

PACKAGES = ("numpy", "pillow", "onnxruntime", "torch", "onnx", "openvino", "pyarrow")
"""Packages whose version decides what works."""

FLOAT_ARITHMETIC = frozenset(
    {
        "Add",
        "AveragePool",
        "Conv",
        "ConvTranspose",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gemm",
        "GlobalAveragePool",
        "MatMul",
        "MatMulNBits",
        "NhwcFusedConv",
        "Relu",
    }
)
"""Operators that, left in the optimised graph of a configuration, compute in float what should be integers."""


@dataclass(frozen=True)
class FloatNode:
    """A node of an optimised graph that runs in float although it should not."""

    graph: str
    node: str
    op_type: str


@dataclass(frozen=True)
class GraphReport:
    """One configuration's graph as onnxruntime runs it here: how often each operator occurs, and what is wrong.

    ``kernel_nodes`` of its nodes run on our kernels.
    """

    configuration: str
    graph: str
    operators: dict[str, int]
    kernel_nodes: int
    float_nodes: list[FloatNode]


def machine() -> dict[str, object]:
    """What decides speed here: ``cpu``, ``usable_cores``, the ``flags`` it has and ``flags_absent``, and more.

    ``versions`` of packages are None where absent; ``kernels`` says which kernels graphs run on, and from which file.
    Imports none of the packages it tells of.

    Raises:
        InputError: an environment variable about kernels has a value that means nothing.
    """
    facts = environment()
    told = ("cpu", "usable_cores", "cpu_quota_cores", "memory_gib", "os", "python", "kernels")
    return {
        **{key: facts[key] for key in told},
        "flags": cpu_flags(),
        "flags_absent": [flag for flag in _flags_of_this_kind() if flag not in cpu_flags()],
        "versions": {name: _version(name) for name in ("dqmq-deploy", *PACKAGES)},
    }


def examine(path: Path) -> Iterator[GraphReport]:
    """Load every configuration of the bundle at ``path`` and report on its optimised graph, cheapest first.

    Raises:
        BundleError: the bundle is damaged, or onnxruntime cannot load one of its graphs.
    """
    bundle = Bundle.open(path)
    for entry in bundle.manifest.configurations:
        nodes = optimised_nodes(bundle.file(entry.graph))
        operators: dict[str, int] = {}
        for _, op_type in nodes:
            operators[op_type] = operators.get(op_type, 0) + 1
        yield GraphReport(
            entry.name,
            entry.graph,
            dict(sorted(operators.items(), key=lambda pair: (-pair[1], pair[0]))),
            sum(count for op_type, count in operators.items() if op_type in OPERATORS),
            [FloatNode(entry.graph, name, op_type) for name, op_type in nodes if op_type in FLOAT_ARITHMETIC],
        )


def optimised_nodes(graph: Path, kernels: bool = True) -> list[tuple[str, str]]:
    """Name and operator of every node that onnxruntime runs for the ONNX file ``graph``, in its order.

    ``kernels=False`` keeps to stock onnxruntime; else ours are used where they are.

    Raises:
        BundleError: onnxruntime cannot load it.
    """
    import onnxruntime as ort

    with tempfile.TemporaryDirectory(prefix="dqmq-doctor-") as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        options.intra_op_num_threads = 1
        for key, value in session_settings().items():
            options.add_session_config_entry(key, value)
        options.log_severity_level = 3  # that the file is meant for this machine only is what we want
        if kernels:
            register(options)
        try:
            ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            raise BundleError(f"{graph}: onnxruntime cannot load it ({str(error).splitlines()[0]})") from error
        return read_nodes(Path(options.optimized_model_filepath).read_bytes())


def _flags_of_this_kind() -> list[str]:
    """The telling flags that a CPU of this architecture can have; no ARM flag is missed on x86."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    arm = ("asimd", "i8mm", "sve")
    return [flag for flag in TELLING_FLAGS if flag.startswith(arm) != x86]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
