"""Whether choosing pays, for one bundle on labelled images: the part of a report that says so, as plain values."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.manifest import ESCALATE, ROUTE
from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap, tracks
from dqmq_deploy.report.adaptivity.cases import where_it_pays
from dqmq_deploy.report.adaptivity.collect import Answers, Labelled, collect
from dqmq_deploy.report.adaptivity.compare import CASCADE, ROUTER, Judged, compare, rivals
from dqmq_deploy.report.adaptivity.protocol import Protocol
from dqmq_deploy.report.adaptivity.settings import Fold, Times, as_bundled, by_halves
from dqmq_deploy.report.adaptivity.timing import Timed
from dqmq_deploy.report.adaptivity.verdict import verdict

Fit = Callable[[Answers, Times, npt.NDArray[np.int64]], Sequence[Fold]]
"""Settings for images with these answers, at these times, in these tracks."""

BUNDLED = (
    "the bundle; for ways that no bundle takes (escalation that never asks the estimator) from two halves of these "
    "images, each judged by what fits the other"
)

OWN = {ESCALATE: CASCADE, ROUTE: ROUTER}
"""Which way each policy of a bundle is."""


def adaptivity(
    bundle: Bundle,
    images: Labelled,
    protocol: Protocol,
    timed: Timed,
    *,
    seed: int,
    copies: int = 1,
    fit: Fit | None = None,
    fitted_on: str = BUNDLED,
    default: str | None = None,
    tick: Callable[[float], None] = lambda done: None,
) -> dict[str, Any]:
    """Run the images through every graph, and judge every way of choosing, with kernels and without.

    ``fit`` gives the prices and thresholds, unless told otherwise those of the bundle; ``fitted_on`` says from where in
    words. With ``copies`` above 1 every image is spoilt so often, each time by another draw, which tells gains from the
    luck of one draw; intervals draw all copies of an image together. ``default`` is the way that is judged, unless told
    otherwise that of the bundle's default policy.

    Raises:
        InputError: too few images to judge one half by the other.
    """
    count, images = len(images.names), images.copied(copies)
    default = default or OWN[bundle.manifest.default_policy]
    found = collect(bundle, images, protocol, seed, tick)
    names = tuple(entry.name for entry in bundle.manifest.configurations)
    track = tracks(images.names)
    judged = Judged(found.evidence, names, track)
    compared, first = {}, next(iter(timed.times))
    for label, times in timed.times.items():
        folds = (
            as_bundled(by_halves(found.evidence, times, track, seed), bundle.manifest)
            if fit is None
            else fit(found, times, track)
        )
        draws = Bootstrap(track, seed)
        every = rivals(judged, times, folds, default)
        compared[label] = compare(every, draws)
        if label == first:
            shown = where_it_pays(images, found, every, folds, draws, protocol, seed)
    return {
        "protocol": protocol.name,
        "protocol_in_words": protocol.words(),
        "fitted_on": fitted_on,
        "images": count,
        "copies": copies,
        "tracks": int(track.max()) + 1,
        "configurations": list(names),
        "times": {
            label: {
                "graph_ms": dict(zip(names, times.graph.tolist(), strict=True)),
                "estimator_ms": times.estimator,
                "dispatch_ms": times.dispatch,
            }
            for label, times in timed.times.items()
        },
        "stock_over_kernels": timed.gain,
        "compared": compared,
        **shown,
        "verdict": verdict(compared[first]),
    }
