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


def _describe_checkpoint(path: Path) -> dict[str, Any]:
    from dqmq_deploy.bits import Layer, mean_bits, weight_bytes
    from dqmq_deploy.train.checkpoint import load

    content = load(path)
    layers = [Layer(**layer) for layer in content["layers"]]
    found: dict[str, Any] = {
        "kind": "checkpoint",
        "path": str(path),
        "bytes": path.stat().st_size,
        "name": content["name"],
        "classes": content["classes"],
        "preprocessing": content["preprocessing"],
        "layers": [asdict(layer) for layer in layers],
        "recipe": content["recipe"],
        "finished": "configurations" in content,
    }
    if not found["finished"]:
        return {**found, "position": content["training"]["position"]}

    from dqmq_deploy.export.compiled import open_compiled

    compiled = open_compiled(path)
    accuracy = compiled.evidence.right.mean(axis=0).tolist()
    configurations = [
        {
            "name": configuration.name,
            "bits": dict(configuration.bits),
            "mean_bits": mean_bits(layers, configuration.bits),
            "bitops": compiled.bitops(index),
            "shrink": compiled.shrink(index),
            "weight_bytes": weight_bytes(layers, configuration.bits),
            "accuracy": right,
        }
        for index, (configuration, right) in enumerate(zip(compiled.configurations, accuracy, strict=True))
    ]
    return {
        **found,
        "configurations": configurations,
        "calibration_images": len(compiled.calibration_images),
        "held_out_images": len(compiled.evidence.score),
        "notes": content["notes"],
    }
