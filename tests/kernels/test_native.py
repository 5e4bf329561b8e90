"""The tests of the kernels alone: as released, under sanitizers, and compiled for aarch64 under emulation.

``kernels/tests`` says what they hold. Each build runs all suites and says which paths it covered; it fails where an
instruction set that this CPU has, by the operating system's word, was not among them.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dqmq_deploy.cpu import flags
from dqmq_deploy.kernels import CAP

KERNELS = Path(__file__).parents[2] / "kernels"
SUITES = ("exact", "random", "guard", "passes", "cache", "layer", "pool", "picture", "fuzz")
AARCH64_TOOLS = ("aarch64-linux-gnu-g++", "qemu-aarch64")
EXPECT_AARCH64 = "DQMQ_EXPECT_AARCH64"
"""Set where the tools for aarch64 were installed: then their absence is no reason to skip."""

_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi", "avx512_vnni"}


def find(tool: str) -> str | None:
    """A program of this environment, or of the system."""
    here = Path(sys.executable).parent
    return shutil.which(tool, path=os.pathsep.join([str(here), os.environ.get("PATH", os.defpath)]))


def required(*tools: str) -> None:
    """Skip where one of them is absent."""
    missing = [tool for tool in tools if find(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def expected_isas() -> list[str]:
    """What this CPU has by its flags, read without the code that is tested."""
    machine, found = platform.machine().lower(), flags()
    if machine in ("aarch64", "arm64"):
        return ["neon", *(["dotprod"] if "asimddp" in found else [])]
    if not {"avx2", "fma"} <= found:
        return []
    return ["avx2", *(["avx512"] if found >= _AVX512 else [])]


def build_and_run(folder: Path, *options: str, share: str, isas: list[str]) -> str:
    """Compile the kernels with their tests, run all suites, return what they printed."""
    cmake, ctest = find("cmake"), find("ctest")
    assert cmake is not None and ctest is not None
    cores = str(os.cpu_count() or 1)
    environment = {"CMAKE_BUILD_PARALLEL_LEVEL": cores, "CTEST_PARALLEL_LEVEL": cores} | dict(os.environ)
    environment = {key: value for key, value in environment.items() if key != CAP}
    environment["DQMQ_EXPECT_ISAS"] = ",".join(isas)
    configure = [cmake, "-S", str(KERNELS), "-B", str(folder), "-DDQMQ_TESTS=ON", *options]
    for command in (
        [*configure, f"-DDQMQ_TEST_ARGUMENTS=--share;{share}"],
        [cmake, "--build", str(folder)],
        [ctest, "--test-dir", str(folder), "--verbose", "--timeout", "600"],
    ):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode != 0:
            pytest.fail(f"{' '.join(command)}\n{done.stdout[-20_000:]}", pytrace=False)
    return done.stdout


def check(printed: str, isas: list[str]) -> None:
    """All suites ran; the sweeping ones name the instruction sets they covered."""
    assert all(f"passed {suite}: " in printed for suite in SUITES)
    for isa in ["portable", *isas]:
        assert printed.count(f"covered by {isa}: ") >= 3
    print("\n".join(line for line in printed.splitlines() if "covered" in line))


def test_as_released(tmp_path: Path) -> None:
    """All cases, with the compiler that the package is installed with."""
    required("cmake", "ctest", os.environ.get("CXX", "c++"))
    check(build_and_run(tmp_path, share="1", isas=expected_isas()), expected_isas())
    # the guard itself: what is capped is not covered, and that fails the run
    environment = os.environ | {CAP: "portable", "DQMQ_EXPECT_ISAS": "portable,mmx"}
    command = [str(tmp_path / "tests" / "kernel_tests"), "exact", "--share", "0.05"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "covered by avx2" not in done.stdout
    assert "DQMQ_EXPECT_ISAS: mmx was not covered" in done.stdout and "1 of" in done.stdout


def test_under_sanitizers(tmp_path: Path) -> None:
    """No wrong access to memory, no undefined behaviour; one case in ten."""
    required("cmake", "ctest", os.environ.get("CXX", "c++"))
    check(build_and_run(tmp_path, "-DDQMQ_SANITIZE=ON", share="0.1", isas=expected_isas()), expected_isas())


def test_for_aarch64(tmp_path: Path) -> None:
    """NEON, with and without dot products; the emulator has both. One case in five."""
    if not os.environ.get(EXPECT_AARCH64):
        required("cmake", "ctest", *AARCH64_TOOLS)
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={KERNELS / 'aarch64.cmake'}"
    isas = ["neon", "dotprod"]
    check(build_and_run(tmp_path, toolchain, share="0.2", isas=isas), isas)
