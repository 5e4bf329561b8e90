"""Whatever happens while a bundle is written, the old one, the new one or none is there, and nothing else."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dqmq_deploy.bundle import write
from dqmq_deploy.bundle.manifest import Manifest
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.bundle.write import write_bundle
from dqmq_deploy.errors import ExportError

ROOT = Path(__file__).parents[2]
PARTS = ("w2.onnx", "w3.onnx", "w4.onnx", "w8.onnx", "estimator.onnx", "weights.bin")

# writes argv[2] from the bundle argv[1] under the name "new" and a megabyte larger, argv[3] times (0: without end)
REWRITE = """
import os, resource, sys
from dataclasses import replace
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.bundle.write import write_bundle
from dqmq_deploy.errors import ExportError

source, times = Bundle.open(sys.argv[1]), int(sys.argv[3])
files = {name: (source.path / name).read_bytes() for name in source.manifest.files}
files["weights.bin"] += bytes(2**20)
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
print("ready", flush=True)
try:
    while True:
        write_bundle(sys.argv[2], files, replace(source.manifest, name="new"))
        times -= 1
        if not times:
            break
except ExportError as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def files(tiny_bundle: Bundle) -> dict[str, bytes]:
    """The bytes of a sound bundle."""
    return {name: tiny_bundle.file(name).read_bytes() for name in PARTS}


@pytest.fixture
def manifest(tiny_bundle: Bundle) -> Manifest:
    """The manifest of a sound bundle, without files."""
    return replace(tiny_bundle.manifest, files={})


def environment() -> dict[str, str]:
    """Variables with which a child finds the package."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_what_is_written_opens(tmp_path: Path, files: dict[str, bytes], manifest: Manifest) -> None:
    """Sizes and hashes are filled in, and no temporary folder stays."""
    write_bundle(tmp_path / "a.dqmq", files, manifest)
    opened = Bundle.open(tmp_path / "a.dqmq")
    assert {name: entry.size for name, entry in opened.manifest.files.items()} == {
        name: len(data) for name, data in files.items()
    }
    assert os.listdir(tmp_path) == ["a.dqmq"]


def test_an_old_bundle_is_replaced(tmp_path: Path, files: dict[str, bytes], manifest: Manifest) -> None:
    """Nothing of the old bundle is left, nor beside the new one."""
    write_bundle(tmp_path / "a.dqmq", {**files, "notes.txt": b"old"}, manifest)
    write_bundle(tmp_path / "a.dqmq", files, replace(manifest, name="new"))
    assert Bundle.open(tmp_path / "a.dqmq").manifest.name == "new"
    assert not (tmp_path / "a.dqmq" / "notes.txt").exists()
    assert os.listdir(tmp_path) == ["a.dqmq"]


def test_without_an_atomic_exchange(
    tmp_path: Path, files: dict[str, bytes], manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has none, two renames do, and no old folder stays."""
    monkeypatch.setattr(write, "_exchange", lambda one, other: False)
    write_bundle(tmp_path / "a.dqmq", files, manifest)
    write_bundle(tmp_path / "a.dqmq", files, replace(manifest, name="new"))
    assert Bundle.open(tmp_path / "a.dqmq").manifest.name == "new"
    assert os.listdir(tmp_path) == ["a.dqmq"]


def test_a_folder_that_is_no_bundle_is_kept(tmp_path: Path, files: dict[str, bytes], manifest: Manifest) -> None:
    """A mistyped output does not cost anybody a folder."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(ExportError, match="found another folder"):
        write_bundle(tmp_path / "photos", files, manifest)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"x"


def test_a_file_is_kept(tmp_path: Path, files: dict[str, bytes], manifest: Manifest) -> None:
    """Nor a file."""
    (tmp_path / "a.dqmq").write_bytes(b"x")
    with pytest.raises(ExportError, match="found a file"):
        write_bundle(tmp_path / "a.dqmq", files, manifest)


def test_no_parent_folder(tmp_path: Path, files: dict[str, bytes], manifest: Manifest) -> None:
    """The missing folder is named."""
    with pytest.raises(ExportError, match=r"expected an existing folder .*nowhere; make it first"):
        write_bundle(tmp_path / "nowhere" / "a.dqmq", files, manifest)


@pytest.mark.parametrize("outside", ["../a.onnx", "/tmp/a.onnx", "manifest.json"])
def test_a_path_outside_is_not_written(
    tmp_path: Path, files: dict[str, bytes], manifest: Manifest, outside: str
) -> None:
    """Writing is as strict as reading."""
    with pytest.raises(ExportError, match="is no path inside a bundle"):
        write_bundle(tmp_path / "a.dqmq", {**files, outside: b"x"}, manifest)
    assert os.listdir(tmp_path) == []


def test_what_would_not_open_is_not_put_in_place(tmp_path: Path, files: dict[str, bytes], manifest: Manifest) -> None:
    """A bundle without one of its graphs never replaces a sound one."""
    write_bundle(tmp_path / "a.dqmq", files, manifest)
    broken = {name: data for name, data in files.items() if name != "w2.onnx"}
    with pytest.raises(ExportError, match="does not read back"):
        write_bundle(tmp_path / "a.dqmq", broken, replace(manifest, name="new"))
    assert Bundle.open(tmp_path / "a.dqmq").manifest.name == "tiny"
    assert os.listdir(tmp_path) == ["a.dqmq"]


def test_stale_temporaries_are_cleaned(tmp_path: Path, files: dict[str, bytes], manifest: Manifest) -> None:
    """What a killed export left is removed; what another writer has in use is not."""
    stale = tmp_path / ".a.dqmq.writing-0123"
    stale.mkdir()
    (stale / "w2.onnx").write_bytes(b"x")
    with write._temporary_folder(tmp_path / "a.dqmq") as in_use:
        write_bundle(tmp_path / "a.dqmq", files, manifest)
        assert in_use.is_dir()
    assert os.listdir(tmp_path) == ["a.dqmq"]


def test_a_file_over_the_limit(tmp_path: Path, tiny_bundle_path: Path) -> None:
    """A write that the system refuses: one line, exit code 1, old bundle intact, no temporary."""
    target = Path(shutil.copytree(tiny_bundle_path, tmp_path / "a.dqmq"))
    command = [sys.executable, "-c", REWRITE, str(tiny_bundle_path), str(target), "1", str(2**18)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "cannot be written: a file is larger than the system allows; what was there is unchanged" in done.stdout
    assert Bundle.open(target).manifest.name == "tiny"
    assert os.listdir(tmp_path) == ["a.dqmq"]


def test_full_disk(tmp_path: Path, tiny_bundle_path: Path) -> None:
    """A disk of half a megabyte runs full: one line, exit code 1, old bundle intact, no temporary."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=512k none {disk}"
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode
    ):
        pytest.skip("this user may not mount a file system of a given size")
    script = (
        f"{mount} && cp -r {tiny_bundle_path} {disk}/a.dqmq && cd / && "
        f'{sys.executable} -c "$REWRITE" {tiny_bundle_path} {disk}/a.dqmq 1; echo "exit $?"; ls -A {disk}; '
        f"cat {disk}/a.dqmq/manifest.json"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        env={**environment(), "REWRITE": REWRITE},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "cannot be written: the disk is full; what was there is unchanged" in done.stdout, done.stderr
    assert "exit 1\na.dqmq\n" in done.stdout
    assert '"name": "tiny"' in done.stdout


@pytest.mark.parametrize("had_one", [True, False], ids=["over an old bundle", "first export"])
def test_kill_in_the_middle(tmp_path: Path, tiny_bundle_path: Path, had_one: bool) -> None:
    """Killed at twelve moments of writing: a bundle that opens or none, and the next write cleans up."""
    target = tmp_path / "a.dqmq"
    command = [sys.executable, "-c", REWRITE, str(tiny_bundle_path), str(target), "0" if had_one else "1"]
    leftovers = 0
    for moment in range(12):
        if had_one and not target.exists():
            shutil.copytree(tiny_bundle_path, target)
        if not had_one and target.exists():
            shutil.rmtree(target)
        child = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.0007 * moment + 0.0003)
            child.send_signal(signal.SIGKILL)
            child.wait()
        leftovers += len(list(tmp_path.glob(".a.dqmq.writing-*")))
        if target.exists():
            assert Bundle.open(target).manifest.name in ("tiny", "new")
        else:
            assert not had_one
    assert leftovers, "no kill hit a write; the test proves nothing"
    subprocess.run([*command[:-1], "1"], env=environment(), check=True, stdout=subprocess.DEVNULL)
    assert Bundle.open(target).manifest.name == "new"
    assert os.listdir(tmp_path) == ["a.dqmq"]
