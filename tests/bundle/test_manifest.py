"""The manifest survives its JSON, and whatever does not fit is refused by name."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from dqmq_deploy.bundle.manifest import from_json, to_json
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import BundleError

Tree = dict[str, Any]


@pytest.fixture
def tree(tiny_bundle: Bundle) -> Tree:
    """A valid manifest as plain JSON values, free to be changed."""
    loaded: Tree = json.loads(to_json(tiny_bundle.manifest))
    return loaded


def curve(tree: Tree, policy: int) -> list[Tree]:
    """The price curve of a policy."""
    found: list[Tree] = tree["policies"][policy]["curve"]
    return found


def refusal(tree: Tree) -> str:
    """The message with which the changed manifest is refused."""
    with pytest.raises(BundleError) as caught:
        from_json(json.dumps(tree).encode())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip(tiny_bundle: Bundle) -> None:
    """Reading what was written gives the same manifest."""
    assert from_json(to_json(tiny_bundle.manifest)) == tiny_bundle.manifest


def test_the_promised_keys_are_there(tree: Tree) -> None:
    """Users and checks rely on these names."""
    assert {"schema_version", "classes", "preprocessing", "configurations", "policies", "files"} <= tree.keys()
    assert [policy["name"] for policy in tree["policies"]] == ["escalate", "route"]
    assert {"name", "bits", "bitops", "bytes", "graph", "shrink"} <= tree["configurations"][0].keys()
    assert all(entry.keys() == {"sha256", "size"} for entry in tree["files"].values())


def test_unknown_key(tree: Tree) -> None:
    """The nearest known key is named."""
    tree["clases"] = []
    assert refusal(tree) == "manifest.json: unknown key 'clases'; did you mean 'classes'?"


def test_unknown_key_inside(tree: Tree) -> None:
    """The place is named, too."""
    tree["configurations"][1]["speed"] = 1
    assert refusal(tree).startswith("manifest.json: configurations[1]: unknown key 'speed'")


def test_missing_key(tree: Tree) -> None:
    """A key that is not there is named."""
    del tree["configurations"][0]["bitops"]
    assert "configurations[0]: expected key 'bitops', which is missing" in refusal(tree)


def test_missing_files(tree: Tree) -> None:
    """A manifest without hashes cannot be checked, so it is no manifest."""
    del tree["files"]
    assert "expected key 'files'" in refusal(tree)


def test_newer_schema(tree: Tree) -> None:
    """A newer schema says so, even when it has keys that are unknown here."""
    tree.update(schema_version=4, novelty=True)
    assert refusal(tree).startswith("manifest.json: schema_version 4 is newer than 3")


def test_older_schema(tree: Tree) -> None:
    """An older schema says so, even when it has keys that are gone."""
    tree.update(schema_version=1, price_curve=[])
    assert refusal(tree) == "manifest.json: expected schema_version 3, got 1; export again"


@pytest.mark.parametrize("version", [0, True, "2", None, 1.0, [2], "two\nlines"])
def test_schema_version_that_never_was(tree: Tree, version: object) -> None:
    """Only the number of a known schema will do."""
    tree["schema_version"] = version
    assert "schema_version" in refusal(tree)


def test_truncated_json(tree: Tree) -> None:
    """Half a file is no manifest."""
    data = json.dumps(tree).encode()
    with pytest.raises(BundleError, match=r"manifest\.json: expected JSON"):
        from_json(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"[" * 200_000, b'{"a": NaN}', b'{"a": 1, "a": 2}'])
def test_what_is_no_manifest_at_all(data: bytes) -> None:
    """Empty, not an object, not UTF-8, nested without end, no JSON number, a key twice: refused in one line."""
    with pytest.raises(BundleError, match=r"^manifest\.json: [^\n]*$"):
        from_json(data)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda tree: tree.update(default_price="cheap"), "default_price: expected a number, got 'cheap'"),
        (lambda tree: tree.update(default_price=10**400), "default_price: expected a finite number"),
        (lambda tree: tree.update(classes="abc"), "classes: expected a list, got 'abc'"),
        (lambda tree: tree.update(classes=[]), "expected one or more classes"),
        (lambda tree: tree["preprocessing"].update(height=True), "height: expected a whole number, got True"),
        (lambda tree: tree["preprocessing"].update(height=0), "positive preprocessing height"),
        (lambda tree: tree["preprocessing"].update(mode="BGR"), "expected preprocessing mode 'RGB'"),
        (lambda tree: tree["configurations"].clear(), "expected one or more configurations"),
        (lambda tree: tree["configurations"].append(tree["configurations"][0]), "with different names"),
        (lambda tree: tree["configurations"][0].update(cost=0), "expected a cost above 0"),
        (lambda tree: tree["configurations"][0]["bits"].popitem(), "expected bits for every layer"),
        (lambda tree: tree["memory"].pop(), "memory: expected 4 rows of 4, got [4, 4, 4]"),
        (lambda tree: tree["memory"][0].pop(), "memory: expected 4 rows of 4, got [3, 4, 4, 4]"),
        (lambda tree: tree["memory"][1].__setitem__(2, 1.5), "memory: expected values from 0 to 1, got 1.5"),
        (lambda tree: tree["configurations"][0].update(shrink=0), "'w2': expected a shrink of at least 1, got 0"),
        (lambda tree: tree["configurations"][0].update(cost=0.5), "expected configurations by rising cost"),
        (lambda tree: tree["estimator"].update(cost=-0.1), "estimator: expected a cost"),
        (lambda tree: tree["policies"].pop(), "expected policies escalate and route, got ['escalate']"),
        (lambda tree: tree["policies"].append(tree["policies"][0]), "expected policies escalate and route"),
        (lambda tree: tree["policies"][0].update(name="guess"), "expected policies escalate and route"),
        (
            lambda tree: tree.update(default_policy="gu\ness"),
            "expected a default_policy escalate or route, got 'gu\\ness'",
        ),
        (lambda tree: tree.update(default_price=-1), "expected a default_price of at least 0"),
        (lambda tree: tree.update(notes="none"), "notes: expected a list"),
        (lambda tree: curve(tree, 1).reverse(), "'route': expected a curve by rising price"),
        (lambda tree: curve(tree, 0).clear(), "'escalate': expected a curve by rising price"),
        (lambda tree: curve(tree, 1).pop(0), "that starts at price 0"),
        (lambda tree: curve(tree, 1)[0]["mix"].popitem(), "expected a share for each of"),
        (lambda tree: curve(tree, 1)[0]["mix"].update(w2=1.5), "a value from 0 to 1 as share of 'w2', got 1.5"),
        (lambda tree: curve(tree, 1)[0].update(accuracy=-0.5), "a value from 0 to 1 as accuracy, got -0.5"),
        (lambda tree: curve(tree, 1)[0].update(first="w2"), "for 'escalate' and for no other, got ['first']"),
        (lambda tree: curve(tree, 0)[2].pop("skip"), "at price 0.2: expected first, last, threshold, skip, escalated"),
        (lambda tree: curve(tree, 0)[0].update(last="w9"), "as first and as last, got 'w9'"),
        (lambda tree: curve(tree, 0)[0].update(first="w8", last="w2"), "expected a last that is no cheaper than first"),
        (lambda tree: curve(tree, 0)[0].update(threshold=-0.1), "expected a threshold of at least 0, got -0.1"),
        (lambda tree: curve(tree, 0)[0].update(skip=1.1), "a value from 0 to 1 as skip, got 1.1"),
        (lambda tree: curve(tree, 0)[0].update(escalated=2), "a value from 0 to 1 as escalated, got 2"),
        (lambda tree: tree["files"].update(x={"sha256": "0", "size": -1}), "size: expected a whole number, got -1"),
    ],
)
def test_values_that_make_no_sense(tree: Tree, change: Callable[[Tree], object], expected: str) -> None:
    """A value of the wrong type or out of range is refused where it stands."""
    change(tree)
    assert expected in refusal(tree)


def test_what_a_price_does(tiny_bundle: Bundle) -> None:
    """A point is in force from its price to the next; its cascade goes by position."""
    manifest = tiny_bundle.manifest
    policy = manifest.policy("escalate")
    assert policy.at(0.0) == policy.curve[0] == policy.at(0.049)
    assert policy.at(0.05) == policy.curve[1]
    assert policy.at(1e9) == policy.curve[-1]
    cascade = manifest.cascade(policy.at(0.2))
    assert (cascade.first, cascade.last, cascade.memory) == (0, 2, manifest.memory[0][2])
    assert cascade.asks_estimator and policy.at(0.2).asks_estimator and not policy.at(0.0).asks_estimator
    assert all(point.asks_estimator for point in manifest.policy("route").curve)
