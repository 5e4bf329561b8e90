"""The adaptive row says what the dispatcher does, by either policy."""

from pathlib import Path

import numpy as np
import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.images import find_images
from dqmq_deploy.report.accuracy import accuracy_table, route_table
from dqmq_deploy.runtime.dispatcher import Dispatcher
from tests.report.test_outcomes import run
from tests.tiny_bundle import BITS


@pytest.mark.parametrize("price", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("default", ["route", "escalate"])
def test_adaptive_is_what_the_dispatcher_does(
    tiny_bundle: Bundle, escalating_bundle: Bundle, picture_folder: Path, default: str, price: float
) -> None:
    """Accuracy, mean BitOPs of all graphs that ran, and the mix of those that answered last."""
    bundle = {"route": tiny_bundle, "escalate": escalating_bundle}[default]
    manifest = bundle.manifest
    outcomes = run(bundle, picture_folder)
    table = accuracy_table(outcomes, manifest, price, seed=0)
    routes = route_table(outcomes, manifest, price)
    assert table is not None
    adaptive = table["rows"][0]

    dispatcher = Dispatcher(bundle, price=price)
    paths = find_images(picture_folder)
    answers = dispatcher(list(paths))
    bitops = {entry.name: entry.bitops for entry in manifest.configurations}
    first = list(BITS)[dispatcher.cascade.first] if dispatcher.cascade is not None else ""
    spent = [bitops[answer.config] + (bitops[first] if answer.escalated else 0) for answer in answers]
    right = [answer.label == path.parent.name for answer, path in zip(answers, paths, strict=True)]
    assert adaptive["accuracy"] == pytest.approx(np.mean(right))
    assert adaptive["bitops"] == routes["bitops"] == pytest.approx(np.mean(spent))
    assert routes["mix"] == {name: pytest.approx(np.mean([a.config == name for a in answers])) for name in BITS}
    graphs = [entry.bitops for entry in manifest.configurations]
    assert np.dot(table["runs"], graphs) == pytest.approx(adaptive["bitops"])
    assert all(np.dot(point["runs"], graphs) == pytest.approx(point["bitops"]) for point in table["sweep"])
    prices = [point["price"] for point in table["sweep"]]
    assert prices == sorted(prices)
    swept = [point for point in table["sweep"] if point["price"] <= price][-1]
    assert (swept["accuracy"], swept["bitops"]) == (adaptive["accuracy"], pytest.approx(adaptive["bitops"]))


def test_evidence_of_a_folder(tiny_bundle: Bundle, picture_folder: Path) -> None:
    """What each configuration is right on."""
    outcomes = run(tiny_bundle, picture_folder)
    assert outcomes.truth is not None
    evidence = outcomes.evidence
    assert np.array_equal(evidence.right, outcomes.predicted == outcomes.truth[:, None])
