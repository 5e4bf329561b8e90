"""Where the library is found, how it is switched off, and that serving goes on without it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dqmq_deploy
from dqmq_deploy import kernels
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import InputError, KernelError
from dqmq_deploy.export import functions, graph
from dqmq_deploy.export.weights import WeightStore
from dqmq_deploy.runtime.sessions import Sessions
from tests.export.plans import PlanMaker
from tests.tiny_bundle import pictures


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package as it is where no compiler was at hand."""
    monkeypatch.setattr(kernels, "FOLDER", tmp_path)
    kernels._tell_once.cache_clear()


def test_the_library_is_there() -> None:
    """Built by the installation that these tests run in, for this version; its level is one that it has."""
    path = dqmq_deploy.op_library_path()
    assert path.is_file() and path.is_absolute()
    assert kernels._load(path).dqmq_version().decode() == dqmq_deploy.__version__
    found = kernels.find()
    assert found.path == path and found.isa in found.available
    assert found.available[:2] == ("reference", "portable")


def test_both_sides_mean_the_same_operators() -> None:
    """The library's, and the functions that a graph falls back to."""
    assert set(functions.OPERATORS) == kernels.OPERATORS
    assert functions.DOMAIN == kernels.DOMAIN


@pytest.mark.parametrize("level", kernels.find().available)
def test_a_cap_is_what_it_says(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    """For every level that this CPU has."""
    monkeypatch.setenv(kernels.CAP, level)
    assert kernels.find().isa == level


def test_a_cap_or_switch_that_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what is allowed."""
    monkeypatch.setenv(kernels.CAP, "mmx")
    with pytest.raises(InputError, match=r"DQMQ_MAX_ISA: expected .* such as reference, portable.*, got 'mmx'"):
        kernels.in_use()
    monkeypatch.setenv(kernels.SWITCH, "of")
    with pytest.raises(InputError, match="DQMQ_KERNELS: expected on, off or always, got 'of'"):
        kernels.in_use()


def test_switched_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is registered, and nothing said: it was asked for."""
    monkeypatch.setenv(kernels.SWITCH, "off")
    assert kernels.in_use() is None and not caplog.records
    assert "switched off" in kernels.in_words(kernels.facts())


@pytest.mark.usefixtures("absent")
def test_serving_goes_on_without_and_says_so_once(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    """Five sessions, one line that says what to do."""
    pixels, _ = pictures(4)
    assert Sessions(tiny_bundle).logits(0, pixels).shape == (4, 3)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "stock onnxruntime" in record.getMessage() and "C++ compiler" in record.getMessage()


@pytest.mark.usefixtures("absent")
def test_who_asks_for_an_absent_library_is_told_what_to_do() -> None:
    """An error of ours, in one line."""
    with pytest.raises(KernelError, match=r"no such file: .* install dqmq-deploy again") as caught:
        dqmq_deploy.op_library_path()
    assert "\n" not in str(caught.value)
    assert kernels.in_words(kernels.facts()).startswith("none, stock onnxruntime: expected")


@pytest.mark.usefixtures("absent")
def test_a_library_that_cannot_be_loaded(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    """A file of another system, say: serving goes on, and says so."""
    (kernels.FOLDER / kernels.FILE).write_bytes(b"no library")
    Sessions(tiny_bundle, configurations=[0])
    (record,) = caplog.records
    assert "this system cannot load it" in record.getMessage()


RACE = """
import sys, time
import numpy as np
from pathlib import Path
from dqmq_deploy.runtime.sessions import has_kernels, open_faster, open_session

path, blank = Path(sys.argv[1]), np.zeros((1, 64, 64, 3), np.uint8)
seconds = []
for session in (open_session(path), open_faster(path, 1, blank)):
    session.run(None, {"image": blank})
    start = time.perf_counter()
    session.run(None, {"image": blank})
    seconds.append(time.perf_counter() - start)
    print(has_kernels(session))
print(seconds[0] / seconds[1])
"""


def test_a_graph_keeps_onnxruntimes_own_kernels_where_ours_are_slower(tmp_path: Path) -> None:
    """The reference path is many times slower than anything: sessions find out and do without."""
    maker = PlanMaker((64, 64), seed=1)
    first = maker.conv("image", 32, (3, 3), 8, pads=(1, 1, 1, 1))
    plan, weights = maker.plan(maker.conv(first, 32, (3, 3), 8, pads=(1, 1, 1, 1))), WeightStore()
    path = tmp_path / "graph.onnx"
    path.write_bytes(graph.build(plan, weights).SerializeToString())
    (tmp_path / "weights.bin").write_bytes(weights.to_bytes())
    capped = {**os.environ, "DQMQ_MAX_ISA": "reference"}
    done = subprocess.run(
        [sys.executable, "-c", RACE, str(path)], env=capped, capture_output=True, text=True, check=True
    )
    ours, faster, ratio = done.stdout.split()
    assert (ours, faster) == ("True", "False")
    assert float(ratio) > 3
