"""A bundle that is not as it was written is refused, and the file at fault is named."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from dqmq_deploy.bundle.read import Bundle, lies_inside
from dqmq_deploy.errors import BundleError


@pytest.fixture
def bundle(tiny_bundle_path: Path, tmp_path: Path) -> Path:
    """A sound bundle of one's own, free to be damaged."""
    return Path(shutil.copytree(tiny_bundle_path, tmp_path / "own.dqmq"))


def refusal(path: Path) -> str:
    """The one-line message with which the bundle is refused."""
    with pytest.raises(BundleError) as caught:
        Bundle.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def manifest(bundle: Path) -> Any:
    """The manifest as plain values."""
    return json.loads((bundle / "manifest.json").read_bytes())


def put_manifest(bundle: Path, tree: object) -> None:
    """Replace the manifest."""
    (bundle / "manifest.json").write_text(json.dumps(tree))


def put_file(bundle: Path, relative: str, data: bytes) -> None:
    """Replace a file, with size and hash in the manifest as if all were well."""
    (bundle / relative).write_bytes(data)
    tree = manifest(bundle)
    tree["files"][relative] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    put_manifest(bundle, tree)


def change_graph(bundle: Path, change: Any) -> None:
    """Change ``w2.onnx`` through onnx, hash and all."""
    model = onnx.load(bundle / "w2.onnx", load_external_data=False)
    change(model)
    put_file(bundle, "w2.onnx", model.SerializeToString())


def test_a_sound_bundle_opens(bundle: Path) -> None:
    """Path, manifest and files are to be had."""
    opened = Bundle.open(str(bundle))
    assert opened.path == bundle
    assert opened.manifest.name == "tiny"
    assert opened.file("w2.onnx") == bundle / "w2.onnx"
    with pytest.raises(BundleError, match=r"got 'manifest\.json'"):
        opened.file("manifest.json")


@pytest.mark.parametrize("relative", ["weights.bin", "w2.onnx", "estimator.onnx"])
def test_flipped_byte(bundle: Path, relative: str) -> None:
    """One bit in one byte is enough."""
    data = bytearray((bundle / relative).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / relative).write_bytes(data)
    assert f"{bundle / relative}: expected sha256 " in refusal(bundle)


def test_wrong_hash(bundle: Path) -> None:
    """A hash that belongs to other bytes is noticed."""
    tree = manifest(bundle)
    tree["files"]["w4.onnx"]["sha256"] = "0" * 64
    put_manifest(bundle, tree)
    assert refusal(bundle).startswith(f"{bundle / 'w4.onnx'}: expected sha256 000000000000...")


def test_wrong_size(bundle: Path) -> None:
    """A cut file is noticed by its size."""
    data = (bundle / "weights.bin").read_bytes()
    (bundle / "weights.bin").write_bytes(data[:-1])
    assert refusal(bundle).startswith(f"{bundle / 'weights.bin'}: expected {len(data)} bytes, got {len(data) - 1}")


def test_missing_file(bundle: Path) -> None:
    """A file that is not there is named."""
    (bundle / "w8.onnx").unlink()
    assert refusal(bundle).startswith(f"{bundle / 'w8.onnx'}: this file of the bundle is missing")


def test_missing_manifest(bundle: Path) -> None:
    """A folder without a manifest is no bundle."""
    (bundle / "manifest.json").unlink()
    assert "is this a bundle?" in refusal(bundle)


@pytest.mark.parametrize("relative", ["extra.onnx", "flat/extra.bin", ".hidden"])
def test_extra_file(bundle: Path, relative: str) -> None:
    """A file that the manifest does not know is refused."""
    (bundle / relative).parent.mkdir(exist_ok=True)
    (bundle / relative).write_bytes(b"x")
    assert refusal(bundle).startswith(f"{bundle / relative}: this file is not in the manifest")


@pytest.mark.parametrize("outside", ["../secret", "/etc/hostname", "flat/../../secret", "./w2.onnx", "a\\b", "c:x", ""])
def test_path_outside(bundle: Path, outside: str) -> None:
    """The manifest reaches nothing outside the folder, in no spelling."""
    (bundle.parent / "secret").write_bytes(b"x")
    tree = manifest(bundle)
    tree["files"][outside] = {"sha256": hashlib.sha256(b"x").hexdigest(), "size": 1}
    put_manifest(bundle, tree)
    assert f"'files' has '{outside}', which is no path inside the bundle" in refusal(bundle)


def test_link_to_outside(bundle: Path, tmp_path: Path) -> None:
    """A link is refused even when what it points to has the right bytes."""
    (bundle / "w2.onnx").rename(tmp_path / "elsewhere.onnx")
    os.symlink(tmp_path / "elsewhere.onnx", bundle / "w2.onnx")
    assert refusal(bundle).startswith(f"{bundle / 'w2.onnx'}: expected a regular file, found a link")


def test_linked_folder(bundle: Path, tmp_path: Path) -> None:
    """A folder that leads elsewhere is an extra file."""
    os.symlink(tmp_path, bundle / "flat")
    assert refusal(bundle).startswith(f"{bundle / 'flat'}: this file is not in the manifest")


def test_pipe_in_place_of_a_file(bundle: Path) -> None:
    """What would block when read is refused before."""
    (bundle / "w2.onnx").unlink()
    os.mkfifo(bundle / "w2.onnx")
    assert "expected a regular file" in refusal(bundle)


def test_unknown_operator_domain(bundle: Path) -> None:
    """A graph that asks for foreign operators is refused by name."""
    change_graph(bundle, lambda model: setattr(model.graph.node[0], "domain", "evil.ops"))
    assert refusal(bundle).startswith(f"{bundle / 'w2.onnx'}: unknown operator domain 'evil.ops'")


def test_unknown_operator_domain_in_a_subgraph(bundle: Path) -> None:
    """Nor does it pass inside a branch."""
    inner = helper.make_graph([helper.make_node("Run", [], ["y"], domain="evil.ops")], "inner", [], [])
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    change_graph(bundle, lambda model: model.graph.node.append(node))
    assert "unknown operator domain 'evil.ops'" in refusal(bundle)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "w4.onnx", ""])
def test_external_data_elsewhere(bundle: Path, location: str) -> None:
    """Weights come from ``weights.bin`` only."""

    def move(model: onnx.ModelProto) -> None:
        (tensor,) = [tensor for tensor in model.graph.initializer if tensor.external_data]
        tensor.external_data[0].value = location

    change_graph(bundle, move)
    assert f"external data in '{location}'" in refusal(bundle)


@pytest.mark.parametrize(("offset", "length"), [("1", "36"), ("0", "37"), ("99999999999", "1"), ("0", None)])
def test_external_data_beyond_the_end(bundle: Path, offset: str, length: str | None) -> None:
    """Every reference lies inside ``weights.bin``, and says how long it is."""

    def stretch(model: onnx.ModelProto) -> None:
        (tensor,) = [tensor for tensor in model.graph.initializer if tensor.external_data]
        tensor.external_data[1].value = offset
        if length is None:
            del tensor.external_data[2]
        else:
            tensor.external_data[2].value = length

    change_graph(bundle, stretch)
    assert "reaches beyond the end of 'weights.bin'" in refusal(bundle)


def test_graph_that_is_none(bundle: Path) -> None:
    """A file that is no ONNX graph is refused before a runtime sees it."""
    put_file(bundle, "w2.onnx", b"\x80\x04\x95 not a graph, perhaps a pickle")
    assert refusal(bundle).startswith(f"{bundle / 'w2.onnx'}: expected an ONNX graph, but it")


def test_graph_that_is_not_among_the_files(bundle: Path) -> None:
    """A configuration cannot name a graph whose hash nobody knows."""
    tree = manifest(bundle)
    tree["configurations"][0]["graph"] = "../w2.onnx"
    put_manifest(bundle, tree)
    assert "configuration 'w2' refers to '../w2.onnx', which is no graph under 'files'" in refusal(bundle)


def test_newer_schema(bundle: Path) -> None:
    """The bundle at fault is named, and what to do."""
    put_manifest(bundle, {**manifest(bundle), "schema_version": 7})
    assert refusal(bundle).startswith(f"{bundle}/manifest.json: schema_version 7 is newer than 3")


def test_unknown_key(bundle: Path) -> None:
    """A key nobody knows is named with its file."""
    put_manifest(bundle, {**manifest(bundle), "clases": []})
    assert refusal(bundle) == f"{bundle}/manifest.json: unknown key 'clases'; did you mean 'classes'?"


def test_truncated_json(bundle: Path) -> None:
    """Half a manifest is refused."""
    data = (bundle / "manifest.json").read_bytes()
    (bundle / "manifest.json").write_bytes(data[: len(data) // 2])
    assert f"{bundle}/manifest.json: expected JSON" in refusal(bundle)


@pytest.mark.parametrize("kind", ["nothing", "a file"])
def test_no_folder(tmp_path: Path, kind: str) -> None:
    """What is no folder is no bundle."""
    path = tmp_path / "none.dqmq"
    if kind == "a file":
        path.write_bytes(b"x")
    assert refusal(path) == f"{path}: expected the folder of a bundle, found {kind}"


@pytest.mark.parametrize(
    ("relative", "inside"), [("a", True), ("a/b.onnx", True), ("a/", False), ("a//b", False), ("..a", True)]
)
def test_lies_inside(relative: str, inside: bool) -> None:
    """Plain relative paths only."""
    assert lies_inside(relative) is inside
