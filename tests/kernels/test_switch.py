"""Who registers the library by hand gets its kernels, unless onnxruntime's own are ahead or a word says otherwise."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from dqmq_deploy import cpu
from dqmq_deploy.kernels import CAP, SWITCH, find
from dqmq_deploy.runtime.sessions import has_kernels, open_session
from tests.export.onnx_runs import write_plan
from tests.export.plans import resnet20
from tests.kernels.nodes import node, open_model

LEVELS = find().available


def uses_ours(entry: str | None = None) -> bool:
    """Whether a session that registers the library, and does no more, runs a convolution on it."""
    model = onnx.load_from_string(node("QConv").model())
    session = open_model(model.SerializeToString(), kernels=True, switch=entry)
    feed = {"x": node("QConv").tensors["x"]}
    np.testing.assert_array_equal(session.run(None, feed)[0], node("QConv").run(kernels=False))
    del model.functions[:]  # nothing to fall back to
    try:
        open_model(model.SerializeToString(), kernels=True, switch=entry)
    except Exception as error:
        assert "QConv" in str(error)
        return False
    return True


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_behind_onnxruntimes_own_leaves_the_work_to_it(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    """A cap holds us back, and not onnxruntime."""
    monkeypatch.setenv(CAP, level)
    behind = level in ("reference", "portable")
    behind |= "avx512_vnni" in cpu.flags() and level != "avx512"
    behind |= "avx_vnni" in cpu.flags() and level == "avx2"
    behind |= "asimddp" in cpu.flags() and level == "neon"
    assert (find().lead is not None) == behind
    assert uses_ours() == (not behind)
    assert uses_ours("always")
    assert not uses_ours("off")
    monkeypatch.setenv(SWITCH, "always")
    assert uses_ours()


def test_the_stronger_word_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off over always over on, be it said by the environment or by the session."""
    monkeypatch.setenv(CAP, "reference")
    for environment, entry, used in (
        ("off", "always", False), ("always", "off", False), ("always", "on", True), ("on", "always", True),
        ("", "", False),
    ):  # fmt: skip
        monkeypatch.setenv(SWITCH, environment)
        assert uses_ours(entry) == used, (environment, entry)


@pytest.mark.parametrize("word", ["of", "x" * 100])
def test_a_word_that_means_nothing(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """An error that names those that do."""
    model = node("QConv").model()
    with pytest.raises(Exception, match=r"ai\.dqmq\.kernels: expected on, off or always, got"):
        open_model(model, kernels=True, switch=word)
    monkeypatch.setenv(SWITCH, word)
    with pytest.raises(Exception, match=r"DQMQ_KERNELS: expected on, off or always, got"):
        open_model(model, kernels=True, switch=None)


def test_a_session_of_this_package_gets_what_it_asks_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Behind or not: it is timed afterwards, or checked."""
    monkeypatch.setenv(CAP, "reference")
    path = write_plan(resnet20(2, size=8, width=4), tmp_path)
    assert has_kernels(open_session(path))
    assert not has_kernels(open_session(path, kernels=False))
