"""Where and how numbers were measured: without it a latency is a rumour."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from dqmq_deploy import cpu, kernels

# fmt: off
TELLING_FLAGS = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_int8", "asimddp", "asimdhp", "i8mm", "sve", "sve2",
)
# fmt: on
"""CPU flags that decide which kernels run."""

PACKAGES = ("dqmq-deploy", "onnxruntime", "openvino", "numpy", "pillow")


def environment() -> dict[str, object]:
    """Machine, software and source revision, as plain values for JSON; what cannot be read is ``None``."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu.model(),
        "flags": cpu_flags(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "cpu_quota_cores": cpu_quota(),
        "governor": _first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "virtualised": "hypervisor" in cpu.flags(),
        "memory_gib": memory_gib(),
        "load_average": load_average(),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "kernels": kernels.facts(),
        "commit": commit(),
    }


def cpu_flags() -> list[str]:
    """Those of :data:`TELLING_FLAGS` that this CPU has."""
    present = cpu.flags()
    return [flag for flag in TELLING_FLAGS if flag in present]


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota() -> float | None:
    """Cores that a container's limit allows, ``None`` without a limit."""
    quota, _, period = (_first_line(Path("/sys/fs/cgroup/cpu.max")) or "max").partition(" ")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def memory_gib() -> float | None:
    """Physical memory."""
    for line in _lines(Path("/proc/meminfo")):
        if match := re.match(r"MemTotal:\s+(\d+) kB", line):
            return round(int(match[1]) / 2**20, 1)
    return None


def load_average() -> float | None:
    """Processes that wanted to run during the last minute, on average."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def commit() -> str | None:
    """Revision of the package's source tree, ``+`` where files differ from it; ``None`` for an installed package."""
    here = Path(__file__).resolve()
    git = ["git", "-C", str(here.parent)]
    if _command([*git, "ls-files", "--error-unmatch", here.name]) is None:
        return None
    revision = _command([*git, "rev-parse", "--short=12", "HEAD"])
    if not revision:
        return None
    return revision + ("+" if _command([*git, "status", "--porcelain", "--untracked-files=no"]) else "")


def machine_line(facts: dict[str, object]) -> str:
    """The environment in one line, to stand under a table.

    >>> machine_line({"cpu": "Z80", "usable_cores": 1, "versions": {"numpy": "2.0"}})
    'Z80, 1 core; numpy 2.0'
    """
    cores = facts.get("usable_cores")
    versions = facts.get("versions")
    named = ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
    return f"{facts.get('cpu')}, {cores} core{'' if cores == 1 else 's'}" + (f"; {named}" if named else "")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _first_line(path: Path) -> str | None:
    lines = _lines(path)
    return lines[0].strip() if lines else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _command(words: list[str]) -> str | None:
    """Output of a command, ``None`` if it cannot be run or fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
