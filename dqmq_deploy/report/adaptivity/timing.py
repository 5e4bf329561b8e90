"""What an image costs on this machine: every graph with our kernels and without, and the dispatcher around them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.kernels import in_use
from dqmq_deploy.report.adaptivity.settings import Times
from dqmq_deploy.report.measure import Samples, measure, ratio
from dqmq_deploy.report.runners import OnnxRunner, Pixels
from dqmq_deploy.runtime.dispatcher import Dispatcher

KERNELS, STOCK = "kernels", "stock"

BLOCKS = 9
"""Rounds at least."""

DISPATCHED = 4
"""Images at most that the dispatcher is timed on."""


@dataclass(frozen=True)
class Timed:
    """Times with kernels (where there are any) and without; how many times faster each graph is with them."""

    times: dict[str, Times]
    gain: dict[str, float]


def measure_times(bundle: Bundle, sample: Pixels, seconds: float, seed: int) -> Timed:
    """Mean times of one image on one thread, all candidates in turn.

    Every time is that of the slowest configuration times the median over rounds of the ratio to it. The dispatcher's
    own work is what it takes for an image beyond the graphs that it runs, mean over a few of ``sample``
    ``[n, H, W, 3]``.
    """
    manifest = bundle.manifest
    graphs = {"estimator": manifest.estimator.graph, **{entry.name: entry.graph for entry in manifest.configurations}}
    last = manifest.configurations[-1].name
    dispatcher = Dispatcher(bundle)
    dispatched = sample[:: -(-len(sample) // DISPATCHED)]
    ways = {KERNELS: True, STOCK: False} if in_use() is not None else {STOCK: False}
    calls: dict[str, Callable[[], object]] = {
        f"dispatcher/{i}": partial(dispatcher, picture) for i, picture in enumerate(dispatched)
    }
    for label, kernels in ways.items():
        for name, path in graphs.items():
            runner = OnnxRunner(bundle.file(path), 1, manifest.image_quant, kernels)
            calls[f"{name}/{label}"] = _call(runner, sample[:1])
    taken = measure(calls, seconds=seconds, blocks=BLOCKS, seed=seed)
    first = next(iter(ways))
    base = taken[f"{last}/{first}"]
    base_ms = float(np.median(base.block_medians_ms))
    ms = {name: base_ms * float(ratio(found, base)["median"]) for name, found in taken.items()}
    beyond = [
        _beyond(taken[f"dispatcher/{i}"], [taken[f"{name}/{first}"] for name in _ran(dispatcher, picture)])
        for i, picture in enumerate(dispatched)
    ]
    return Timed(
        {
            label: Times(
                np.array([ms[f"{entry.name}/{label}"] for entry in manifest.configurations]),
                ms[f"estimator/{label}"],
                float(np.mean(beyond)),
            )
            for label in ways
        },
        {name: float(ratio(taken[f"{name}/{STOCK}"], taken[f"{name}/{first}"])["median"]) for name in graphs},
    )


def _call(runner: OnnxRunner, pixels: Pixels) -> Callable[[], object]:
    feed = runner.prepare(pixels)
    return lambda: runner.run(feed)


def _ran(dispatcher: Dispatcher, picture: Pixels) -> list[str]:
    """The graphs that an image runs through."""
    answer, cascade = dispatcher(picture), dispatcher.cascade
    before = ["estimator"] if answer.p_right else []
    if answer.escalated and cascade is not None:
        before.append(dispatcher.configurations[cascade.first])
    return [*before, answer.config]


def _beyond(whole: Samples, parts: Sequence[Samples]) -> float:
    """Median over rounds of what ``whole`` takes beyond its parts, at least 0."""
    spent = whole.block_medians_ms - np.sum([part.block_medians_ms for part in parts], axis=0)
    return max(0.0, float(np.median(spent)))
