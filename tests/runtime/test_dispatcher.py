"""The dispatcher: one image, many images, and the ways to choose a price."""

import ast
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dqmq_deploy
from dqmq_deploy import Bundle, Dispatcher, Prediction
from dqmq_deploy.errors import ImageError, InputError
from dqmq_deploy.routing import together, top_score
from dqmq_deploy.runtime.sessions import Sessions
from tests.tiny_bundle import BITS, CLASSES, HEIGHT, WIDTH, pictures, reference_logits, reference_p_right


def answer(prediction: Prediction) -> tuple[Any, ...]:
    """What of a prediction does not depend on the clock."""
    return (
        prediction.label,
        prediction.class_index,
        round(prediction.score, 5),
        None if prediction.quality is None else round(prediction.quality, 5),
        prediction.config,
        tuple(round(chance, 5) for chance in prediction.p_right),
        prediction.escalated,
    )


def test_one_image_against_numpy(tiny_bundle: Bundle) -> None:
    """Route, class, score and quality are what the formulas say."""
    dispatcher = Dispatcher(tiny_bundle, price=0.3)
    pixels, labels = pictures(60, seed=3)
    for picture, p_right, label in zip(pixels, reference_p_right(pixels), labels, strict=True):
        found = dispatcher(picture)
        route = int(np.argmax(p_right - 0.3 * dispatcher.cost))
        logits = reference_logits(picture[np.newaxis], list(BITS.values())[route])[0].astype(np.float64)
        softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert found.config == list(BITS)[route]
        assert found.class_index == softmax.argmax() == label
        assert found.label == CLASSES[label]
        assert found.score == pytest.approx(softmax.max(), abs=1e-4)
        assert found.quality == max(found.p_right) == pytest.approx(p_right.max(), abs=1e-5)
        assert min(found.estimator_ms, found.graph_ms, found.decode_ms) > 0


def test_list_and_batch_agree_with_one_by_one(tiny_bundle: Bundle) -> None:
    """Grouping by route changes neither answers nor their order."""
    dispatcher = Dispatcher(tiny_bundle)
    pixels, _ = pictures(70, seed=4)
    alone = [answer(dispatcher(picture)) for picture in pixels]
    assert len({config for *_, config, _, _ in alone}) == 4
    assert [answer(found) for found in dispatcher(list(pixels))] == alone
    assert [answer(found) for found in dispatcher.classify_batch(pixels)] == alone


def test_every_kind_of_image(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A path, its text, bytes, a Pillow image and an array get the same answer."""
    dispatcher = Dispatcher(tiny_bundle)
    picture = pictures(1, seed=5)[0][0]
    image, file = Image.fromarray(picture), BytesIO()
    image.save(file, "PNG")
    path = tmp_path / "picture.png"
    path.write_bytes(file.getvalue())
    answers = {answer(found) for found in dispatcher([path, str(path), file.getvalue(), image, picture])}
    assert answers == {answer(dispatcher(path))}


def test_nothing_gives_nothing(tiny_bundle: Bundle) -> None:
    """An empty list and an empty batch are fine."""
    dispatcher = Dispatcher(tiny_bundle)
    assert dispatcher([]) == []
    assert dispatcher.classify_batch(np.zeros((0, HEIGHT, WIDTH, 3), np.uint8)) == []


def test_other_sizes_are_stretched_but_not_in_a_batch(tiny_bundle: Bundle) -> None:
    """An image of any size is welcome; a batch has the bundle's."""
    dispatcher = Dispatcher(tiny_bundle)
    assert dispatcher(np.full((50, 20, 3), (250, 20, 20), np.uint8)).label == "red"
    with pytest.raises(ImageError, match=r"expected uint8 \[N, 12, 16, 3\], got uint8 \[1, 16, 12, 3\]"):
        dispatcher.classify_batch(np.zeros((1, WIDTH, HEIGHT, 3), np.uint8))
    with pytest.raises(ImageError, match="not an image"):
        dispatcher(b"nothing")


def test_price_moves_the_mix(tiny_bundle: Bundle) -> None:
    """The mean cost falls as the price rises, down to the cheapest configuration for all."""
    dispatcher = Dispatcher(tiny_bundle)
    pixels, _ = pictures(80, seed=6)
    means = []
    for price in (0.0, 0.1, 0.5, 2.0, 100.0):
        dispatcher.price = price
        means.append(np.mean([dispatcher.cost[task.route] for task in dispatcher.route(pixels)]))
    assert means == sorted(means, reverse=True)
    assert means[0] > means[-1] == pytest.approx(dispatcher.cost[0])


def test_default_price_is_the_bundles(tiny_bundle: Bundle) -> None:
    """Without a wish the bundle's default price is in force."""
    assert Dispatcher(tiny_bundle).price == tiny_bundle.manifest.default_price


def test_a_fixed_configuration(tiny_bundle: Bundle) -> None:
    """``config`` takes every image, and nobody asks the estimator."""
    dispatcher = Dispatcher(tiny_bundle, config="w3")
    assert dispatcher.price is None
    pixels, _ = pictures(20, seed=7)
    found = [dispatcher(pixels[0]), *dispatcher.classify_batch(pixels)]
    assert {prediction.config for prediction in found} == {"w3"}
    assert {(prediction.quality, prediction.p_right, prediction.escalated) for prediction in found} == {
        (None, (), False)
    }
    with pytest.raises(InputError, match="one configuration takes every image, at no price"):
        dispatcher.price = 0.1
    with pytest.raises(InputError, match="configuration 'w3' takes every image: leave it out, or leave out escalate"):
        Dispatcher(tiny_bundle, config="w3", escalate=True)
    with pytest.raises(InputError, match=r"no configuration 'w5'; this bundle has w2, w3, w4, w8"):
        Dispatcher(tiny_bundle, config="w5")


def test_wishes_resolve_to_a_price(tiny_bundle: Bundle) -> None:
    """Latency is measured here; accuracy is read off the curve; out of reach names the reach."""
    prices = {point.price for point in tiny_bundle.manifest.policy("route").curve}
    assert Dispatcher(tiny_bundle, max_latency_ms=1000.0).price in prices
    assert Dispatcher(tiny_bundle, max_latency_ms=1000.0, escalate=True).price == 0.0  # the only point without an error
    assert Dispatcher(tiny_bundle, min_accuracy=0.99, escalate=True).price == 2.0
    assert Dispatcher(tiny_bundle, min_accuracy=0.999, escalate=True).price == 0.0
    assert Dispatcher(tiny_bundle, min_accuracy=0.97).price == 2.0
    with pytest.raises(InputError, match=r"no price reaches 1e-09 ms per image: on this machine this bundle takes"):
        Dispatcher(tiny_bundle, max_latency_ms=1e-9)
    with pytest.raises(InputError, match="price of at least 0"):
        Dispatcher(tiny_bundle, price=-1)


@pytest.mark.parametrize("price", [0.0, 0.2])
def test_escalation_against_numpy(escalating_bundle: Bundle, price: float) -> None:
    """First, first and last, or straight to the last: class, score and configuration are what the formulas say."""
    dispatcher = Dispatcher(escalating_bundle, price=price)
    cascade = dispatcher.cascade
    assert cascade is not None and cascade.asks_estimator == (price > 0)
    pixels, labels = pictures(120, seed=3)
    bits = list(BITS.values())
    ways = set()
    for picture, p_right, label in zip(pixels, reference_p_right(pixels), labels, strict=True):
        first, last = (reference_logits(picture[np.newaxis], bits[k])[0] for k in (cascade.first, cascade.last))
        skips = bool(p_right[cascade.first] < cascade.skip)
        again = not skips and bool(top_score(first) < cascade.threshold)
        logits = last if skips else together(first, last, cascade.memory) if again else first
        found = dispatcher(picture)
        ways.add((skips, again))
        assert (found.config, found.escalated) == (list(BITS)[cascade.last if skips or again else cascade.first], again)
        assert found.class_index == logits.argmax()
        assert found.score == pytest.approx(top_score(logits), abs=1e-4)
        assert found.class_index == label or picture.mean() < 20
        assert (found.quality is None) == (found.p_right == ()) == (price == 0)
    assert len(ways) == (3 if price else 2)


@pytest.mark.parametrize("price", [0.0, 0.2])
def test_escalating_many_agrees_with_one_by_one(escalating_bundle: Bundle, price: float) -> None:
    """Batches go through the first graph, then what is left through the last; answers and order stay."""
    dispatcher = Dispatcher(escalating_bundle, price=price)
    pixels, _ = pictures(70, seed=4)
    alone = [answer(dispatcher(picture)) for picture in pixels]
    assert {escalated for *_, escalated in alone} == {True, False}
    assert [answer(found) for found in dispatcher(list(pixels))] == alone
    assert [answer(found) for found in dispatcher.classify_batch(pixels, decode_ms=2.0)] == alone


def test_times_cover_both_graphs(escalating_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that was seen twice tells the time of both."""
    dispatcher = Dispatcher(escalating_bundle, price=0.0)
    logits = Sessions.logits

    def slow(sessions: Sessions, index: int, pixels: Any) -> Any:
        time.sleep(0.01)
        return logits(sessions, index, pixels)

    monkeypatch.setattr(Sessions, "logits", slow)
    dark, bright = np.full((2, HEIGHT, WIDTH, 3), (30, 5, 5), np.uint8), np.full((1, HEIGHT, WIDTH, 3), 200, np.uint8)
    bright[..., 1:] = 20
    for found in (dispatcher(dark[0]), *dispatcher.classify_batch(dark)):
        assert found.escalated
    assert dispatcher(dark[0]).graph_ms >= 20 > dispatcher(bright[0]).graph_ms >= 10
    twice, again, once = dispatcher.classify_batch(np.concatenate([dark, bright]))
    assert twice.graph_ms == again.graph_ms > once.graph_ms


def test_only_what_is_used_is_loaded(escalating_bundle: Bundle) -> None:
    """Two graphs, and the estimator from the price on at which it is asked; other prices load what they need."""
    dispatcher = Dispatcher(escalating_bundle, price=0.0)
    assert (dispatcher._sessions.loaded, dispatcher._sessions.has_estimator) == ((0, 3), False)
    dispatcher.price = 0.2
    assert dispatcher.price == 0.2
    assert (dispatcher._sessions.loaded, dispatcher._sessions.has_estimator) == ((0, 2, 3), True)
    fixed = Dispatcher(escalating_bundle, config="w3")
    assert (fixed._sessions.loaded, fixed._sessions.has_estimator) == ((1,), False)


def test_the_policy_is_the_bundles_unless_forced(tiny_bundle: Bundle, escalating_bundle: Bundle) -> None:
    """Either bundle offers both ways."""
    for bundle, default in ((tiny_bundle, "route"), (escalating_bundle, "escalate")):
        assert Dispatcher(bundle).policy == default
        assert Dispatcher(bundle, escalate=True).policy == "escalate"
        assert Dispatcher(bundle, escalate=False).policy == "route"
        assert Dispatcher(bundle, config="w2").policy is None
    pixels, _ = pictures(40, seed=9)
    forced = Dispatcher(tiny_bundle, escalate=True).classify_batch(pixels)
    assert [*map(answer, forced)] == [*map(answer, Dispatcher(escalating_bundle).classify_batch(pixels))]


def test_a_price_between_two_points_is_the_lower_ones(escalating_bundle: Bundle) -> None:
    """A cascade is in force from its price to the next."""
    manifest = escalating_bundle.manifest
    curve = manifest.policy("escalate").curve
    for price, index in ((0.0, 0), (0.049, 0), (0.05, 1), (0.3, 2), (99.0, 5)):
        assert Dispatcher(escalating_bundle, price=price).cascade == manifest.cascade(curve[index])
    dispatcher = Dispatcher(escalating_bundle)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InputError, match="price of at least 0"):
            dispatcher.price = wrong
    assert dispatcher.price == 0.2


def test_one_wish_at_a_time(tiny_bundle: Bundle) -> None:
    """Two wishes could contradict each other."""
    with pytest.raises(InputError, match="got price and min_accuracy"):
        Dispatcher(tiny_bundle, price=0.0, min_accuracy=0.5)


def test_package_offers_its_names_lazily() -> None:
    """The public names are there, documented in one place, and nothing else pretends to be."""
    assert set(dqmq_deploy.__all__) <= set(dir(dqmq_deploy))
    with pytest.raises(AttributeError, match="no attribute 'Manager'"):
        dqmq_deploy.Manager  # noqa: B018
    source = ast.parse(Path(dqmq_deploy.__file__).read_text())
    imported = [node.module for node in source.body if isinstance(node, ast.ImportFrom)]
    assert imported == ["typing"]
