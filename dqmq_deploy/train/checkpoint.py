"""Checkpoints: one file of tensors and plain values, written atomically, read without running any code in it."""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from dqmq_deploy.errors import CheckpointError, TrainingError

FORMAT = "dqmq-checkpoint"
SCHEMA_VERSION = 1


def save(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``: to a temporary sibling, synced, renamed. A kill leaves the old file or the new.

    Raises:
        TrainingError: the file cannot be written (disk full, no permission); the old one is kept.
    """
    temporary = path.with_name(f".{path.name}.tmp")  # always the same: what a kill leaves behind is overwritten
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, "schema_version": SCHEMA_VERSION, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise TrainingError(f"{path}: the checkpoint cannot be written ({error}); the last one is kept") from error


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; only tensors and plain values are unpickled.

    Raises:
        CheckpointError: no such file, not a checkpoint, from a newer version, or it holds pickled code.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: not a checkpoint of 'dqmq-deploy train' (or cut short)")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, it holds more than tensors and plain values; expected a file of 'dqmq-deploy train'"
        ) from error
    except Exception as error:  # a damaged archive raises RuntimeError, KeyError, EOFError, ValueError, ...
        raise CheckpointError(f"{path}: damaged, cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected a checkpoint of 'dqmq-deploy train', got another torch file")
    version = content.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise CheckpointError(
            f"{path}: schema version {version} is newer than this program reads ({SCHEMA_VERSION}); upgrade dqmq-deploy"
        )
    return content
