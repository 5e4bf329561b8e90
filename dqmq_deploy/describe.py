"""What a checkpoint or a bundle holds, as plain values for a table or for JSON."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dqmq_deploy.errors import InputError


def describe(path: Path) -> dict[str, Any]:
    """Look into ``path``: a folder is a bundle, a file a checkpoint. ``kind`` says which it was.

    Raises:
        InputError: there is nothing at ``path``, or it is damaged or unsafe.
    """
    if path.is_dir():
        return _describe_bundle(path)
    if path.is_file():
        return _describe_checkpoint(path)
    raise InputError(f"{path}: expected a checkpoint file or a bundle folder, found nothing")


def _describe_bundle(path: Path) -> dict[str, Any]:
    from dqmq_deploy.bundle.manifest import MANIFEST
    from dqmq_deploy.bundle.read import Bundle

    manifest = Bundle.open(path).manifest
    size = sum(entry.size for entry in manifest.files.values()) + os.path.getsize(path / MANIFEST)
    return {"kind": "bundle", "path": str(path), "bytes": size, **asdict(manifest)}
