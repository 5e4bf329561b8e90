"""The whole harness on a real small bundle with pretended times."""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import InputError
from dqmq_deploy.report.adaptivity.cases import thumbnail
from dqmq_deploy.report.adaptivity.collect import Answers, Labelled
from dqmq_deploy.report.adaptivity.compare import ROUTER, TRIAL
from dqmq_deploy.report.adaptivity.protocol import PROTOCOLS
from dqmq_deploy.report.adaptivity.run import adaptivity
from dqmq_deploy.report.adaptivity.section import intro
from dqmq_deploy.report.adaptivity.settings import Fold, Times, calibrate, for_all
from dqmq_deploy.report.adaptivity.verdict import verdict
from tests.report.adaptivity.conftest import PRETENDED
from tests.tiny_bundle import BITS


def test_it_is_plain_values_that_json_holds(judged: dict[str, Any]) -> None:
    """No number is infinite or missing; the pictures are in it."""
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged


def test_choosing_pays_where_cheap_ones_are_fast(tiny_bundle: Bundle, tracked: Labelled) -> None:
    """The tiny bundle's estimator knows which pictures are hard; where all take as long there is none to save."""
    found = adaptivity(tiny_bundle, tracked, PROTOCOLS["mixed"], PRETENDED, seed=1, default=ROUTER)
    assert found["compared"]["kernels"]["over_the_range"]["low"] > 0
    assert found["verdict"].startswith("Routing pays on this data")
    stock = found["compared"]["stock"]
    assert stock["equal_time"][-1]["label"] == "time of w8"
    assert verdict(stock).startswith("Routing does not pay")
    assert found["images"] == 300 and 100 <= found["tracks"] <= 103


def test_the_grid_adds_up(judged: dict[str, Any]) -> None:
    """All severities make a kind, all kinds make the whole, for every configuration."""
    whole = judged["groups"][0]
    kinds = [row for row in judged["grid"] if row["severity"] == 0]
    severities = [row for row in judged["grid"] if row["severity"] > 0]
    clean = kinds[0]["images"]
    assert sum(row["images"] for row in kinds) == whole["images"] == 300
    assert sum(row["images"] for row in severities) == 300 - clean
    for way in (*BITS, "adaptive"):
        right = sum(row["images"] * row["accuracy"][way] for row in kinds)
        assert right / 300 == pytest.approx(whole["accuracy"][way])


@pytest.mark.parametrize("default", [ROUTER, TRIAL])
def test_gained_and_lost_make_the_difference(tiny_bundle: Bundle, tracked: Labelled, default: str) -> None:
    """Against the best configuration, at a setting that takes no longer; each shown image is one of them."""
    found = adaptivity(tiny_bundle, tracked, PROTOCOLS["mixed"], PRETENDED, seed=1, default=default)
    compared = found["compared"]["kernels"]
    assert found["adaptive_ms"] <= compared["best_static_ms"]
    assert compared["default"] == default
    gained, lost, whole = found["gained"], found["lost"], found["groups"][0]
    assert (gained["images"] - lost["images"]) / 300 == pytest.approx(whole["difference"]["value"])
    for shown in gained["shown"]:
        assert shown["adaptive"] == shown["label"] != shown["best_static"]
    for shown in lost["shown"]:
        assert shown["best_static"] == shown["label"] != shown["adaptive"]
    assert len(lost["shown"]) == min(12, lost["images"])


def test_shown_images_are_as_they_were_judged(tracked: Labelled, judged: dict[str, Any]) -> None:
    """The thumbnail of a small picture holds its very pixels, spoilt."""
    shown = [*judged["gained"]["shown"], *judged["lost"]["shown"]]
    assert shown
    for case in shown:
        row = tracked.names.index(case["image"])
        pixels, _, _ = tracked.spoilt([row], PROTOCOLS["mixed"], seed=1)
        packed = base64.b64decode(case["png"].removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(packed)) as image:
            assert np.array_equal(np.asarray(image), pixels[0])


def test_a_thumbnail_is_small() -> None:
    """Whatever the picture."""
    large = thumbnail(np.zeros((300, 150, 3), np.uint8))
    with Image.open(io.BytesIO(base64.b64decode(large.split(",")[1]))) as image:
        assert image.size == (32, 64)


def test_settings_may_come_from_outside(tiny_bundle: Bundle, tracked: Labelled, judged: dict[str, Any]) -> None:
    """The caller's settings are asked for once for each set of times, and it is told where they come from."""
    heard: list[float] = []

    def fit(found: Answers, times: Times, track: npt.NDArray[np.int64]) -> Sequence[Fold]:
        heard.append(float(times.graph.max()))
        return for_all(calibrate(found.evidence, times), len(track))

    found = adaptivity(
        tiny_bundle, tracked, PROTOCOLS["none"], PRETENDED, seed=1, fit=fit, fitted_on="a test", default=ROUTER
    )
    assert heard == [1.0, 1.03] and found["fitted_on"] == "a test" != judged["fitted_on"]
    assert [row["kind"] for row in found["grid"]] == ["as it is"]
    assert found["protocol_in_words"] == "images as they are"


def test_copies_of_an_image_are_spoilt_anew_and_drawn_together(tiny_bundle: Bundle, tracked: Labelled) -> None:
    """The first is the one that stands alone; no copy makes a track of its own, and all of them are counted."""
    mixed = PROTOCOLS["mixed"]
    copied = tracked.copied(3)
    pixels, kind, _ = copied.spoilt([7, 307, 607], mixed, seed=1)
    assert np.array_equal(pixels[0], tracked.spoilt([7], mixed, seed=1)[0][0])
    assert not np.array_equal(pixels[0], pixels[1]) and not np.array_equal(pixels[1], pixels[2])
    assert len(kind) == 3 and copied.names[307] == tracked.names[7] and copied.truth[307] == tracked.truth[7]

    found = adaptivity(tiny_bundle, tracked, mixed, PRETENDED, seed=1, copies=3, default=ROUTER)
    once = adaptivity(tiny_bundle, tracked, mixed, PRETENDED, seed=1, default=ROUTER)
    assert (found["images"], found["copies"], found["groups"][0]["images"]) == (300, 3, 900)
    assert found["tracks"] == once["tracks"]
    assert "300 labelled images in 10" in intro(found) and "each in 3 copies" in intro(found)
    assert "copies" not in intro(once)


def test_copies_that_would_be_alike_are_refused() -> None:
    """Images as they are need no second look."""
    PROTOCOLS["mixed"].check_copies(5)
    PROTOCOLS["none"].check_copies(1)
    for protocol, copies in (("none", 2), ("mixed", 0)):
        with pytest.raises(InputError, match=f"--copies: expected 1, or more beside a --degrade that.*got {copies}"):
            PROTOCOLS[protocol].check_copies(copies)
