"""Run labelled images through every graph of a bundle, and judge every way of choosing between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.kernels import in_use
from dqmq_deploy.report.adaptivity.compare import CASCADE, Judged, compare, verdict
from dqmq_deploy.report.adaptivity.grid import by_group, changed, grid
from dqmq_deploy.report.adaptivity.protocol import Protocol, spoil
from dqmq_deploy.report.adaptivity.ways import Settings, Times
from dqmq_deploy.report.measure import measure
from dqmq_deploy.report.runners import OnnxRunner, Pixels
from dqmq_deploy.routing import Evidence, evidence_of, run_cascade

THUMBNAILS = 12
"""Images shown of those that gain by choosing, and of those that lose."""

Chunks = Iterable[tuple[Pixels, npt.NDArray[np.int64]]]
"""Decoded images ``[n, H, W, 3]`` with their labels ``[n]``, in order."""

Calibrate = Callable[[Times], Settings]


@dataclass(frozen=True)
class Answers:
    """What every graph says of every image. N images, K configurations."""

    evidence: Evidence
    predicted: npt.NDArray[np.int64]  # [N, K]
    truth: npt.NDArray[np.int64]  # [N]
    kind: npt.NDArray[np.int64]  # [N]
    severity: npt.NDArray[np.int64]  # [N]


def answers(bundle: Bundle, chunks: Chunks, protocol: Protocol, seed: int) -> Answers:
    """Every image, spoilt as the protocol wants it, through the estimator and every configuration."""
    manifest = bundle.manifest
    runners = [
        OnnxRunner(bundle.file(path), 1, manifest.image_quant)
        for path in (manifest.estimator.graph, *(entry.graph for entry in manifest.configurations))
    ]
    p_right, logits, truth, kinds, severities = [], [], [], [], []
    done = 0
    for pixels, labels in chunks:
        images, kind, severity = spoil(pixels, done, protocol, seed)
        done += len(pixels)
        found = [runner.run(runner.prepare(images)) for runner in runners]
        p_right.append(found[0])
        logits.append(np.stack(found[1:], axis=1))
        truth.append(labels)
        kinds.append(kind)
        severities.append(severity)
    said, right = np.concatenate(logits), np.concatenate(truth)
    return Answers(
        evidence_of(np.concatenate(p_right), said, right),
        said.argmax(axis=2).astype(np.int64),
        right,
        np.concatenate(kinds),
        np.concatenate(severities),
    )


def measured_times(bundle: Bundle, sample: Pixels, dispatch_ms: float, seconds: float, seed: int) -> dict[str, Times]:
    """``{"kernels": .., "stock": ..}``: mean times of one image on one thread, all graphs in turn.

    Without our library there is only ``stock``. ``dispatch_ms`` is what the dispatcher takes beside its graphs.
    """
    manifest = bundle.manifest
    paths = {"estimator": manifest.estimator.graph, **{entry.name: entry.graph for entry in manifest.configurations}}
    wanted = {"kernels": True, "stock": False} if in_use() is not None else {"stock": False}
    calls: dict[str, Callable[[], object]] = {}
    for label, kernels in wanted.items():
        for name, path in paths.items():
            runner = OnnxRunner(bundle.file(path), 1, manifest.image_quant, kernels)
            feed = runner.prepare(sample[:1])
            calls[f"{name}/{label}"] = lambda runner=runner, feed=feed: runner.run(feed)  # type: ignore[misc]
    taken = measure(calls, seconds=seconds, blocks=9, seed=seed)
    ms = {name: float(np.median(found.block_medians_ms)) for name, found in taken.items()}
    return {
        label: Times(
            np.array([ms[f"{entry.name}/{label}"] for entry in manifest.configurations]),
            ms[f"estimator/{label}"],
            dispatch_ms,
        )
        for label in wanted
    }


def adaptivity(
    bundle: Bundle,
    found: Answers,
    track: npt.NDArray[np.int64],
    times: dict[str, Times],
    calibrate: Calibrate,
    protocol: Protocol,
    seed: int,
    default: str = CASCADE,
) -> dict[str, Any]:
    """The part of a report that says whether choosing pays, with kernels and without."""
    names = tuple(entry.name for entry in bundle.manifest.configurations)
    judged = Judged(found.evidence, names, track)
    compared = {label: compare(judged, time, calibrate(time), default, seed) for label, time in times.items()}
    first = next(iter(compared))
    settings = calibrate(times[first])
    middle = settings.cascades[len(settings.cascades) // 2]
    adaptive = run_cascade(middle, found.evidence, times[first].graph, 0.0).right
    right = found.evidence.right
    shown: dict[str, npt.NDArray[np.floating]] = {name: right[:, k].astype(float) for k, name in enumerate(names)}
    shown["adaptive"] = adaptive.astype(float)
    best = names.index(compared[first]["best_static"])
    gained, lost = changed(adaptive, right[:, best], THUMBNAILS, seed)
    return {
        "protocol": protocol.words(),
        "times": {
            label: {"graph_ms": time.graph.tolist(), "estimator_ms": time.estimator, "dispatch_ms": time.dispatch}
            for label, time in times.items()
        },
        "configurations": list(names),
        "compared": compared,
        "verdict": verdict(compared[first]),
        "groups": by_group(shown, found.kind),
        "grid": grid(shown, found.kind, found.severity),
        "gained": gained.tolist(),
        "lost": lost.tolist(),
    }
