"""Sessions: the graphs answer what they should, and one that does not fit its manifest is refused."""

from pathlib import Path

import numpy as np
import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import BundleError, InputError
from dqmq_deploy.runtime.sessions import Sessions, open_session
from tests.tiny_bundle import BITS, pictures, reference_logits, reference_p_right, write_tiny_bundle


def test_graphs_against_numpy(tiny_bundle: Bundle) -> None:
    """Every graph and the estimator answer what NumPy computes."""
    pixels, _ = pictures(40, seed=2)
    sessions = Sessions(tiny_bundle)
    for index, bits in enumerate(BITS.values()):
        assert np.allclose(sessions.logits(index, pixels), reference_logits(pixels, bits), atol=1e-4)
    assert np.allclose(sessions.p_right(pixels), reference_p_right(pixels), atol=1e-5)


def test_latency_is_measured_for_what_is_loaded(tiny_bundle: Bundle) -> None:
    """One positive time for the estimator and for each configuration that was loaded."""
    estimator_ms, graph_ms = Sessions(tiny_bundle, configurations=[1, 3]).latency_ms(seconds=0.01)
    assert estimator_ms > 0
    assert sorted(graph_ms) == [1, 3]
    assert min(graph_ms.values()) > 0


def test_more_is_loaded_when_asked_for(tiny_bundle: Bundle) -> None:
    """Nothing at first; what is there stays as it is."""
    sessions = Sessions(tiny_bundle, configurations=[], estimator=False)
    assert (sessions.loaded, sessions.has_estimator) == ((), False)
    sessions.load([2], estimator=False)
    kept = sessions._graphs[2]
    assert sessions.latency_ms(seconds=0.01)[0] == 0
    sessions.load([0, 2], estimator=True)
    assert (sessions.loaded, sessions.has_estimator) == ((0, 2), True)
    assert sessions._graphs[2] is kept


def test_class_count_must_fit_the_graphs(tmp_path: Path) -> None:
    """A manifest of four classes over graphs of three is refused, naming the graph."""
    write_tiny_bundle(tmp_path / "four.dqmq", ["red", "green", "blue", "grey"])
    with pytest.raises(BundleError, match=r"w2\.onnx: expected float32 \[1, 4\] for the manifest's 4 classes"):
        Sessions(Bundle.open(tmp_path / "four.dqmq"))


def test_a_graph_that_cannot_be_loaded(tmp_path: Path) -> None:
    """What onnxruntime refuses is a bundle error in one line."""
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x0anonsense")
    with pytest.raises(BundleError, match=r"broken\.onnx: onnxruntime .* cannot load this graph") as caught:
        open_session(tmp_path / "broken.onnx")
    assert "\n" not in str(caught.value)


def test_threads_must_be_positive(tiny_bundle: Bundle) -> None:
    """No threads, no work."""
    with pytest.raises(InputError, match="at least 1 thread"):
        Sessions(tiny_bundle, threads=0)
