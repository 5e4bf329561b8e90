"""This CPU: its name, its flags, and what onnxruntime has to be told about it."""

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")

EXACT_PRODUCTS = ("session.x64quantprecision", "1")
"""Session setting that keeps int8 products exact on x86 without VNNI, at 2.6 times the time of a ResNet-20 with it."""


def model() -> str:
    """The CPU's name as the operating system tells it."""
    name = _field("model name", "Model", "Hardware")
    if not name and sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return name or platform.processor() or platform.machine() or "unknown CPU"


def flags() -> frozenset[str]:
    """Every flag of the CPU; empty where the operating system does not tell them."""
    return frozenset(_field("flags", "Features").split())


@cache
def int8_saturates() -> bool:
    """Whether onnxruntime adds pairs of 8-bit products in 16 bits here, which saturates: x86 without VNNI.

    Where the flags of an x86 CPU cannot be read, the answer is yes: slower, never wrong.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return flags().isdisjoint(("avx512_vnni", "avx_vnni"))


def multiplies_bf16() -> bool:
    """Whether the CPU has instructions that multiply bfloat16; without them it takes many times as long as float32.

    Where the flags cannot be read, the answer is no.
    """
    return not flags().isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))


def session_settings() -> dict[str, str]:
    """Entries for ``SessionOptions.add_session_config_entry`` that give exact results on this CPU."""
    return dict([EXACT_PRODUCTS]) if int8_saturates() else {}


def _field(*names: str) -> str:
    """The first filled field of any of these names in the operating system's description of the CPU, or nothing."""
    try:
        lines = CPU_INFO.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in names and value.strip():
            return value.strip()
    return ""
