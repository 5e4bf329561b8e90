"""What the export ran on and with, for the manifest."""

import os
import platform
from importlib import metadata

from dqmq_deploy import __version__, cpu, kernels


def machine() -> str:
    """The processor and the number of its cores in one line."""
    return f"{cpu.model()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def versions() -> dict[str, str]:
    """Versions of this package, Python and the packages that an export depends on; the kernels' instruction set."""
    packages = ("torch", "onnx", "onnxruntime", "numpy")
    in_use = kernels.in_use()
    return {
        "dqmq_deploy": __version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
        **({"kernels": in_use.isa} if in_use else {}),
    }
