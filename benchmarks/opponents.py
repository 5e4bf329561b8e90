"""What kernels are timed against, and the kernels themselves: graphs opened on each runtime, ready to run one input.

Opening and input layout happen before the clock starts; a call is one inference.
"""

import ctypes
import platform
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

import dqmq_deploy
from dqmq_deploy import cpu
from dqmq_deploy.errors import KernelError
from dqmq_deploy.kernels import SESSION_SWITCH
from dqmq_deploy.runtime.arena import share_arena

Array = npt.NDArray[Any]

CAPS = {
    "portable": frozenset[str](),
    "avx2": frozenset({"avx2"}),
    "avx512": frozenset({"avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512_vnni"}),
}
"""Values of ``DQMQ_MAX_ISA`` worth timing, slowest first, and the CPU flags that each needs."""


def available_caps() -> list[str]:
    """Those of :data:`CAPS` that this CPU has; on other machines than x86 the portable path alone."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ["portable"]
    return [name for name, needed in CAPS.items() if needed <= cpu.flags()]


def library_path() -> Path | None:
    """The library of kernels, or None where it was not built."""
    try:
        return dqmq_deploy.op_library_path()
    except KernelError:
        return None


def int8_peak(library: Path | None) -> Callable[[], float] | None:
    """The library's own probe of one core's int8 peak, in GMAC/s; None where there is none."""
    probe = None if library is None else getattr(ctypes.CDLL(str(library)), "dqmq_int8_peak_gmacs", None)
    if probe is None:
        return None
    probe.restype, probe.argtypes = ctypes.c_double, []
    return (lambda: float(probe())) if probe() > 0 else None


def ort_session(
    path: Path, threads: int, library: Path | None = None, *, exact: bool = True, always: bool = True
) -> ort.InferenceSession:
    """A session as serving opens it; with ``library`` on our kernels, without on stock onnxruntime.

    Not ``exact``: with onnxruntime's own settings, by which sums of int8 products saturate on some CPUs. Not
    ``always``: as any program registers the library, which then may leave the work to onnxruntime.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in cpu.session_settings().items() if exact else ():
        options.add_session_config_entry(key, value)
    if library is not None:
        options.add_session_config_entry(SESSION_SWITCH, "always" if always else "on")
        options.register_custom_ops_library(str(library))
        if always:
            share_arena(options)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ort_call(
    path: Path, threads: int, feed: Array, library: Path | None = None, *, exact: bool = True, always: bool = True
) -> Callable[[], object]:
    """One inference of a network on onnxruntime, as a user calls it."""
    session = ort_session(path, threads, library, exact=exact, always=always)
    feeds = {session.get_inputs()[0].name: feed}
    return lambda: session.run(None, feeds)


def ort_bound_call(path: Path, threads: int, feed: Array, library: Path | None = None) -> Callable[[], object]:
    """One inference with input and output bound beforehand: less around a single layer than in :func:`ort_call`."""
    session = ort_session(path, threads, library)
    output = session.run(None, {session.get_inputs()[0].name: feed})[0]
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in (feed, np.empty_like(output))]
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, values[0])
    binding.bind_ortvalue_output(session.get_outputs()[0].name, values[1])
    return lambda: session.run_with_iobinding(binding)


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def openvino_call(path: Path, threads: int, feed: Array, *, float32: bool = False) -> Callable[[], object]:
    """One inference on OpenVINO's CPU plugin, compiled for the one shape of ``feed``.

    ``float32`` keeps it from computing a float network in bfloat16, as it would where the CPU can.
    """
    import openvino

    hints: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    if float32:
        hints["INFERENCE_PRECISION_HINT"] = "f32"
    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape(list(feed.shape))
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    return lambda: request.infer({0: feed}, share_inputs=True, share_outputs=True)
