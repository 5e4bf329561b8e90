"""Finding and running baselines."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from dqmq_deploy import cpu
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.cpu import EXACT_PRODUCTS
from dqmq_deploy.errors import BenchError, InputError
from dqmq_deploy.report import baselines
from dqmq_deploy.report.baselines import BASELINES, OpenVinoRunner, find_baselines
from dqmq_deploy.report.runners import load_times
from dqmq_deploy.runtime.sessions import open_session
from tests.tiny_bundle import pictures


@pytest.fixture(autouse=True)
def nothing_saturates(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of this CPU is tested by itself."""
    monkeypatch.setattr(baselines, "int8_saturates", lambda: False)


def test_all_baselines_agree_on_the_same_network(measured_bundle: Bundle) -> None:
    """Float, ONNX Runtime's and OpenVINO's file are the same network here, and give the same logits."""
    found, notes = find_baselines(measured_bundle, BASELINES)
    pixels, labels = pictures(10)
    logits = []
    for subject in found:
        runner = subject.open(1, 10)
        logits.append(runner.run(runner.prepare(pixels)))

    assert [subject.name for subject in found] == list(BASELINES) and not notes
    real = (pixels.astype(np.float32) - 128) / 64
    for answer in logits:
        np.testing.assert_allclose(answer, 0.1 * real.mean(axis=(1, 2)), atol=1e-5)
    assert (logits[0].argmax(axis=1) == labels).mean() > 0.9


@pytest.mark.parametrize("saturates", [False, True])
def test_int8_elsewhere_is_as_fast_as_it_comes(
    saturates: bool, measured_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline is not slowed by what makes sums exact for us; the report says where that makes a difference."""
    monkeypatch.setattr(cpu, "int8_saturates", lambda: saturates)
    monkeypatch.setattr(baselines, "int8_saturates", lambda: saturates)
    asked: list[str] = []
    monkeypatch.setattr(
        ort.SessionOptions, "add_session_config_entry", lambda options, key, value: asked.append(key), raising=True
    )
    found, notes = find_baselines(measured_bundle, ("ort-int8",))
    found[0].open(1, 1)
    assert EXACT_PRODUCTS[0] not in asked
    assert [note for note in notes if "saturate" in note] == notes and len(notes) == saturates
    open_session(measured_bundle.file(measured_bundle.manifest.baselines["ort-int8"]), kernels=False)
    assert (EXACT_PRODUCTS[0] in asked) is saturates


def test_openvino_takes_a_short_batch(measured_bundle: Bundle) -> None:
    """The last images of a folder may be fewer than the batch it is compiled for."""
    manifest = measured_bundle.manifest
    runner = OpenVinoRunner(measured_bundle.file(manifest.baselines["ort-int8"]), 1, 8, manifest.image_quant)
    pixels, _ = pictures(8)
    whole, part = runner.run(runner.prepare(pixels)), runner.run(runner.prepare(pixels[:3]))

    assert part.shape == (3, 3)
    np.testing.assert_allclose(part, whole[:3], atol=1e-6)


def test_a_bundle_without_baselines_says_how_to_get_them(tiny_bundle: Bundle) -> None:
    """One note a baseline, naming the option, and no error."""
    found, notes = find_baselines(tiny_bundle, BASELINES)
    assert not found and len(notes) == 3
    assert all("--with-baselines" in note for note in notes)


def test_openvino_may_be_absent(measured_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the baseline is left out with a note that says what to install."""
    absent: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr(baselines, "find_spec", absent)
    found, notes = find_baselines(measured_bundle, BASELINES)
    assert [subject.name for subject in found] == ["fp32", "ort-int8"]
    assert notes == ["openvino-int8 was not measured: OpenVINO is not installed; pip install openvino."]


def test_an_unknown_baseline_names_the_nearest(measured_bundle: Bundle) -> None:
    """A slip of the keyboard is answered with what was meant."""
    with pytest.raises(InputError, match="did you mean 'ort-int8'"):
        find_baselines(measured_bundle, ("ort-int",))


def test_a_file_that_openvino_cannot_read_is_one_line(measured_bundle: Bundle, tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(BenchError, match=r"broken\.onnx: OpenVINO") as caught:
        OpenVinoRunner(path, 1, 1, measured_bundle.manifest.image_quant)
    assert "\n" not in str(caught.value)


def test_loading_is_timed(measured_bundle: Bundle) -> None:
    """Loading and the first inference take some time, in milliseconds."""
    [subject], _ = find_baselines(measured_bundle, ("fp32",))
    found = load_times(replace(subject), 1, pictures(1)[0])
    assert 0 < found["load_ms"] < 10_000 and 0 < found["first_ms"] < 10_000
