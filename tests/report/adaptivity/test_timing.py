"""Times of real graphs."""

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.kernels import in_use
from dqmq_deploy.report.adaptivity.timing import KERNELS, STOCK, measure_times
from tests.tiny_bundle import BITS, pictures


def test_every_graph_is_timed_with_and_without_kernels(tiny_bundle: Bundle) -> None:
    """Estimator and dispatcher, too; the gain of kernels is told for each graph."""
    timed = measure_times(tiny_bundle, pictures(1)[0], seconds=0.1, seed=0)
    assert list(timed.times) == ([KERNELS, STOCK] if in_use() is not None else [STOCK])
    assert set(timed.gain) == {"estimator", *BITS}
    for times in timed.times.values():
        assert times.graph.shape == (4,) and (times.graph > 0).all()
        assert times.estimator > 0 and 0 <= times.dispatch < 5
