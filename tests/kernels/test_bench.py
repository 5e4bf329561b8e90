"""A measured bundle shows its configurations with our kernels and without."""

import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.export.run import export_compiled
from dqmq_deploy.kernels import SWITCH, find
from dqmq_deploy.report.bench import BenchJob, bench
from dqmq_deploy.report.html import html
from dqmq_deploy.report.markdown import markdown
from tests.export.planned_net import planned_resnet20

NAMES = ["w2", "w4", "mixed", "w8"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose graphs are made of our operators."""
    return Bundle.open(export_compiled(planned_resnet20(size=8, width=4), tmp_path_factory.mktemp("b") / "n.dqmq").path)


def job(bundle: Bundle) -> BenchJob:
    """The shortest measurement there is."""
    return BenchJob(bundle.path, against=(), out=None, seconds=0.0, blocks=2, batch=2)


def test_each_configuration_on_and_off(bundle: Bundle) -> None:
    """A row for each, the ratio of both, and the instruction set, in every form of the report."""
    report = bench(job(bundle))
    rows = {row["name"]: row for row in report["latency"]}
    assert list(rows) == ["estimator", *NAMES, *(f"{name}, stock" for name in NAMES)]
    assert all(rows[name]["over_stock"]["median"] > 0 for name in NAMES)
    assert not any("over_stock" in rows[f"{name}, stock"] for name in NAMES)
    assert set(rows["w2, stock"]["ratios"]) == {"w8"}
    assert "over time on stock onnxruntime, same graph: w2 " in " ".join(report["summary"])
    for text in (html(report), markdown(report)):
        assert "mixed, stock" in text and f"{find().isa}, of reference" in text


def test_switched_off_there_is_nothing_to_compare(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row a configuration, and the reason in the environment."""
    monkeypatch.setenv(SWITCH, "off")
    report = bench(job(bundle))
    assert [row["name"] for row in report["latency"]] == ["estimator", *NAMES]
    assert report["environment"]["kernels"]["isa"] is None
    assert "switched off by DQMQ" in markdown(report)
