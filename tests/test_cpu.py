"""What the CPU can do, and what onnxruntime is told about it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dqmq_deploy import cpu


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """The answer is remembered for the life of a process; not between tests."""
    cpu.int8_saturates.cache_clear()
    yield
    cpu.int8_saturates.cache_clear()


@pytest.mark.parametrize(
    ("machine", "flags", "saturates"),
    [
        ("x86_64", "flags : fma avx2", True),
        ("x86_64", "flags : avx2 avx512_vnni", False),
        ("AMD64", "flags : avx2 avx_vnni", False),
        ("aarch64", "Features : asimd", False),
    ],
)
def test_only_x86_without_vnni_is_slowed_to_stay_exact(
    machine: str, flags: str, saturates: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The setting costs 2.6 times the time where it is not needed, so it is given only where it is."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
    assert cpu.int8_saturates() is saturates
    assert cpu.session_settings() == ({"session.x64quantprecision": "1"} if saturates else {})


@pytest.mark.parametrize(
    ("flags", "multiplies"),
    [
        ("flags : avx2 avx512f avx512bw", False),
        ("flags : avx2 avx512f avx512_bf16", True),
        ("flags : avx2 amx_bf16", True),
        ("Features : asimd bf16", True),
    ],
)
def test_bfloat16_is_for_cpus_that_multiply_it(
    flags: str, multiplies: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without such an instruction a step of ResNet-20 took 12 times as long in bfloat16 as in float32 (Zen 3)."""
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
    assert cpu.multiplies_bf16() is multiplies


def test_unreadable_flags_mean_the_safe_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing is known of an x86 CPU, exactness comes first."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "absent")
    assert cpu.int8_saturates()
    assert not cpu.multiplies_bf16()
    assert cpu.flags() == frozenset()
    assert cpu.model()
