"""What the export ran on and with, for the manifest."""

import os
import platform
from importlib import metadata
from pathlib import Path

from dqmq_deploy import __version__


def machine() -> str:
    """The processor and the number of its cores in one line."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def versions() -> dict[str, str]:
    """Versions of this package, Python and the packages that an export depends on."""
    packages = ("torch", "onnx", "onnxruntime", "numpy")
    return {
        "dqmq_deploy": __version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"
