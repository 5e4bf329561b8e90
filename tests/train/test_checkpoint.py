"""Checkpoints: written whole or not at all, and nothing in them is ever run."""

import os
import pickle
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dqmq_deploy.errors import CheckpointError, TrainingError
from dqmq_deploy.train import checkpoint

CONTENT = {"name": "x", "tensors": {"a": torch.arange(6).reshape(2, 3), "b": torch.ones(2).half()}, "bits": [(2, 8)]}


class Malicious:
    """Unpickling this creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.target),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint."""
    checkpoint.save(tmp_path / "c.pt", dict(CONTENT))
    return tmp_path / "c.pt"


def test_what_is_saved_is_loaded(path: Path) -> None:
    """Tensors with their types and shapes, and plain values; nothing else lies beside the file."""
    found = checkpoint.load(path)
    assert found["schema_version"] == checkpoint.SCHEMA_VERSION
    assert found["name"] == "x"
    assert found["bits"] == [(2, 8)]
    for name, tensor in CONTENT["tensors"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(found["tensors"][name], tensor, rtol=0, atol=0)
    assert [file.name for file in path.parent.iterdir()] == ["c.pt"]


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    """A pickle that would make a folder, in a torch file and bare: refused, and no folder."""
    trap, target = tmp_path / "trap.pt", tmp_path / "made"
    torch.save({"format": checkpoint.FORMAT, "schema_version": 1, "x": Malicious(target)}, trap)
    with pytest.raises(CheckpointError, match=r"trap\.pt: refused, it holds more than tensors and plain values"):
        checkpoint.load(trap)
    assert not target.exists()
    trap.write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.load(trap)
    assert not target.exists()
    pickle.loads(trap.read_bytes())  # the trap does work
    assert target.is_dir()


def test_another_objects_class_is_refused(tmp_path: Path) -> None:
    """Also a harmless one: a whole module, as ``torch.save(model)`` writes it."""
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="holds more than tensors and plain values"):
        checkpoint.load(tmp_path / "model.pt")


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """Missing, a folder, empty, text, another zip, another torch file."""
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        checkpoint.load(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        checkpoint.load(tmp_path)
    for content in (b"", b"text", b"PK\x03\x04" + bytes(100)):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"x\.pt: not a checkpoint"):
            checkpoint.load(tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "z.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"z\.pt: damaged, cannot be read"):
        checkpoint.load(tmp_path / "z.pt")
    for other in ({"state": torch.ones(2)}, [1, 2], {"format": "dqmq"}):
        torch.save(other, tmp_path / "o.pt")
        with pytest.raises(CheckpointError, match=r"expected a checkpoint .*, got another torch file"):
            checkpoint.load(tmp_path / "o.pt")


def test_a_checkpoint_cut_short_is_refused_at_every_length(path: Path) -> None:
    """No length but the whole one loads, and none raises anything else."""
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"c\.pt: (not a checkpoint|damaged)"):
            checkpoint.load(path)


def test_a_flipped_byte_is_refused_or_harmless(path: Path) -> None:
    """Wherever it is, loading raises a CheckpointError or gives a checkpoint; it never raises anything else."""
    whole = bytearray(path.read_bytes())
    refused = 0
    for place in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            checkpoint.load(path)
        except CheckpointError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("version", [checkpoint.SCHEMA_VERSION + 1, "2", None])
def test_a_newer_schema_is_refused(tmp_path: Path, version: object) -> None:
    """With what to do about it."""
    torch.save({"format": checkpoint.FORMAT, "schema_version": version}, tmp_path / "new.pt")
    with pytest.raises(CheckpointError, match=r"is newer than this program reads \(1\); upgrade dqmq-deploy"):
        checkpoint.load(tmp_path / "new.pt")


def in_a_process(code: str, path: Path, prepare: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs code in another process, ``path`` its argument."""
    command = [sys.executable, "-W", "ignore", "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, preexec_fn=prepare, check=False)


def test_a_full_disk_keeps_the_old_checkpoint(path: Path) -> None:
    """A file may not grow past 64 kB in this process: a clear error, the old file whole, no temporary left."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing then fails with an error, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    code = """
import sys, torch
from pathlib import Path
from dqmq_deploy.errors import TrainingError
from dqmq_deploy.train import checkpoint
try:
    checkpoint.save(Path(sys.argv[1]), {"name": "new", "big": torch.zeros(1_000_000)})
except TrainingError as error:
    print(error)
"""
    before = path.read_bytes()
    done = in_a_process(code, path, limit)
    assert done.returncode == 0, done.stderr
    assert "c.pt: the checkpoint cannot be written (" in done.stdout
    assert "the last one is kept" in done.stdout
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["c.pt"]


def test_a_kill_before_the_new_one_is_in_place_keeps_the_old(path: Path) -> None:
    """Killed between writing and renaming: the old one loads, and the next save sweeps up what was left."""
    code = """
import os, signal, sys
from pathlib import Path
from dqmq_deploy.train import checkpoint
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
checkpoint.save(Path(sys.argv[1]), {"name": "new"})
"""
    assert in_a_process(code, path).returncode == -signal.SIGKILL
    assert len(list(path.parent.iterdir())) == 2
    assert checkpoint.load(path)["name"] == "x"
    checkpoint.save(path, {"name": "newer"})
    assert checkpoint.load(path)["name"] == "newer"
    assert [file.name for file in path.parent.iterdir()] == ["c.pt"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As a TrainingError, for training is what saves."""
    with pytest.raises(TrainingError, match=r"c\.pt: the checkpoint cannot be written"):
        checkpoint.save(tmp_path / "none" / "c.pt", {})
