"""The dispatcher: one image, many images, and the ways to choose a price."""

import ast
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dqmq_deploy
from dqmq_deploy import Bundle, Dispatcher, Prediction
from dqmq_deploy.errors import ImageError, InputError
from tests.tiny_bundle import BITS, CLASSES, HEIGHT, WIDTH, pictures, reference_logits, reference_p_right


def answer(prediction: Prediction) -> tuple[Any, ...]:
    """What of a prediction does not depend on the clock."""
    return (
        prediction.label,
        prediction.class_index,
        round(prediction.score, 5),
        round(prediction.quality, 5),
        prediction.config,
        tuple(round(chance, 5) for chance in prediction.p_right),
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
    assert len({config for *_, config, _ in alone}) == 4
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
        means.append(np.mean([dispatcher.cost[dispatcher.route(pixels)[1]]]))
    assert means == sorted(means, reverse=True)
    assert means[0] > means[-1] == pytest.approx(dispatcher.cost[0])


def test_default_price_is_the_bundles(tiny_bundle: Bundle) -> None:
    """Without a wish the bundle's default price is in force."""
    assert Dispatcher(tiny_bundle).price == tiny_bundle.manifest.default_price


def test_a_fixed_configuration(tiny_bundle: Bundle) -> None:
    """``config`` takes every image; the estimator still reports."""
    dispatcher = Dispatcher(tiny_bundle, config="w3")
    assert dispatcher.price is None
    pixels, _ = pictures(20, seed=7)
    found = [dispatcher(pixels[0]), *dispatcher.classify_batch(pixels)]
    assert {prediction.config for prediction in found} == {"w3"}
    assert len({prediction.quality for prediction in found}) > 1
    with pytest.raises(InputError, match=r"no configuration 'w5'; this bundle has w2, w3, w4, w8"):
        Dispatcher(tiny_bundle, config="w5")


def test_wishes_resolve_to_a_price(tiny_bundle: Bundle) -> None:
    """Latency is measured here; accuracy is read off the curve; out of reach names the reach."""
    prices = {point.price for point in tiny_bundle.manifest.price_curve}
    assert Dispatcher(tiny_bundle, max_latency_ms=1000.0).price in prices
    assert Dispatcher(tiny_bundle, min_accuracy=0.97).price == 2.0
    with pytest.raises(InputError, match=r"no price reaches 1e-09 ms per image: on this machine this bundle takes"):
        Dispatcher(tiny_bundle, max_latency_ms=1e-9)
    with pytest.raises(InputError, match="price of at least 0"):
        Dispatcher(tiny_bundle, price=-1)


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
