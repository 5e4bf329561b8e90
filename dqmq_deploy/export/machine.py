"""What the export ran on and with, for the manifest."""

import os
import platform
from importlib import metadata

from dqmq_deploy import __version__, cpu


def machine() -> str:
    """The processor and the number of its cores in one line."""
    return f"{cpu.model()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def versions() -> dict[str, str]:
    """Versions of this package, Python and the packages that an export depends on."""
    packages = ("torch", "onnx", "onnxruntime", "numpy")
    return {
        "dqmq_deploy": __version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }
