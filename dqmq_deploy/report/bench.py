"""Measure a bundle on this machine and write the report: ``report.html``, ``report.json``, ``report.md``.

The report is a plain dict; :data:`REPORT_SCHEMA` counts its versions. The three files say the same.
"""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dqmq_deploy.bits import Layer, mean_bits
from dqmq_deploy.bundle.manifest import Manifest
from dqmq_deploy.bundle.onnx_file import read_facts
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import InputError
from dqmq_deploy.kernels import DOMAIN, in_use
from dqmq_deploy.report.accuracy import accuracy_table, route_table
from dqmq_deploy.report.adaptivity.collect import labelled_folder
from dqmq_deploy.report.adaptivity.protocol import find_protocol
from dqmq_deploy.report.adaptivity.run import adaptivity
from dqmq_deploy.report.adaptivity.timing import measure_times
from dqmq_deploy.report.baselines import BASELINES, find_baselines
from dqmq_deploy.report.environment import environment, load_average
from dqmq_deploy.report.latency import STOCK, latency_rows, load_dispatcher, overhead_row
from dqmq_deploy.report.outcomes import CHUNK, Outcomes, collect
from dqmq_deploy.report.runners import OnnxRunner, Pixels, Subject
from dqmq_deploy.report.save import save
from dqmq_deploy.report.summary import summary
from dqmq_deploy.runtime.dispatcher import MICRO_BATCH

REPORT_SCHEMA = 1
"""Version of the report's structure, ``schema_version`` in ``report.json``."""

Progress = Callable[[str, float], None]
"""Hears what is going on, and the share of it that is done, 0 to 1."""


@dataclass(frozen=True)
class BenchJob:
    """What to measure.

    ``labels``: ``"auto"`` reads classes from folder names if all are classes of the bundle, ``"folders"`` demands it,
    ``"none"`` does not. ``seconds`` and at least ``blocks`` rounds go into each number of threads; one thread is always
    measured, since the overhead is told for it. ``price`` defaults to the bundle's. ``out=None`` writes no files.
    ``adaptivity`` asks whether choosing pays, on labelled images as ``degrade`` (a name in ``PROTOCOLS``) spoils them,
    each ``copies`` times by another draw.
    """

    bundle: Path
    images: Path | None = None
    labels: str = "auto"
    against: tuple[str, ...] = BASELINES
    threads: tuple[int, ...] = (1,)
    out: Path | None = Path("report")
    seconds: float = 12.0
    blocks: int = 5
    batch: int = MICRO_BATCH
    price: float | None = None
    seed: int = 0
    adaptivity: bool = False
    degrade: str = "none"
    copies: int = 1
    command: str | None = None

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            InputError: the first of them, and what is allowed.
        """
        if not self.threads or min(self.threads) < 1:
            raise InputError(f"--threads: expected numbers from 1, got {self.threads}")
        if self.blocks < 1 or self.batch < 1 or not 0 <= self.seconds < float("inf"):
            raise InputError(
                f"expected blocks and batch from 1 and seconds from 0, got {self.blocks}, {self.batch}, {self.seconds}"
            )
        if self.labels not in ("auto", "folders", "none"):
            raise InputError(f"--labels: expected auto, folders or none, got '{self.labels}'")
        find_protocol(self.degrade).check_copies(self.copies)
        if self.adaptivity and (self.images is None or self.labels == "none"):
            raise InputError("--adaptivity: expected labelled images, so add --images DIR --labels folders")
        if self.degrade != "none" and not self.adaptivity:
            raise InputError(f"--degrade {self.degrade}: only --adaptivity degrades images, so add it")
        if self.price is not None and not 0 <= self.price < float("inf"):
            raise InputError(f"--price: expected a number from 0, got {self.price}")


def bench(job: BenchJob, progress: Progress = lambda stage, done: None) -> dict[str, Any]:
    """Measure ``job.bundle``, write the report's three files to ``job.out``, and return the report.

    Raises:
        InputError: the bundle, the images or a value of the job is wrong.
        BenchError: a graph cannot be run here.
    """
    job.check()
    facts = environment()
    bundle = Bundle.open(job.bundle)
    manifest = bundle.manifest
    price = manifest.default_price if job.price is None else job.price
    estimator, configurations = _subjects(bundle)
    baselines, notes = find_baselines(bundle, job.against)

    outcomes = _outcomes(job, manifest, estimator, configurations, baselines, progress)
    sample = _random_pixels(manifest, job.seed) if outcomes is None else outcomes.sample
    latency: list[dict[str, Any]] = []
    overhead: list[dict[str, Any]] = []
    for threads in sorted({1, *job.threads}):
        stage = f"timing, {threads} thread{'' if threads == 1 else 's'}"
        dispatcher, adaptive_load = load_dispatcher(bundle, price, threads, sample)
        latency += latency_rows(
            [estimator, *configurations, *_on_stock(configurations, manifest), *baselines],
            dispatcher if outcomes is not None else None,
            sample,
            adaptive_load=adaptive_load,
            threads=threads,
            batch=job.batch,
            seconds=job.seconds,
            blocks=job.blocks,
            seed=job.seed,
            tick=lambda done, stage=stage: progress(stage, done),  # type: ignore[misc]
        )
        if threads == 1:
            overhead = [overhead_row(dispatcher, sample, batch) for batch in (1, job.batch)]
    adaptive = _adaptivity(job, bundle, sample, progress) if job.adaptivity else None
    facts["load_average_after"] = load_average()

    report: dict[str, Any] = {
        "schema_version": REPORT_SCHEMA,
        "bundle": _bundle_facts(bundle),
        "environment": facts,
        "command": job.command or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": job.seed,
        "policy": manifest.default_policy,
        "price": price,
        "pixels": "random" if outcomes is None else "images",
        "configurations": _configurations(manifest),
        "baselines": [{"name": item.name, "bytes": item.path.stat().st_size} for item in baselines],
        "latency": latency,
        "overhead": overhead,
        "routes": None if outcomes is None else route_table(outcomes, manifest, price),
        "accuracy": None if outcomes is None else accuracy_table(outcomes, manifest, price, job.seed),
        "adaptivity": adaptive,
        "notes": notes,
    }
    report["summary"] = summary(report)
    if job.out is not None:
        save(report, job.out)
    return report


def _subjects(bundle: Bundle) -> tuple[Subject, list[Subject]]:
    manifest = bundle.manifest

    def subject(name: str, kind: str, graph: str) -> Subject:
        path = bundle.file(graph)
        return Subject(name, kind, path, lambda threads, batch: OnnxRunner(path, threads, manifest.image_quant))

    estimator = subject("estimator", "estimator", manifest.estimator.graph)
    return estimator, [subject(entry.name, "configuration", entry.graph) for entry in manifest.configurations]


def _on_stock(configurations: list[Subject], manifest: Manifest) -> list[Subject]:
    """Those of ``configurations`` that run on our kernels, without them."""
    if in_use() is None:
        return []

    def stock(subject: Subject) -> Subject:
        return Subject(
            f"{subject.name}{STOCK}",
            "stock",
            subject.path,
            lambda threads, batch: OnnxRunner(subject.path, threads, manifest.image_quant, kernels=False),
        )

    return [stock(subject) for subject in configurations if DOMAIN in read_facts(subject.path.read_bytes()).domains]


def _outcomes(
    job: BenchJob,
    manifest: Manifest,
    estimator: Subject,
    configurations: list[Subject],
    baselines: list[Subject],
    progress: Progress,
) -> Outcomes | None:
    if job.images is None:
        return None
    threads, chunk = max(job.threads), CHUNK
    return collect(
        job.images,
        size=(manifest.preprocessing.height, manifest.preprocessing.width),
        classes=manifest.classes,
        labels=job.labels,
        estimator=estimator.open(threads, chunk),
        configurations=[subject.open(threads, chunk) for subject in configurations],
        memory=np.array(manifest.memory),
        baselines={subject.name: subject.open(threads, chunk) for subject in baselines},
        tick=lambda done, total: progress("accuracy", done / total),
    )


def _adaptivity(job: BenchJob, bundle: Bundle, sample: Pixels, progress: Progress) -> dict[str, Any]:
    assert job.images is not None
    progress("timing, one by one", 0.0)
    timed = measure_times(bundle, sample, job.seconds, job.seed)
    return adaptivity(
        bundle,
        labelled_folder(job.images, bundle),
        find_protocol(job.degrade),
        timed,
        seed=job.seed,
        copies=job.copies,
        tick=lambda done: progress("adaptivity", done),
    )


def _random_pixels(manifest: Manifest, seed: int) -> Pixels:
    shape = (64, manifest.preprocessing.height, manifest.preprocessing.width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _bundle_facts(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    beside = set(manifest.baselines.values()) | {entry.flat for entry in manifest.configurations}
    return {
        "name": manifest.name,
        "path": str(bundle.path),
        "classes": len(manifest.classes),
        "height": manifest.preprocessing.height,
        "width": manifest.preprocessing.width,
        "bytes": sum(entry.size for path, entry in manifest.files.items() if path not in beside),
        "default_price": manifest.default_price,
        "layers": [{"name": layer.name, "macs": layer.macs, "edge": layer.edge} for layer in manifest.layers],
        "calibration": {"images": manifest.calibration.images, "machine": manifest.calibration.machine},
        "exported_with": dict(manifest.versions),
    }


def _configurations(manifest: Manifest) -> list[dict[str, Any]]:
    layers = [Layer(layer.name, layer.macs, layer.weight_count, layer.edge) for layer in manifest.layers]
    return [
        {
            "name": entry.name,
            "bits": dict(entry.bits),
            "mean_bits": mean_bits(layers, entry.bits),
            "bitops": entry.bitops,
            "bytes": entry.bytes,
            "cost": entry.cost,
            "calibrated_accuracy": entry.accuracy,
            "parity": {
                "images": entry.parity.images,
                "top1_agreement": entry.parity.top1_agreement,
                "max_abs_logit_difference": entry.parity.max_abs_logit_difference,
            },
        }
        for entry in manifest.configurations
    ]
